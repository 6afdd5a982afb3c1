"""Scores as Markdown: what a model card and a report have in common."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .conlleval import counted_rows

#: What Markdown takes for more than text, besides the characters of HTML.
_MARKUP = re.compile(r"[\\`*_~!|\[\]]")

#: How scores are told what was done to the pictures.
CONDITIONS = {None: "their own", "no_picture": "none", "shuffled": "those of other posts"}


def render_scores(
    template: str,
    measured: Sequence[Mapping[str, Any]],
    *,
    plots: Collection[str] = (),
    **values: Any,
) -> str:
    """Fill in a template that includes `scores.md`.

    template (str): Its name.
    measured (Sequence): What `evaluate` returned, with its "control"; the same under controls, on
        the same posts.
    plots (Collection[str]): The plots that lie beside the file, see `draw_plots`.
    values: What else the template inserts.
    RETURNS (str): Markdown.
    """
    # Every value that the template inserts passes through `escape`.
    environment = Environment(
        loader=PackageLoader("spacy_msvse", "evaluation"),
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    metrics = measured[0]
    markdown = environment.get_template(template).render(
        metrics={"calibration": None, **metrics},
        conditions=[scores["control"] for scores in measured],
        scores=score_rows(measured),
        types=type_rows(metrics),
        plots=plots,
        statuses=sorted({status for counts in metrics["views"].values() for status in counts}),
        **values,
    )
    return align_tables(markdown)


def align_tables(markdown: str) -> str:
    """Pad the cells of all tables, so that they can be read as they stand.

    markdown (str): Markdown whose tables' lines begin with a bar.
    RETURNS (str): The same tables, wider.
    """
    lines: list[str] = []
    for is_table, block in groupby(markdown.split("\n"), key=lambda line: line.startswith("|")):
        if not is_table:
            lines += block
            continue
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rules = rows[1]
        for row in rows:
            fill = "-" if row is rules else " "
            cells = (
                cell.rjust(width, fill) if rule.endswith(":") else cell.ljust(width, fill)
                for cell, rule, width in zip(row, rules, widths, strict=True)
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def score_rows(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of scores over all posts and over each slice, under each condition.

    measured (Sequence): What `evaluate` returned for each condition.
    RETURNS (list): The rows.
    """
    rows = []
    for name in (None, *measured[0]["slices"]):
        for condition in measured:
            scores = condition if name is None else condition["slices"][name]
            counts = scores["entities_per_type"].values()
            rows.append(
                {
                    "posts": name or "all",
                    "pictures": CONDITIONS[condition["control"]],
                    "number": scores["posts"],
                    "gold": sum(count["gold"] for count in counts),
                    "predicted": sum(count["predicted"] for count in counts),
                    **{key: scores[f"ents_{key}"] for key in "prf"},
                }
            )
    return rows


def type_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of scores for each type, and for seen and unseen entities if these were told apart.

    metrics (dict): What `evaluate` returned.
    RETURNS (list): The rows, each with conlleval's scores, and with "spacy", those of spaCy, which
        does not tell seen from unseen.
    """
    overall = {key: metrics[f"ents_{key}"] for key in "prf"}
    scores = {"all types": overall, **(metrics["ents_per_type"] or {})}
    return [
        {"name": name, **counts, "spacy": scores.get(name, dict.fromkeys("prf"))}
        for name, counts in counted_rows(metrics).items()
    ]


def percent(value: float | None) -> str:
    """RETURNS (str): A fraction in per cent; a dash if there is none."""
    return "-" if value is None else f"{100 * value:.2f}"


def escape(value: Any) -> Any:
    """RETURNS (Any): A text so that no table or page takes it for more than text. `Markup` is an
    author's own Markdown and stays as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKUP.sub(r"\\\g<0>", text)
