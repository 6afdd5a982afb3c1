"""The results of an experiment and their comparison, as figures and as a page."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..report.markdown import escape, number, percent, table
from ..statistics import paired_bootstrap
from .plan import Plan, TrainRun
from .rows import FULL

#: The columns of Table 7: heading to measure, factor and digits.
COSTS = {
    "M parameters": ("parameters", 1e-6, 2),
    "M trained": ("trainable_parameters", 1e-6, 2),
    "s/step": ("seconds_per_step", 1, 3),
    "MB": ("peak_mb", 1, 0),
}

EXPLANATION = """Scores on the {scored} posts, in per cent: mean ± standard deviation over the \
seeds.
Differences to the full model are of F1, with the 95% interval and the two-sided p-value of a paired
bootstrap over posts, the predictions of all seeds pooled. An entity is seen if the training data
have an entity of its text and type. The parameters do not include a picture backbone. The seconds
of a step are the median; MB are the highest memory use of a run."""


def make_report(plan: Plan, command: str, failed: Sequence[TrainRun]) -> dict[str, Any]:
    """Collect the results of an experiment.

    Args:
        plan (Plan): The experiment.
        command (str): The command that started it.
        failed (Sequence[TrainRun]): The runs that ended with an error.

    Returns:
        dict: "rows" and "runs", the results of `collate` and `list_runs`; "scored", the split that
            is compared; "command"; "seeds"; "data"; "machines"; "failed", the runs that ended with
            an error; "left_out", the rows whose views the config does not have.
    """
    machines = [result["machine"] for run in plan.runs if (result := run.result())]
    return {
        "rows": collate(plan.runs),
        "runs": list_runs(plan.runs),
        "scored": plan.scored,
        "command": command,
        "seeds": plan.seeds,
        "data": plan.data,
        "machines": [one for i, one in enumerate(machines) if one not in machines[:i]],
        "failed": list(map(str, failed)),
        "left_out": plan.left_out,
    }


def collate(runs: Sequence[TrainRun]) -> list[dict[str, Any]]:
    """Summarise the results of each row, and compare them with the full model's.

    Scores are those on the test posts if there are any, and else on the dev posts. Two rows are
    compared by the seeds that both have, their predictions pooled.

    Args:
        runs (Sequence[TrainRun]): The runs; those without a result are left out.

    Returns:
        list: For each row its "row", "overrides", "seeds"; the mean and the standard deviation
            ("mean", "sd") over the seeds of "dev_f1", and of the scored posts' "f1", "precision",
            "recall", "f1_per_type", "seen_f1", "unseen_f1", "parameters" and
            "trainable_parameters", "seconds_per_step", "peak_mb"; "difference", its F1 minus that
            of the full model, with interval and p-value, None if there is nothing to compare; and
            "dev_difference", the same on the dev posts, on which settings are chosen.
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


def list_runs(runs: Sequence[TrainRun]) -> list[dict[str, Any]]:
    """The result of each run.

    Args:
        runs (Sequence[TrainRun]): The runs; those without a result are left out.

    Returns:
        list: For each its "row", "seed", "dev_f1" and "test_f1" (None without test posts), "steps",
            "best_step", "curve" (the step and the score of each evaluation), "seconds_per_step",
            "peak_mb" and "seconds", of training and scoring.
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


def summarise(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compute mean and standard deviation over the seeds of a row.

    Args:
        results (Sequence): The results of its runs.

    Returns:
        dict: Measure to "mean" and "sd".
    """
    scores = [result.get("test", result["dev"]) for result in results]
    types = sorted({name for score in scores for name in score["ents_per_type"]})
    return {
        "dev_f1": mean_sd([result["dev"]["ents_f"] for result in results]),
        "f1": mean_sd([score["ents_f"] for score in scores]),
        "precision": mean_sd([score["ents_p"] for score in scores]),
        "recall": mean_sd([score["ents_r"] for score in scores]),
        "f1_per_type": {
            name: mean_sd([score["ents_per_type"].get(name, {}).get("f") for score in scores])
            for name in types
        },
        "seen_f1": mean_sd([score["seen"]["f"] for score in scores]),
        "unseen_f1": mean_sd([score["unseen"]["f"] for score in scores]),
        **{key: mean_sd([result[key] for result in results]) for key, *_ in COSTS.values()},
    }


def mean_sd(values: Sequence[float | None]) -> dict[str, float | None]:
    """Compute mean and sample standard deviation.

    Args:
        values (Sequence): The values.

    Returns:
        dict: "mean", None if one of the values is; and "sd", None for fewer than two values.
    """
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return {"mean": None, "sd": None}
    sd = statistics.stdev(numbers) if len(numbers) > 1 else None
    return {"mean": statistics.fmean(numbers), "sd": sd}


def to_markdown(report: Mapping[str, Any]) -> str:
    """Write a report as a page: its tables, and the conditions of the experiment.

    Args:
        report (Mapping): The result of `make_report`.

    Returns:
        str: Markdown.
    """
    facts = [f"seeds: {', '.join(map(str, report['seeds']))}"]
    facts += [f"{name}: {_list(values)}" for name, values in report["data"].items()]
    facts += [f"machine: {_list(machine)}" for machine in report["machines"]]
    facts += [f"ended with an error: {run}" for run in report["failed"]]
    facts += [f"left out, since the config lacks a view of it: {row}" for row in report["left_out"]]
    blocks = [
        "# Ablation",
        EXPLANATION.format(scored=report["scored"]),
        _rows_table(report),
        _runs_table(report),
        f"```bash\n{report['command']}\n```",
        "\n".join(f"- {escape(fact)}" for fact in facts),
    ]
    return "\n\n".join(blocks) + "\n"


def _rows_table(report: Mapping[str, Any]) -> str:
    types = sorted({name for row in report["rows"] for name in row["f1_per_type"]})
    # If the dev posts are the scored ones, there is one difference.
    tested = report["scored"] == "test"
    header = ["row", "seeds", "dev F1", *(["dev, to full (95%)"] if tested else [])]
    header += ["F1", "P", "R", *types, "seen", "unseen", "to full (95%)", "p", *COSTS]
    rows = []
    for row in report["rows"]:
        scores = [row[key] for key in ("f1", "precision", "recall")]
        scores += [row["f1_per_type"].get(name) for name in types]
        scores += [row["seen_f1"], row["unseen_f1"]]
        rows.append(
            [
                row["row"],
                len(row["seeds"]),
                mean_cell(row["dev_f1"]),
                *(difference_cells(row["dev_difference"])[:1] if tested else []),
                *map(mean_cell, scores),
                *difference_cells(row["difference"]),
                *(number(row[key]["mean"], unit, digits) for key, unit, digits in COSTS.values()),
            ]
        )
    return table(header, rows)


def _runs_table(report: Mapping[str, Any]) -> str:
    header = ["run", "dev F1", "test F1", "steps", "best", "s/step", "MB", "s", "score by step"]
    digits = {"dev_f1": (100, 2), "test_f1": (100, 2), "steps": (1, 0), "best_step": (1, 0)}
    digits |= {"seconds_per_step": (1, 3), "peak_mb": (1, 0), "seconds": (1, 0)}
    rows = [
        [
            f"{run['row']}, seed {run['seed']}",
            *(number(run[key], *how) for key, how in digits.items()),
            ", ".join(f"{step}: {100 * f1:.2f}" for step, f1 in run["curve"]),
        ]
        for run in report["runs"]
    ]
    return table(header, rows)


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


def mean_cell(value: Mapping[str, float | None] | None) -> str:
    """A mean in per cent, and its standard deviation; a dash for None."""
    if value is None:
        return "-"
    mean = percent(value["mean"])
    return mean if value["sd"] is None else f"{mean} ± {percent(value['sd'])}"


def difference_cells(difference: Mapping[str, float] | None) -> tuple[str, str]:
    """A difference in per cent with its interval, and its p-value."""
    if difference is None:
        return "-", "-"
    f1, low, high = (100 * difference[key] for key in ("f1", "low", "high"))
    return f"{f1:+.2f} ({low:+.2f} to {high:+.2f})", f"{difference['p']:.4f}"


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != {})
