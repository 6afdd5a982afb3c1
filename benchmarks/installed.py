"""Install a pipeline's wheel aside, score it in a fresh process, and compare with the pipeline it
was built from."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import srsly
import typer


def main(
    wheel: Annotated[Path, typer.Argument(help="The pipeline's wheel", exists=True)],
    data: Annotated[Path, typer.Argument(help="The .spacy file of gold posts", exists=True)],
    expected: Annotated[Path, typer.Option(help="Scores of the pipeline it was built from")],
    output: Annotated[Path, typer.Option(help="JSON file to write the scores to")],
    image_root: Annotated[Path, typer.Option(help="Folder of the pictures")],
) -> None:
    """Fail if the installed pipeline scores otherwise than expected."""
    name = wheel.name.split("-")[0]
    with tempfile.TemporaryDirectory() as site:
        install = ["pip", "install", "--quiet", "--no-deps", "--target", site, str(wheel)]
        subprocess.run([sys.executable, "-m", *install], check=True)
        evaluate = ["spacy", "msvse", "evaluate", name, str(data), "--output", str(output)]
        # No feature store: the installed pipeline looks at the pictures with weights of its own.
        subprocess.run(
            [sys.executable, "-m", *evaluate, "--image-root", str(image_root)],
            env={**os.environ, "PYTHONPATH": site, "HF_HUB_OFFLINE": "1"},
            check=True,
        )
    built, installed = srsly.read_json(expected), srsly.read_json(output)
    if built["ents_per_type"] != installed["ents_per_type"]:
        sys.exit(f"The wheel scores {installed['ents_f']}, the pipeline {built['ents_f']}")
    print(f"{name}, installed, scores like the pipeline it was built from")


if __name__ == "__main__":
    typer.run(main)
