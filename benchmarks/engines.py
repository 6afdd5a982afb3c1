"""The same posts through `annotate`, Ray with one and two actors, and Spark: equal rows, rows a
second, memory, kills, and a post that ends its process. Needs Linux, and the extras `ray` and
`spark`.

    python benchmarks/engines.py run training/model-best engines.json --posts 2000
    python benchmarks/engines.py kills training/model-best --posts 2000 --kills 5
    python benchmarks/engines.py report engines.json benchmarks/results/engines.md

Every run is a process of its own, with one thread for each computing process. Starting an engine
and loading the pipeline are part of its seconds, so `run` also times a tenth of the posts: the
difference gives the rows a second without the start.
"""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow
import pyarrow.parquet
import typer
from PIL import Image, ImageDraw

from spacy_msvse.evaluation.machine import describe_machine

app = typer.Typer()

Model = Annotated[str, typer.Argument(help="Name or folder of a pipeline")]
Posts = Annotated[int, typer.Option(help="Number of posts, each with a picture of its own")]
Rows = Annotated[int, typer.Option(help="Rows that an actor of Ray gets at once")]

#: A post with this word ends the process that reads it.
ENDING = "zzending"

#: The component that does so.
CODE = f"""
import os

from spacy.language import Language


@Language.component("ends_engines")
def ends_engines(doc):
    if "{ENDING}" in doc.text:
        os._exit(3)
    return doc
"""

#: How a Spark job is run. Its arguments are the pipeline, its code, input and output.
SPARK = """
import sys

from pyspark.sql import SparkSession

from spacy_msvse.spark import annotate_frames, annotated_schema

model, code, source, target = sys.argv[1:]
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "256")
spark = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
frame = spark.read.parquet(source).repartition(2)
work = annotate_frames(model, code=code)
frame.mapInPandas(work, annotated_schema(frame.schema)).write.parquet(target)
"""


@app.command()
def run(model: Model, output: Path, posts: Posts = 2000, rows: Rows = 256) -> None:
    """Measure every engine, and compare the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = add_ending(model, folder)
        inputs = {count: draw_posts(folder / str(count), count) for count in (posts // 10, posts)}
        results: dict[str, dict[str, Any]] = {}
        expected: dict[int, Any] = {}
        for engine in ("annotate", "ray 1", "ray 2", "spark"):
            seconds = {}
            for count, source in inputs.items():
                target = folder / f"{engine} {count}"
                command = make_command(engine, model, folder / "code.py", source, target, rows)
                seconds[count], memory = measure(command)
                found = read_rows(target)
                if engine == "annotate":
                    expected = found
                elif count == posts:
                    compare(expected, found)
            (few, short), (many, long) = seconds.items()
            results[engine] = {
                "seconds": round(long, 1),
                "rows_per_second": round((many - few) / (long - short), 1),
                "start_seconds": round(short - few * (long - short) / (many - few), 1),
                "memory_mb": memory,
                "lost": sum(row["spans"] is None for row in found.values()),
            }
            print(engine, results[engine], flush=True)
    report = {"posts": posts, "engines": results, "machine": describe_machine()}
    output.write_text(json.dumps(report, indent=2, default=str))


@app.command()
def kills(model: Model, posts: Posts = 2000, rows: Rows = 256, kills: int = 5) -> None:
    """Kill `annotate` and Ray at random moments, run them again, and count the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = add_ending(model, folder)
        source = draw_posts(folder / "posts", posts)
        for engine in ("annotate", "ray 1"):
            target = folder / engine
            command = make_command(engine, model, folder / "code.py", source, target, rows)
            whole, _ = measure(command)
            remove(target)
            for _ in range(kills):
                process = subprocess.Popen(
                    command, start_new_session=True, stderr=subprocess.DEVNULL
                )
                time.sleep(random.uniform(0.1, 0.9) * whole)
                process.send_signal(signal.SIGKILL)
                if process.wait() == 0:
                    break  # it was done before
            else:
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            numbers = Counter(row["number"] for row in read_list(target))
            assert numbers == Counter(range(posts)), "a row is lost or doubled"
            print(f"{engine}: {kills} kills, {posts} rows, none lost, none doubled", flush=True)


@app.command()
def report(measured: Path, output: Path) -> None:
    """Write the figures as a table in Markdown."""
    found = json.loads(measured.read_text())
    lines = [
        "# Engines",
        "",
        f"{found['posts']} posts with drawn pictures, one of which ends its process. The rows of "
        "all engines are equal. Written by `benchmarks/engines.py report`.",
        "",
        "| engine | rows/s | seconds to start | seconds in all | peak memory, MB | rows lost |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for engine, values in found["engines"].items():
        keys = ("rows_per_second", "start_seconds", "seconds", "memory_mb", "lost")
        lines.append(f"| {engine} | {' | '.join(str(values[key]) for key in keys)} |")
    machine = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    output.write_text("\n".join([*lines, "", f"Machine: {machine}.", ""]))


def add_ending(model: str, folder: Path) -> str:
    """Save a copy of a pipeline with a component that ends its process."""
    import spacy
    from spacy.util import import_file

    (folder / "code.py").write_text(CODE)
    import_file("ends_engines", folder / "code.py")
    nlp = spacy.load(model)
    nlp.add_pipe("ends_engines", first=True)
    nlp.to_disk(folder / "pipeline")
    return str(folder / "pipeline")


def draw_posts(folder: Path, count: int) -> Path:
    """Write posts with pictures of their own as Parquet. One of them ends its process."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = ["Jordan", "Paris Hilton", "Amazon", "Lake Victoria", "Florence", "Washington"]
    rows = []
    for number in range(count):
        image = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
            (320, 240)
        )
        corner = rng.integers(0, 200, 2).tolist()
        colour = tuple(rng.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).rectangle([*corner, corner[0] + 80, corner[1] + 60], fill=colour)
        stream = io.BytesIO()
        image.save(stream, "JPEG")
        text = f"What a day with {names[number % len(names)]}, number {number}"
        text = f"{text} {ENDING}" if number == count // 2 else text
        rows.append({"text": text, "image": stream.getvalue(), "number": number})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "posts.parquet")
    return folder / "posts.parquet"


def make_command(
    engine: str, model: str, code: Path, source: Path, target: Path, rows: int
) -> list[str]:
    """The command that runs an engine."""
    arguments = [model, str(source), str(target)]
    name, _, actors = engine.partition(" ")
    if name == "spark":
        return [sys.executable, "-c", SPARK, model, str(code), str(source), str(target)]
    command = [sys.executable, "-m", "spacy", "msvse", "annotate", *arguments, "--code", str(code)]
    if name == "ray":
        return [*command, "--ray", "--actors", actors, "--rows", str(rows)]
    return [*command, "--output-format", "parquet"]


def measure(command: list[str]) -> tuple[float, int]:
    """Run a command; give its seconds, and the largest memory of all its processes in MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYSPARK_PYTHON": sys.executable}
    start, largest = time.monotonic(), 0
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            largest = max(largest, tree_memory(process.pid))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"it has failed: {' '.join(command)}")
    return time.monotonic() - start, largest


def tree_memory(root: int) -> int:
    """The memory of a process and of all below it in MB; shared memory is divided among them."""
    parents, total = {}, 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    for pid in below:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024


def read_list(target: Path) -> list[dict[str, Any]]:
    """The rows of an output, of any engine."""
    return pyarrow.parquet.read_table(
        target, columns=["number", "text", "spans", "error"]
    ).to_pylist()


def read_rows(target: Path) -> dict[int, dict[str, Any]]:
    """Number to row."""
    return {row["number"]: row for row in read_list(target)}


def compare(expected: dict[int, Any], found: dict[int, Any]) -> None:
    """Stop if rows differ. A score depends a little on the other posts of its batch."""
    assert expected.keys() == found.keys(), "a row is lost or added"
    for number, row in expected.items():
        other = found[number]
        assert (row["spans"] is None) == (other["spans"] is None), (row, other)
        assert (row["error"], row["text"]) == (other["error"], other["text"]), (row, other)
        for span, same in zip(row["spans"] or (), other["spans"] or (), strict=True):
            score, another = span.pop("score"), same.pop("score")
            assert span == same and abs(score - another) < 0.001, (row, other)  # noqa: PT018
            span["score"] = score


def remove(target: Path) -> None:
    """Delete an output and what belongs to it."""
    for path in target.parent.glob(f"{target.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    app()
