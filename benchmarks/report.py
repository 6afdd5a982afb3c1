"""The last commands of project.yml: report the results of a run, and check its wheel."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

ROWS = ("msvse", "no_picture", "shuffled", "text_only")
SCORES = ("ents_p", "ents_r", "ents_f", "picture_decides_f")

app = typer.Typer(add_completion=False)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the run's metrics", exists=True)],
    output: Annotated[Path, typer.Argument(help="JSON file to write")],
    wheel: Annotated[Path, typer.Option(help="The wheel of the run", exists=True)],
) -> None:
    """Write scores, calibration, time and memory to one file, and print them as tables.

    Scores are in per cent, time is in seconds, memory in megabytes.
    """
    found: dict[str, Any] = {row: percent(srsly.read_json(folder / f"{row}.json")) for row in ROWS}
    found["calibration"] = {
        "before": calibration(srsly.read_json(folder / "uncalibrated.json")),
        "after": calibration(srsly.read_json(folder / "msvse.json")),
    }
    steps = [srsly.read_json(path) for path in sorted((folder / "steps").glob("*.json"))]
    found["seconds"] = round(sum(step["seconds"] for step in steps), 1)
    found["peak_mb"] = round(max(step["peak_mb"] for step in steps), 1)
    found["wheel"] = str(wheel)
    srsly.write_json(output, found)
    rows = [(row, *(cell(found[row][score]) for score in SCORES)) for row in ROWS]
    msg.table(rows, header=("per cent", *SCORES), aligns=("l", *"rrrr"), divider=True)
    rows = [
        (name, f"{one['temperature']:.3f}", one["ece"], *one["ece_interval"])
        for name, one in found["calibration"].items()
    ]
    header = ("calibration", "temperature", "error in per cent", "from", "to")
    msg.table(rows, header=header, aligns=("l", *"rrrr"), divider=True)
    msg.good(f"{found['seconds']} s, at most {found['peak_mb']} MB; wrote {output}")


@app.command("check-wheel")
def check_wheel(
    wheel: Annotated[Path, typer.Argument(help="The wheel of a pipeline", exists=True)],
    data: Annotated[Path, typer.Argument(help=".spacy file of gold posts", exists=True)],
    expected: Annotated[Path, typer.Option(help="Scores of the pipeline in the wheel")],
    output: Annotated[Path, typer.Option(help="JSON file for the scores")],
    image_root: Annotated[Path, typer.Option(help="Folder of the pictures")],
) -> None:
    """Install a wheel in a temporary folder, evaluate it, and fail if the scores differ."""
    name = wheel.name.split("-")[0]
    with tempfile.TemporaryDirectory() as site:
        install = ["pip", "install", "--quiet", "--no-deps", "--target", site, str(wheel)]
        subprocess.run([sys.executable, "-m", *install], check=True)
        evaluate = ["spacy", "msvse", "evaluate", name, str(data), "--output", str(output)]
        # Without a feature store, the wheel has to extract the features with its own weights.
        subprocess.run(
            [sys.executable, "-m", *evaluate, "--image-root", str(image_root)],
            env={**os.environ, "PYTHONPATH": site, "HF_HUB_OFFLINE": "1"},
            check=True,
        )
    built, installed = srsly.read_json(expected), srsly.read_json(output)
    if built["ents_per_type"] != installed["ents_per_type"]:
        sys.exit(f"F1 of the wheel is {installed['ents_f']}, of the pipeline {built['ents_f']}")
    print(f"{name}: the installed wheel has the scores of the pipeline")


def percent(scores: dict[str, Any]) -> dict[str, Any]:
    """The reported scores in per cent. `picture_decides_f` is None if no post has this mark."""
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
    """The temperature, and the expected calibration error with its interval in per cent."""
    measured = scores["calibration"]
    (temperature,) = scores["temperatures"].values()
    return {
        "temperature": temperature,
        "entities": measured["entities"],
        "ece": _round(measured["ece"]),
        "ece_interval": [_round(value) for value in measured["ece_interval"] or (0.0, 0.0)],
    }


def cell(value: float | None) -> str:
    """A score as a cell of a table, a dash for None."""
    return "-" if value is None else f"{value:.2f}"


def _round(value: float | None) -> float:
    return round(100 * (value or 0.0), 2)


if __name__ == "__main__":
    app()
