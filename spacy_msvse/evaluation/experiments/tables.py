"""The results of an experiment as a page, as CSV and as LaTeX."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from ..report.markdown import escape, latex, number, percent, table
from .collate import COSTS
from .rows import WITHOUT_PICTURES

EXPLANATION = """Scores on the {scored} posts, in per cent: mean ± standard deviation over the \
seeds.
Differences to the row {against} are of F1, with the 95% interval and the two-sided p-value of a
paired bootstrap over posts, the predictions of all seeds pooled."""

PUBLISHED = """The published F1 are those of papers, on Twitter-2015 and Twitter-2017. They were not
measured on equal terms, and on other data than these if the data named below are others."""

TYPES = """An entity is seen if the training data have an entity of its text and type."""

EFFECTS = """F1 with the right pictures; then that of the same pipeline without the pictures, that
with the pictures of other posts, and that of the same method trained and scored without pictures,
each with the difference of the first F1 to it and its 95% interval."""

COSTS_EXPLAINED = """Parameters in millions: without and with the extractor of pictures, and those
that are trained. The seconds of a step are the median; MB are the highest memory use of a run."""

#: The headings of the controls.
AGAINST = {
    "no_picture": "no picture",
    "shuffled": "shuffled",
    WITHOUT_PICTURES: "trained without pictures",
}

#: The heading, and the rows.
Table = tuple[list[str], list[list[str]]]


def to_markdown(report: Mapping[str, Any]) -> str:
    """Write a report as a page: its tables, and the conditions of the experiment.

    Args:
        report (Mapping): The result of `make_report`.

    Returns:
        str: Markdown.
    """
    facts = [f"seeds: {', '.join(map(str, report['seeds']))}"]
    facts += [f"{report['posts']} posts and {report['entities']} entities are scored"]
    facts += [f"{name}: {_list(values)}" for name, values in report["data"].items()]
    facts += [f"machine: {_list(machine)}" for machine in report["machines"]]
    facts += [f"ended with an error: {run}" for run in report["failed"]]
    facts += [f"left out, since the config lacks a view of it: {row}" for row in report["left_out"]]
    published = _has_published(report)
    effects = _effects_table(report)
    blocks = [
        "# Ablation",
        EXPLANATION.format(**report) + (f" {PUBLISHED}" if published else ""),
        table(*_scores_table(report)),
        "## Pictures" if effects[1] else "",
        EFFECTS if effects[1] else "",
        table(*effects) if effects[1] else "",
        "## Types",
        TYPES,
        table(*_types_table(report)),
        "## Costs",
        COSTS_EXPLAINED,
        table(*_costs_table(report)),
        "## Runs",
        table(*_runs_table(report)),
        "## Conditions",
        f"```bash\n{report['command']}\n```",
        "\n".join(f"- {escape(fact)}" for fact in facts),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def to_csv(report: Mapping[str, Any]) -> str:
    """Write the figures of all rows, unrounded: scores and shares as fractions.

    Args:
        report (Mapping): The result of `make_report`.

    Returns:
        str: CSV with one line for each row.
    """
    lines = [dict(_flat(row)) for row in report["rows"]]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def to_latex(report: Mapping[str, Any]) -> str:
    """Write the table of scores and costs in LaTeX, for the package booktabs.

    Args:
        report (Mapping): The result of `make_report`.

    Returns:
        str: An environment `tabular`.
    """
    header, scores = _scores_table(report)
    more, costs = _costs_table(report)
    rows = [[*own, *others[1:]] for own, others in zip(scores, costs, strict=True)]
    return latex([*header, *more[1:]], rows) + "\n"


def _scores_table(report: Mapping[str, Any]) -> Table:
    # If the dev posts are the scored ones, there is one difference.
    tested = report["scored"] == "test"
    published = _has_published(report)
    header = ["row", "seeds", *(["built", "2015", "2017"] if published else []), "dev F1"]
    difference = difference_heading(report["against"])
    header += [*([f"dev, {difference}"] if tested else []), "F1", "P", "R", difference, "p"]
    rows = []
    for row in report["rows"]:
        rows.append(
            [
                row["row"],
                str(len(row["seeds"])),
                *(_published_cells(row["published"]) if published else []),
                mean_cell(row["dev_f1"]),
                *(difference_cells(row["dev_difference"])[:1] if tested else []),
                *(mean_cell(row[key]) for key in ("f1", "precision", "recall")),
                *difference_cells(row["difference"]),
            ]
        )
    return header, rows


def _types_table(report: Mapping[str, Any]) -> Table:
    types = sorted({name for row in report["rows"] for name in row["f1_per_type"]})
    rows = [
        [
            row["row"],
            *(mean_cell(row["f1_per_type"].get(name)) for name in types),
            mean_cell(row["seen_f1"]),
            mean_cell(row["unseen_f1"]),
        ]
        for row in report["rows"]
    ]
    return ["row", *types, "seen", "unseen"], rows


def _effects_table(report: Mapping[str, Any]) -> Table:
    header = ["row", "posts", "number", "F1"]
    for name in AGAINST.values():
        header += [name, "difference (95%)"]
    rows = []
    for row in report["rows"]:
        for posts, effect in row["effects"].items():
            cells = [row["row"], posts, str(effect["posts"]), mean_cell(effect["f1"])]
            for name in AGAINST:
                other = effect["against"].get(name, {"f1": None, "difference": None})
                cells += [mean_cell(other["f1"]), difference_cells(other["difference"])[0]]
            rows.append(cells)
    return header, rows


def _costs_table(report: Mapping[str, Any]) -> Table:
    header = ["row", "M parameters", "M with extractor", "M trained", "s/step", "MB"]
    rows = []
    for row in report["rows"]:
        own, trained, extractors, seconds, memory = (row[key]["mean"] for key in COSTS)
        rows.append(
            [
                row["row"],
                number(own, 1e-6, 2),
                number(own + extractors, 1e-6, 2),
                number(trained, 1e-6, 2),
                number(seconds, 1, 3),
                number(memory, 1, 0),
            ]
        )
    return header, rows


def _runs_table(report: Mapping[str, Any]) -> Table:
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
    return header, rows


def _has_published(report: Mapping[str, Any]) -> bool:
    """Whether methods are compared: an ablation of one method has nothing published."""
    systems = {row["published"]["name"] for row in report["rows"] if row["published"]}
    return len(systems) > 1


def _published_cells(system: Mapping[str, Any] | None) -> list[str]:
    if system is None:
        return ["-"] * 3
    return [system["built"], f"{system['twitter2015']:.2f}", f"{system['twitter2017']:.2f}"]


def mean_cell(value: Mapping[str, float | None] | None) -> str:
    """A mean in per cent, and its standard deviation; a dash for None."""
    if value is None:
        return "-"
    mean = percent(value["mean"])
    return mean if value["sd"] is None else f"{mean} ± {percent(value['sd'])}"


def difference_heading(against: str) -> str:
    """The heading of differences to a row."""
    return f"to {against} (95%)"


def difference_cells(difference: Mapping[str, float] | None) -> tuple[str, str]:
    """A difference in per cent with its interval, and its p-value."""
    if difference is None:
        return "-", "-"
    f1, low, high = (100 * difference[key] for key in ("f1", "low", "high"))
    return f"{f1:+.2f} ({low:+.2f} to {high:+.2f})", f"{difference['p']:.4f}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each figure by its dotted name, without the settings of the row."""
    for name, value in values.items():
        if name == "seeds":
            yield name, len(value)
        elif isinstance(value, Mapping) and name != "overrides":
            yield from _flat(value, f"{prefix}{name}.")
        elif name != "overrides":
            yield prefix + name, value


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != {})
