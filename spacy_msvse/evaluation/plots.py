"""Scores as plots, drawn by matplotlib. SVG that is the same for the same scores."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .conlleval import counted_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Of the colours that Okabe and Ito chose for all kinds of colour vision.
BLUE, ORANGE = "#0072B2", "#E69F00"

#: Goes from dark blue to light yellow for all kinds of colour vision.
COLOUR_MAP = "cividis"

SETTINGS: Any = {
    "svg.hashsalt": "spacy-msvse",
    # Text stays text; a dollar sign in it is one.
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_plots(scores: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw all plots that the scores give.

    scores (dict): What `evaluate` returned.
    RETURNS (dict): SVG files by name: "types", F1 of each type; "visual", F1 of the visual entity
        classifier for each view and type; "reliability", precision beside confidence.
    """
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        figures = {"types": draw_types(counted_rows(scores))}
        if "visual" in scores:
            figures["visual"] = draw_visual(scores["visual"])
        if scores["calibration"]["bins"]:
            figures["reliability"] = draw_reliability(scores["calibration"])
        return {name: _to_svg(figure) for name, figure in figures.items()}


def draw_types(rows: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw F1 as a bar for each type.

    rows (dict): What `counted_rows` returned.
    RETURNS (Figure): The plot.
    """
    from matplotlib.figure import Figure

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

    visual (dict): What `visual_scores` returned.
    RETURNS (Figure): The plot.
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
        # A type that neither the posts nor the view speaks of has no score.
        if not np.isnan(value):
            colour = "white" if value < 50 else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(visual)), labels=list(visual))
    axes.set_yticks(range(len(types)), labels=types)
    axes.set_title("Visual entity classifier")
    figure.colorbar(image, label="F1, per cent")
    return figure


def draw_reliability(calibration: Mapping[str, Any]) -> "Figure":
    """Draw precision beside confidence, a point for each bin.

    calibration (dict): What `calibration_scores` returned.
    RETURNS (Figure): The plot.
    """
    from matplotlib.figure import Figure

    confidences = [100 * row["confidence"] for row in calibration["bins"]]
    precisions = [100 * row["precision"] for row in calibration["bins"]]
    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 100), (0, 100), color="grey", linestyle="--", label="as promised")
    axes.vlines(confidences, confidences, precisions, color=ORANGE)
    axes.plot(confidences, precisions, "o", color=BLUE, label="entities of like confidence")
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
