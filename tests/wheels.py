"""Pipelines as wheels: built without a network, installed aside, used in a new process."""

import os
import subprocess
import sys
from pathlib import Path

from spacy.cli.package import package


def build_wheel(pipeline: Path, folder: Path, name: str) -> Path:
    """Build the wheel of a saved pipeline. Without isolation, which would fetch setuptools.

    Args:
        pipeline (Path): The folder of the pipeline.
        folder (Path): An empty folder to build it in.
        name (str): The name of the pipeline, without its language.

    Returns:
        Path: The wheel.
    """
    out = folder / "out"
    out.mkdir(parents=True)
    package(pipeline, out, name=name, create_sdist=False, create_wheel=False)
    build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    build += [str(next(out.iterdir())), "-w", str(folder / "dist")]
    subprocess.run([sys.executable, "-m", *build], check=True)
    return next((folder / "dist").glob("*.whl"))


def install_wheel(wheel: Path, site: Path) -> None:
    """Install a wheel, without what it requires, into a folder."""
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", *map(str, install)], check=True)


def run_python(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in a new process that finds the packages of a folder too."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
