"""Scores as plots, drawn by matplotlib: SVG files that depend on nothing but the scores."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .sections import type_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Two colours of Okabe and Ito's palette for all kinds of colour vision.
BLUE, ORANGE = "#0072B2", "#E69F00"

#: From dark blue to light yellow, for all kinds of colour vision.
COLOUR_MAP = "cividis"

SETTINGS: Any = {
    "svg.hashsalt": "spacy-msvse",
    # Text is written as text, and a dollar sign in it as a dollar sign.
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_plots(scores: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw all plots of some scores.

    Args:
        scores (dict): The result of `evaluate`.

    Returns:
        dict: SVG files by name: "types", F1 of each type; "visual", F1 of the visual entity
            classifier for each view and type; "reliability", precision by confidence.
    """
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        figures = {"types": draw_types(type_rows(scores))}
        if "visual" in scores:
            figures["visual"] = draw_visual(scores["visual"])
        if scores["calibration"]["bins"]:
            figures["reliability"] = draw_reliability(scores["calibration"])
        return {name: _to_svg(figure) for name, figure in figures.items()}


def draw_types(rows: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw F1 as a bar for each type.

    Args:
        rows (dict): The result of `type_rows`; rows without any entity are left out.

    Returns:
        Figure: The plot.
    """
    from matplotlib.figure import Figure

    rows = {name: row for name, row in rows.items() if row["f"] is not None}
    figure = Figure(figsize=(6.4, 1.0 + 0.35 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [f"{name} ({row['gold']})" for name, row in rows.items()]
    bars = axes.barh(names, [100 * row["f"] for row in rows.values()], color=BLUE)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set(xlim=(0, 100), xlabel="F1, per cent", title="Entities (number in gold annotation)")
    axes.invert_yaxis()
    return figure


def draw_visual(visual: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw the visual entity classifier's F1, a row for each type and a column for each view.

    Args:
        visual (dict): The result of `visual_scores`.

    Returns:
        Figure: The plot.
    """
    from matplotlib.figure import Figure

    types = sorted({name for scores in visual.values() for name in scores["per_type"]})
    values = np.full((len(types), len(visual)), np.nan)
    for column, scores in enumerate(visual.values()):
        for name, row in scores["per_type"].items():
            values[types.index(name), column] = 100 * row["f"]
    size = (2.4 + 0.9 * len(visual), 1.4 + 0.4 * len(types))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap=COLOUR_MAP, vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        # A type that is neither in the posts nor predicted has no score.
        if not np.isnan(value):
            colour = "white" if value < 50 else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(visual)), labels=list(visual))
    axes.set_yticks(range(len(types)), labels=types)
    axes.set_title("Visual entity classifier")
    figure.colorbar(image, label="F1, per cent")
    return figure


def draw_reliability(calibration: Mapping[str, Any]) -> "Figure":
    """Draw precision by confidence, a point for each bin.

    Args:
        calibration (dict): The result of `calibration_scores`.

    Returns:
        Figure: The plot.
    """
    from matplotlib.figure import Figure

    confidences = [100 * row["confidence"] for row in calibration["bins"]]
    precisions = [100 * row["precision"] for row in calibration["bins"]]
    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 100), (0, 100), color="grey", linestyle="--", label="perfect calibration")
    axes.vlines(confidences, confidences, precisions, color=ORANGE)
    axes.plot(confidences, precisions, "o", color=BLUE, label="entities of similar confidence")
    axes.set(
        xlim=(0, 102),
        ylim=(0, 102),
        aspect="equal",
        xlabel="mean confidence, per cent",
        ylabel="precision, per cent",
        title=f"Expected calibration error {100 * calibration['ece']:.1f}",
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _to_svg(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
