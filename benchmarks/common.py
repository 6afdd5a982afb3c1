"""Shared by the benchmarks: time and memory, separate processes, reports."""

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

#: Row to measure to the values of all rounds.
Rounds = dict[str, dict[str, list[float]]]

#: A size, and measure to values.
Point = tuple[int, dict[str, list[float]]]

#: Name to a function that prepares the work and returns the function to time.
Works = Mapping[str, Callable[[], Callable[[], object]]]

#: Modules that a separate process imports first. transformers delays most of its imports.
PRELOADED = [
    "spacy_msvse.component.pipe",
    "transformers.models.auto.auto_factory",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
]


def take_turns(
    works: Works,
    rounds: int,
    warmups: int = 1,
    external: Mapping[str, Callable[[], float]] | None = None,
) -> Rounds:
    """Time several works in turns, so that other load on the machine affects all of them.

    Args:
        works (Mapping): The works.
        rounds (int): Number of timed rounds.
        warmups (int): Number of rounds before, without timing.
        external (Mapping): Name to a function that runs once in every timed round and returns its
            own wall time in seconds.

    Returns:
        dict: Name to wall and CPU seconds of every round.
    """
    external = external or {}
    times: Rounds = {name: {"wall s": [], "CPU s": []} for name in works}
    times |= {name: {"wall s": []} for name in external}
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
            for name, run in external.items():
                times[name]["wall s"].append(run())
    return times


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Measure the time of a work, and its peak memory beyond the memory at its start.

    Args:
        work (Callable): The work.

    Returns:
        dict: "seconds" and "peak_mb".
    """
    # Return freed memory to the system first. Otherwise the work could use it unnoticed.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before, began = memory_mb("VmHWM"), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "peak_mb": memory_mb("VmHWM") - before}


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process that has imported the libraries and nothing else.

    Args:
        function (Callable): The function, at the top level of its module.
        arguments (Any): Its arguments.

    Returns:
        Any: Its result.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def summarise(rounds: Rounds) -> dict[str, dict[str, dict[str, float]]]:
    """Compute the median, the lowest and the highest value of every measure, and of its
    ratio to the first row in the same round.

    Args:
        rounds (dict): Row to measure to values.

    Returns:
        dict: Row to measure to figures.
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
    """Fit the exponent b of y = a x^b; 1 is linear.

    Args:
        x (Sequence[float]): Sizes.
        y (Sequence[float]): Values.

    Returns:
        float: The exponent.
    """
    return float(np.polyfit(np.log(x), np.log(np.maximum(y, 1e-9)), 1)[0])


@dataclass(frozen=True)
class Target:
    """An upper limit for a measured ratio.

    Attributes:
        name (str): Name of the target.
        table (str): Title of the comparison.
        row (str): The row. Its ratio to the first row is compared with the limit.
        measure (str): The measure.
        most (float): The upper limit.
    """

    name: str
    table: str
    row: str
    measure: str
    most: float


@dataclass
class Report:
    """Figures, as JSON and as Markdown.

    Attributes:
        machine (dict): The machine and the versions of the libraries.
        comparisons (dict): Title to the result of `summarise`.
        curves (dict): Title to points and the exponents of their measures.
        threads (dict): Title to the number of torch's threads.
        targets (list): The targets with the measured ratios.
        notes (list): Conditions of the measurement, and what was left out and why.
        tables (list): Further tables in Markdown.
    """

    machine: dict[str, Any] = field(default_factory=describe_machine)
    comparisons: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)

    def note_conditions(
        self, data: Path, rounds: int, configurations: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Note everything that is needed to repeat the measurement.

        Args:
            data (Path): The posts.
            rounds (int): Number of rounds.
            configurations (Mapping): Name of each configuration to its settings.
        """
        self.notes += [
            f"command: {shlex.join(sys.argv)}",
            f"posts: {data.name}, SHA-256 {hash_files([data])}",
            f"rounds: {rounds}",
            *(f"{name}: {json.dumps(settings)}" for name, settings in configurations.items()),
        ]

    def add_comparison(self, title: str, rounds: Rounds, threads: int | None = None) -> None:
        """Add a comparison, and print it.

        Args:
            title (str): Its title.
            rounds (dict): Row to measure to values. Ratios are to the first row.
            threads (int): Number of threads; None for that of this process.
        """
        self.comparisons[title] = summarise(rounds)
        self.threads[title] = torch.get_num_threads() if threads is None else threads
        print(comparison_table(title, self.comparisons[title]), flush=True)

    def add_curve(self, title: str, points: Sequence[Point], threads: int) -> None:
        """Add a curve, and print it. Exponents are of CPU time and memory, which other programs
        disturb least.

        Args:
            title (str): The quantity that grows.
            points (Sequence): Sizes and their measures, in increasing order.
            threads (int): Number of threads.
        """
        spreads: list[dict[str, Any]] = [
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

    def add_targets(self, targets: Sequence[Target]) -> None:
        """Compare the targets with the figures. Targets without a figure are skipped.

        Args:
            targets (Sequence[Target]): The targets.
        """
        for target in targets:
            if target.table in self.comparisons:
                measures = self.comparisons[target.table][target.row]
                measured = measures[target.measure]["ratio median"]
                entry = {**asdict(target), "measured": measured, "met": measured <= target.most}
                if target.measure == "wall s":
                    entry["measured by CPU s"] = measures["CPU s"]["ratio median"]
                self.targets.append(entry)
        if self.targets:
            print(targets_table(self.targets), flush=True)

    def write(self, output: Path) -> None:
        """Write the JSON file, and a Markdown file with the same name.

        Args:
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
            *self.tables,
        ]
        tables = ((self.comparisons, comparison_table), (self.curves, curve_table))
        for found, write_table in tables:
            for title, figures in found.items():
                parts += [f"Threads: {self.threads[title]}\n", write_table(title, figures)]
        output.with_suffix(".md").write_text("\n".join(parts))
        print(f"Wrote {output} and {output.with_suffix('.md')}")


def ratios_table(title: str, comparisons: Mapping[str, Mapping[str, Any]], measure: str) -> str:
    """The ratios of several comparisons with the same first row in one table in Markdown.

    Args:
        title (str): Its title.
        comparisons (Mapping): The heading of each column, and of further comparisons with other
            rows after ": ", to the result of `summarise`.
        measure (str): The measure whose ratios are shown.

    Returns:
        str: Each row once, with the median (lowest to highest) of the first comparison that has it.
    """
    columns = list(dict.fromkeys(name.split(":")[0] for name in comparisons))
    found: dict[str, dict[str, str]] = {}
    for name, comparison in comparisons.items():
        for row, figures in comparison.items():
            cells = found.setdefault(row, {})
            cells.setdefault(name.split(":")[0], spread_cell(figures[measure], "ratio "))
    rows = [[row, *(cells.get(column, "") for column in columns)] for row, cells in found.items()]
    return table([title, *columns], rows) + "\n"


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
    """A curve in Markdown. The last row has the fitted exponents."""
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
