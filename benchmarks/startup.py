"""CPU time from `python` to the first entity of a pipeline, and of each command's `--help`.

    python benchmarks/startup.py en_msvse_open benchmarks/results/startup.json

Beside it the time of what any pipeline with a transformer must import: torch, spaCy, and the
classes of transformers for a BERT. Each row is a process of its own; all rows run in turns. The
first turn only warms the file system's cache and is left out.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from spacy_msvse.cli.root import app
from spacy_msvse.evaluation.machine import describe_machine

TEXT = "Meet Barack Obama at the White House in Washington tomorrow"

#: The Python code of each row.
IMPORTS = {
    "import torch": "import torch",
    "import spacy": "import spacy",
    "import spacy, and BertModel and AutoTokenizer of transformers": "import spacy\n"
    "from transformers import AutoTokenizer, BertModel",
}

FIRST_POST = "import spacy\nspacy.load({model!r})({text!r}).ents"


def main(
    model: Annotated[str, typer.Argument(help="Name or folder of a pipeline")],
    output: Annotated[Path, typer.Argument(help="JSON file to write")],
    rounds: Annotated[int, typer.Option(help="Times of each row", min=1)] = 5,
) -> None:
    """Time all rows in turns, and write the median, lowest and highest seconds of each."""
    python = [sys.executable, "-W", "ignore"]
    commands = {name: [*python, "-c", code] for name, code in IMPORTS.items()}
    first = FIRST_POST.format(model=model, text=TEXT)
    commands["to the first entity"] = [*python, "-c", first]
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        commands[f"{name} --help"] = [*python, "-m", "spacy", "msvse", name, "--help"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            seconds = measure(command)
            if turn:
                found[name].append(seconds)
    rows = {name: summarise(values) for name, values in found.items()}
    report = {"model": model, "rounds": rounds, "rows": rows, "machine": describe_machine()}
    output.write_text(json.dumps(report, indent=2, default=str))
    for name, row in rows.items():
        print(f"{name}: {row}")


def measure(command: list[str]) -> dict[str, float]:
    """Run a process; give its seconds of wall time and of CPU time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall s": wall, "CPU s": cpu}


def summarise(values: list[dict[str, float]]) -> dict[str, Any]:
    """The median, the lowest and the highest value of each measure."""
    table = {key: [one[key] for one in values] for key in values[0]}
    return {
        key: [round(f(column), 2) for f in (statistics.median, min, max)]
        for key, column in table.items()
    }


if __name__ == "__main__":
    typer.run(main)
