"""The results of an experiment and their comparison, as figures."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from thinc.api import Config

from ..statistics import f1_score, paired_bootstrap
from .plan import Plan, TrainRun
from .published import find_system
from .rows import FULL, WITHOUT_PICTURES

#: Right, predicted and gold entities of each post.
Counts = Sequence[Sequence[int]]

#: The costs of a run, which do not depend on its posts.
COSTS = (
    "parameters",
    "trainable_parameters",
    "extractor_parameters",
    "seconds_per_step",
    "peak_mb",
)

#: The name of all posts among the slices of `find_effects`.
ALL = "all"


def make_report(plan: Plan, command: str, failed: Sequence[TrainRun]) -> dict[str, Any]:
    """Collect the results of an experiment.

    Args:
        plan (Plan): The experiment.
        command (str): The command that started it.
        failed (Sequence[TrainRun]): The runs that ended with an error.

    Returns:
        dict: "rows" and "runs", the results of `collate` and `list_runs`; "against", the row that
            others are compared with; "scored", the split that is compared; "posts" and "entities",
            the numbers of them in it, None without a result; "command"; "seeds"; "data";
            "machines"; "failed", the runs that ended with an error; "left_out", the rows whose
            views the config does not have.
    """
    results = [result for run in plan.runs if (result := run.result())]
    machines = [result["machine"] for result in results]
    scores = results[0].get("test", results[0]["dev"]) if results else None
    return {
        "rows": collate(plan.runs, plan.against),
        "against": plan.against,
        "runs": list_runs(plan.runs),
        "scored": plan.scored,
        "posts": scores and scores["posts"],
        "entities": scores and scores["entities"]["gold"],
        "command": command,
        "seeds": plan.seeds,
        "data": plan.data,
        "machines": [one for i, one in enumerate(machines) if one not in machines[:i]],
        "failed": list(map(str, failed)),
        "left_out": plan.left_out,
    }


def collate(runs: Sequence[TrainRun], against: str = FULL) -> list[dict[str, Any]]:
    """Summarise the results of each row, and compare them with those of one row.

    Scores are those on the test posts if there are any, and else on the dev posts. Two rows are
    compared by the seeds that both have, their predictions pooled.

    Args:
        runs (Sequence[TrainRun]): The runs; those without a result are left out.
        against (str): The row that all others are compared with.

    Returns:
        list: For each row its "row", "overrides", "seeds"; the mean and the standard deviation
            ("mean", "sd") over the seeds of "dev_f1", and of the scored posts' "f1", "precision",
            "recall", "f1_per_type", "seen_f1", "unseen_f1", and of each of the `COSTS`;
            "difference", its F1 minus that of the row `against`, with interval and p-value, None if
            there is nothing to compare; "dev_difference", the same on the dev posts, on which
            settings are chosen; "effects", the result of `find_effects`; and "published", the
            published system that the row is named after, or whose method it has, None if there is
            none.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        result = run.result()
        if result is not None:
            found.setdefault(run.row, {})[run.seed] = result
    first = {run.row: run for run in reversed(runs)}
    rows = []
    for row, results in found.items():
        others = {} if row == against else found.get(against, {})
        tested = any("test" in result for result in results.values())
        dev_difference = _compare(results, others, "dev")
        without = row + WITHOUT_PICTURES
        cleared = row.endswith(WITHOUT_PICTURES)
        system = None if cleared else find_system(row, architectures(first[row].config))
        rows.append(
            {
                "row": row,
                "overrides": first[row].overrides,
                "seeds": sorted(results),
                **summarise(list(results.values())),
                "difference": _compare(results, others, "test") if tested else dev_difference,
                "dev_difference": dev_difference,
                "effects": {} if cleared else find_effects(results, found.get(without, {})),
                "published": None if system is None else asdict(system),
            }
        )
    return rows


def find_effects(
    results: Mapping[int, dict[str, Any]], without: Mapping[int, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Compare a row with itself under controls, and with its method trained without pictures.

    Args:
        results (Mapping): Seed to the result of the row.
        without (Mapping): Seed to the result of its method trained without pictures.

    Returns:
        dict: For all posts (`ALL`) and for each marked slice of the posts, its name to "posts",
            their number, "f1", and "against": the name of the control, or `WITHOUT_PICTURES`, to
            its "f1" and the "difference" of the row to it. Empty if the row reads no pictures.
    """
    counts = _scored_counts(results)
    others: dict[str, dict[int, Any]] = {}
    for seed, result in results.items():
        for name, control in result["controls"].items():
            others.setdefault(name, {})[seed] = control["post_counts"]
    if without:
        others[WITHOUT_PICTURES] = _scored_counts(without)
    if not others:
        return {}
    some = next(iter(results.values()))
    slices = {ALL: list(range(len(next(iter(counts.values()))))), **some["slices"]}
    return {
        name: {
            "posts": len(rows),
            "f1": _mean_f1(counts, rows),
            "against": {
                other: {
                    "f1": _mean_f1(other_counts, rows),
                    "difference": _compare_counts(counts, other_counts, rows),
                }
                for other, other_counts in others.items()
            },
        }
        for name, rows in slices.items()
    }


def architectures(config: Config) -> Iterator[str]:
    """The registered names of the methods of a pipeline.

    Args:
        config (Config): Its config.

    Yields:
        str: Names.
    """
    for block in config["components"].values():
        model = block.get("model")
        if isinstance(model, dict) and "@architectures" in model:
            yield model["@architectures"]


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
        **{key: mean_sd([result[key] for result in results]) for key in COSTS},
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


def _scored_counts(results: Mapping[int, dict[str, Any]]) -> dict[int, Counts]:
    return {seed: one.get("test", one["dev"])["post_counts"] for seed, one in results.items()}


def _compare(
    results: Mapping[int, dict[str, Any]], others: Mapping[int, dict[str, Any]], split: str
) -> dict[str, float] | None:
    own, theirs = (
        {seed: result[split]["post_counts"] for seed, result in part.items()}
        for part in (results, others)
    )
    return _compare_counts(own, theirs)


def _compare_counts(
    own: Mapping[int, Counts], others: Mapping[int, Counts], rows: Sequence[int] | None = None
) -> dict[str, float] | None:
    """The difference over the seeds of both; None if there is no such seed, or the posts differ."""
    seeds = sorted(own.keys() & others.keys())
    if not seeds or any(len(own[seed]) != len(others[seed]) for seed in seeds):
        return None
    sums = [np.sum([part[seed] for seed in seeds], axis=0) for part in (own, others)]
    if rows is not None:
        sums = [counts[rows] for counts in sums]
    return vars(paired_bootstrap(*sums))


def _mean_f1(counts: Mapping[int, Counts], rows: Sequence[int]) -> dict[str, float | None]:
    return mean_sd([float(f1_score(np.asarray(one)[rows].sum(axis=0))) for one in counts.values()])
