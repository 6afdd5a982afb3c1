"""Gather a run's scores, time and memory in one file, in per cent, seconds and megabytes."""

from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

ROWS = ("msvse", "no_picture", "shuffled", "text_only")


def main(
    folder: Annotated[Path, typer.Argument(help="The run's metrics", exists=True)],
    output: Annotated[Path, typer.Argument(help="JSON file to write")],
    wheel: Annotated[Path, typer.Option(help="The wheel that the run built", exists=True)],
) -> None:
    """Write the file and print it as a table."""
    report: dict[str, Any] = {row: percent(srsly.read_json(folder / f"{row}.json")) for row in ROWS}
    report["calibration"] = {
        "before": calibration(srsly.read_json(folder / "uncalibrated.json")),
        "after": calibration(srsly.read_json(folder / "msvse.json")),
    }
    steps = [srsly.read_json(path) for path in sorted((folder / "steps").glob("*.json"))]
    report["seconds"] = round(sum(step["seconds"] for step in steps), 1)
    report["peak_mb"] = round(max(step["peak_mb"] for step in steps), 1)
    report["wheel"] = str(wheel)
    srsly.write_json(output, report)
    keys = ("ents_p", "ents_r", "ents_f", "picture_decides_f")
    rows = [(row, *map(cell, map(report[row].get, keys))) for row in ROWS]
    msg.table(rows, header=("per cent", *keys), aligns=("l", *"rrrr"), divider=True)
    rows = [
        (name, f"{told['temperature']:.3f}", told["ece"], *told["ece_interval"])
        for name, told in report["calibration"].items()
    ]
    header = ("calibration", "temperature", "error in per cent", "from", "to")
    msg.table(rows, header=header, aligns=("l", *"rrrr"), divider=True)
    msg.good(f"{report['seconds']} s, {report['peak_mb']} MB at most; wrote {output}")


def percent(scores: dict[str, Any]) -> dict[str, Any]:
    """The scores that are reported, in per cent; None where the data mark no such posts."""
    marked = scores["slices"].get("picture_decides")
    return {
        **{key: _round(scores[key]) for key in ("ents_p", "ents_r", "ents_f")},
        "ents_per_type": {
            name: {key: _round(value) for key, value in values.items()}
            for name, values in scores["ents_per_type"].items()
        },
        "picture_decides_f": None if marked is None else _round(marked["ents_f"]),
    }


def calibration(scores: dict[str, Any]) -> dict[str, Any]:
    """The temperature and, in per cent, the expected calibration error with its interval."""
    measured = scores["calibration"]
    (temperature,) = scores["temperatures"].values()
    return {
        "temperature": temperature,
        "entities": measured["entities"],
        "ece": _round(measured["ece"]),
        "ece_interval": [_round(value) for value in measured["ece_interval"] or (0.0, 0.0)],
    }


def cell(value: float | None) -> str:
    """A score in the table; a dash if there is none."""
    return "-" if value is None else f"{value:.2f}"


def _round(value: float | None) -> float:
    return round(100 * (value or 0.0), 2)


if __name__ == "__main__":
    typer.run(main)
