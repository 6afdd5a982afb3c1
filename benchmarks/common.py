"""What the benchmarks share: works timed in turns, memory, processes of their own, the report."""

import ctypes
import json
import multiprocessing
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spacy_msvse.evaluation.machine import describe_machine, memory_mb
from spacy_msvse.evaluation.report.markdown import table
from spacy_msvse.util import hash_files

#: A measure's values, round by round, by row and by measure.
Rounds = dict[str, dict[str, list[float]]]

#: A size, and the values of each measure.
Point = tuple[int, dict[str, list[float]]]

#: Name to a function that prepares a work and returns what is timed.
Works = Mapping[str, Callable[[], Callable[[], object]]]

#: What processes of their own have imported already: transformers puts most imports off.
PRELOADED = [
    "spacy_msvse.component.pipe",
    "spacy_transformers.span_getters",
    "transformers.models.auto.auto_factory",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert_fast",
]


def take_turns(
    works: Works,
    rounds: int,
    warmups: int = 1,
    told: Mapping[str, Callable[[], float]] | None = None,
) -> Rounds:
    """Time several works in turns, so that whatever else the machine does meets all of them.

    works (Mapping): The works.
    rounds (int): How often each is timed.
    warmups (int): How often each is run before, untimed.
    told (Mapping): Name to what runs in every round and tells its wall seconds itself.
    RETURNS (dict): Name to wall and CPU seconds of every round.
    """
    told = told or {}
    times: Rounds = {name: {"wall s": [], "CPU s": []} for name in works}
    times |= {name: {"wall s": []} for name in told}
    for number in range(-warmups, rounds):
        for name, prepare in works.items():
            work = prepare()
            began, began_cpu = time.perf_counter(), time.process_time()
            work()
            cpu, wall = time.process_time() - began_cpu, time.perf_counter() - began
            if number >= 0:
                times[name]["wall s"].append(wall)
                times[name]["CPU s"].append(cpu)
        if number >= 0:
            for name, tell in told.items():
                times[name]["wall s"].append(tell())
    return times


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Seconds, and megabytes that the process held at most beyond those at the start."""
    ctypes.CDLL(None).malloc_trim(0)  # give back what was freed: it would serve the work unseen
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, began = memory_mb("VmHWM"), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "peak_mb": memory_mb("VmHWM") - before}


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process that has imported the libraries and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def summarise(rounds: Rounds) -> dict[str, dict[str, dict[str, float]]]:
    """Median, lowest and highest of every measure, and of its ratio to the first row's in the same
    round.

    rounds (dict): Row to measure to values.
    RETURNS (dict): Row to measure to figures.
    """
    first = next(iter(rounds.values()))
    return {
        row: {
            measure: {
                **_spread(values, ""),
                **_spread([v / r for v, r in zip(values, first[measure], strict=True)], "ratio "),
            }
            for measure, values in measures.items()
        }
        for row, measures in rounds.items()
    }


def _spread(values: Sequence[float], prefix: str) -> dict[str, float]:
    return {
        f"{prefix}median": statistics.median(values),
        f"{prefix}low": min(values),
        f"{prefix}high": max(values),
    }


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent b of y = a x^b that fits best: 1 is linear."""
    return float(np.polyfit(np.log(x), np.log(np.maximum(y, 1e-9)), 1)[0])


@dataclass(frozen=True)
class Target:
    """A ratio that is promised.

    name (str): What is promised.
    table (str): The table it is read from.
    row (str): The row, whose ratio to the first row counts.
    measure (str): The measure.
    most (float): The highest ratio that keeps the promise.
    """

    name: str
    table: str
    row: str
    measure: str
    most: float


@dataclass
class Report:
    """Figures, as JSON and as Markdown.

    comparisons (dict): Title to what `summarise` returned.
    curves (dict): Title to its points and the exponents of their measures.
    threads (dict): Title to the threads that torch used.
    targets (list): Each promise with what was measured.
    notes (list): What was measured on what, what was left out, and why.
    """

    machine: dict[str, Any] = field(default_factory=describe_machine)
    comparisons: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self, data: Path, rounds: int, named: Mapping[str, Mapping[str, Any]]) -> None:
        """Note what it takes to measure the same again.

        data (Path): The posts.
        rounds (int): How often each work is timed.
        named (Mapping): Configuration to its settings.
        """
        self.notes += [
            f"command: {shlex.join(sys.argv)}",
            f"posts: {data.name}, SHA-256 {hash_files([data])}",
            f"rounds: {rounds}",
            *(f"{name}: {json.dumps(settings)}" for name, settings in named.items()),
        ]

    def compare(self, title: str, rounds: Rounds, threads: int | None = None) -> None:
        """Add a comparison, and print it.

        title (str): Its title.
        rounds (dict): Row to measure to values; the first row is what others are compared to.
        threads (int): How many were used; None for those of this process.
        """
        self.comparisons[title] = summarise(rounds)
        self.threads[title] = torch.get_num_threads() if threads is None else threads
        print(comparison_table(title, self.comparisons[title]), flush=True)

    def follow(self, title: str, points: Sequence[Point], threads: int) -> None:
        """Add a curve, and print it. Exponents are of what other programs disturb least: CPU time
        and memory.

        title (str): What grows.
        points (Sequence): Sizes and their measures, from the smallest.
        threads (int): How many were used.
        """
        spreads = [
            {title: size, **{name: _spread(values, "") for name, values in measures.items()}}
            for size, measures in points
        ]
        sizes = [size for size, _ in points]
        exponents = {
            name: slope(sizes, [point[name]["median"] for point in spreads])
            for name in points[0][1]
            if "wall" not in name
        }
        self.curves[title] = {"points": spreads, "exponents": exponents}
        self.threads[title] = threads
        print(curve_table(title, self.curves[title]), flush=True)

    def judge(self, targets: Sequence[Target]) -> None:
        """Add the targets whose tables were measured.

        targets (Sequence[Target]): The targets.
        """
        for target in targets:
            if target.table in self.comparisons:
                figures = self.comparisons[target.table][target.row][target.measure]
                measured = figures["ratio median"]
                entry = {**asdict(target), "measured": measured, "met": measured <= target.most}
                if target.measure == "wall s":
                    by_cpu = self.comparisons[target.table][target.row]["CPU s"]
                    entry["measured by CPU s"] = by_cpu["ratio median"]
                self.targets.append(entry)
        print(targets_table(self.targets), flush=True)

    def write(self, output: Path) -> None:
        """Write the JSON file, and the Markdown file beside it.

        output (Path): The JSON file.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(asdict(self), indent=2))
        parts = [
            "# Measured speed and memory\n",
            *(f"- {name}: {value}" for name, value in self.machine.items()),
            *(f"- {note}" for note in self.notes),
            "",
            *([targets_table(self.targets)] if self.targets else []),
        ]
        tables = ((self.comparisons, comparison_table), (self.curves, curve_table))
        for found, write_table in tables:
            for title, figures in found.items():
                parts += [f"Threads: {self.threads[title]}\n", write_table(title, figures)]
        output.with_suffix(".md").write_text("\n".join(parts))


def comparison_table(title: str, comparison: dict[str, Any]) -> str:
    """A comparison in Markdown: median (lowest to highest), and ratios to the first row."""
    measures = list(next(iter(comparison.values())))
    header = [title]
    for name in measures:
        header += [name, f"{name}: ratio"]
    rows = []
    for row, found in comparison.items():
        cells = [row]
        for name in measures:
            for prefix in ("", "ratio "):
                figures = found.get(name)
                cells.append("" if figures is None else spread_cell(figures, prefix))
        rows.append(cells)
    return table(header, rows) + "\n"


def spread_cell(figures: Mapping[str, float], prefix: str = "") -> str:
    """Median (lowest to highest)."""
    median, low, high = (figures[prefix + name] for name in ("median", "low", "high"))
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def curve_table(title: str, curve: dict[str, Any]) -> str:
    """A curve in Markdown, the fitted exponents as its last row."""
    measures = [name for name in curve["points"][0] if name != title]
    rows = [
        [f"{point[title]}", *(spread_cell(point[name]) for name in measures)]
        for point in curve["points"]
    ]
    fitted = curve["exponents"]
    exponents = [f"{fitted[name]:.2f}" if name in fitted else "" for name in measures]
    return table([title, *measures], [*rows, ["exponent", *exponents]]) + "\n"


def targets_table(targets: list[dict[str, Any]]) -> str:
    """The targets in Markdown."""
    rows = []
    for target in targets:
        by_cpu = target.get("measured by CPU s")
        rows.append(
            [
                target["name"],
                f"{target['measured']:.3g}",
                "" if by_cpu is None else f"{by_cpu:.3g}",
                f"{target['most']:.3g}",
                "yes" if target["met"] else "no",
            ]
        )
    header = ["target", "measured ratio", "by CPU time", "at most", "met"]
    return table(header, rows) + "\n"
