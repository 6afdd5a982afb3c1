"""What the runs of an ablation came to, as figures to read on and as a page."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from wasabi import MarkdownRenderer

from .ablation import FULL, Run
from .significance import paired_bootstrap

#: Table 7's columns: heading to measure, unit and digits.
COSTS = {
    "M parameters": ("parameters", 1e-6, 2),
    "M trained": ("trainable_parameters", 1e-6, 2),
    "s/step": ("seconds_per_step", 1, 3),
    "MB": ("peak_mb", 1, 0),
}


def collate(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Summarise the results of each row, and compare them with the full model's.

    Scores are those on the test posts if there are any, and else on the dev posts. Rows are
    compared by the seeds that both have, their predictions pooled.

    runs (Sequence[Run]): The runs; those without a result are left out.
    RETURNS (list): For each row its "row", "overrides", "seeds"; the mean and the standard
        deviation ("mean", "sd") over the seeds of "dev_f1", and of the scored posts' "f1",
        "precision", "recall", "f1_per_type", "seen_f1", "unseen_f1", "parameters" and
        "trainable_parameters", "seconds_per_step", "peak_mb"; "difference", how far it is above the
        full model, see `paired_bootstrap`, None if there is nothing to compare; and
        "dev_difference", the same on the dev posts, where settings are chosen.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        result = run.result()
        if result is not None:
            found.setdefault(run.row, {})[run.seed] = result
    overrides = {run.row: run.overrides for run in runs}
    rows = []
    for row, results in found.items():
        full = {} if row == FULL else found.get(FULL, {})
        tested = any("test" in result for result in results.values())
        dev_difference = _compare(results, full, "dev")
        rows.append(
            {
                "row": row,
                "overrides": overrides[row],
                "seeds": sorted(results),
                **summarise(list(results.values())),
                "difference": _compare(results, full, "test") if tested else dev_difference,
                "dev_difference": dev_difference,
            }
        )
    return rows


def list_runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What each run came to by itself.

    runs (Sequence[Run]): The runs; those without a result are left out.
    RETURNS (list): For each its "row", "seed", "dev_f1" and "test_f1" (None without test posts),
        "steps", "best_step", "curve" (the step and the score of each evaluation),
        "seconds_per_step", "peak_mb" and "seconds", of training and scoring.
    """
    measures = ("steps", "best_step", "curve", "seconds_per_step", "peak_mb", "seconds")
    return [
        {
            "row": run.row,
            "seed": run.seed,
            "dev_f1": result["dev"]["ents_f"],
            "test_f1": result.get("test", {}).get("ents_f"),
            **{key: result[key] for key in measures},
        }
        for run in runs
        if (result := run.result())
    ]


def summarise(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of a row; see `collate`."""
    scores = [result.get("test", result["dev"]) for result in results]
    types = sorted({name for score in scores for name in score["ents_per_type"] or ()})
    return {
        "dev_f1": mean_sd([result["dev"]["ents_f"] for result in results]),
        "f1": mean_sd([score["ents_f"] for score in scores]),
        "precision": mean_sd([score["ents_p"] for score in scores]),
        "recall": mean_sd([score["ents_r"] for score in scores]),
        "f1_per_type": {
            name: mean_sd([(s["ents_per_type"] or {}).get(name, {}).get("f") for s in scores])
            for name in types
        },
        "seen_f1": mean_sd([score["seen"]["f"] for score in scores]),
        "unseen_f1": mean_sd([score["unseen"]["f"] for score in scores]),
        **{key: mean_sd([result[key] for result in results]) for key, *_ in COSTS.values()},
    }


def mean_sd(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and sample standard deviation.

    values (Sequence): The values.
    RETURNS (dict): "mean", None if a value is; and "sd", None for fewer than two values.
    """
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return {"mean": None, "sd": None}
    sd = statistics.stdev(numbers) if len(numbers) > 1 else None
    return {"mean": statistics.fmean(numbers), "sd": sd}


def to_markdown(report: Mapping[str, Any]) -> str:
    """Write a report as a page: the table, and how it came about.

    report (Mapping): "rows" and "runs", what `collate` and `list_runs` returned; "command",
        "seeds", "scored" (which split), "data" and "machines"; "failed", the runs that ended with
        an error; "left_out", the rows that the config has no views for.
    RETURNS (str): Markdown.
    """
    types = sorted({name for row in report["rows"] for name in row["f1_per_type"]})
    # Scored on the dev posts, one difference is the other.
    tested = report["scored"] == "test"
    header = [
        "row",
        "seeds",
        "dev F1",
        *(["dev, to full (95%)"] if tested else []),
        "F1",
        "P",
        "R",
        *types,
        "seen",
        "unseen",
        "to full (95%)",
        "p",
        *COSTS,
    ]
    table = []
    for row in report["rows"]:
        scores = [row[key] for key in ("f1", "precision", "recall")]
        scores += [row["f1_per_type"].get(name) for name in types]
        scores += [row["seen_f1"], row["unseen_f1"]]
        table.append(
            [
                row["row"],
                str(len(row["seeds"])),
                percent(row["dev_f1"]),
                *(difference_cells(row["dev_difference"])[:1] if tested else []),
                *map(percent, scores),
                *difference_cells(row["difference"]),
                *(number(row[key]["mean"], unit, digits) for key, unit, digits in COSTS.values()),
            ]
        )
    page = MarkdownRenderer()
    page.add(page.title(1, "Ablation"))
    page.add(
        f"Scores on the {report['scored']} posts, in per cent: mean ± standard deviation over the "
        "seeds. Differences to the full model are of F1, with the 95% interval and the two-sided "
        "p-value of a paired bootstrap over posts, the seeds' predictions pooled. An entity is "
        "seen if training has one of its text and type. Parameters leave a picture backbone out. A "
        "step's seconds are the median; MB are the most that a run held."
    )
    page.add(page.table(table, header, ["l", *"r" * (len(header) - 1)]))
    header = ["run", "dev F1", "test F1", "steps", "best", "s/step", "MB", "s", "score by step"]
    digits = {"dev_f1": (100, 2), "test_f1": (100, 2), "steps": (1, 0), "best_step": (1, 0)}
    digits |= {"seconds_per_step": (1, 3), "peak_mb": (1, 0), "seconds": (1, 0)}
    table = [
        [
            f"{run['row']}, seed {run['seed']}",
            *(number(run[key], *how) for key, how in digits.items()),
            ", ".join(f"{step}: {100 * f1:.2f}" for step, f1 in run["curve"]),
        ]
        for run in report["runs"]
    ]
    page.add(page.table(table, header, ["l", *"r" * (len(header) - 1)]))
    page.add(page.code_block(report["command"], "bash"))
    facts = [f"seeds: {', '.join(map(str, report['seeds']))}"]
    facts += [f"{name}: {_told(values)}" for name, values in report["data"].items()]
    facts += [f"machine: {_told(machine)}" for machine in report["machines"]]
    facts += [f"ended with an error: {run}" for run in report["failed"]]
    facts += [f"left out, the config reads not all its views: {row}" for row in report["left_out"]]
    page.add(page.list(facts))
    return page.text + "\n"


def _compare(
    results: Mapping[int, dict[str, Any]], full: Mapping[int, dict[str, Any]], split: str
) -> dict[str, float] | None:
    seeds = results.keys() & full.keys()
    if not seeds:
        return None
    own, others = (
        np.sum([r[seed][split]["post_counts"] for seed in seeds], axis=0) for r in (results, full)
    )
    return vars(paired_bootstrap(own, others))


def percent(value: Mapping[str, float | None] | None) -> str:
    """RETURNS (str): A mean in per cent, and its standard deviation; a dash if there is none."""
    if value is None:
        return "-"
    mean = number(value["mean"], 100, 2)
    return mean if value["sd"] is None else f"{mean} ± {number(value['sd'], 100, 2)}"


def number(value: float | None, unit: float, digits: int) -> str:
    """RETURNS (str): A figure in another unit; a dash if there is none."""
    return "-" if value is None else f"{value * unit:.{digits}f}"


def difference_cells(difference: Mapping[str, float] | None) -> tuple[str, str]:
    """RETURNS (tuple): A difference in per cent with its interval, and its p-value."""
    if difference is None:
        return "-", "-"
    f1, low, high = (100 * difference[key] for key in ("f1", "low", "high"))
    return f"{f1:+.2f} ({low:+.2f} to {high:+.2f})", f"{difference['p']:.4f}"


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != {})
