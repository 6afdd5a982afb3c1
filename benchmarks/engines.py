"""The same posts through `annotate`, Ray with one and two actors, and Spark: equal rows, rows a
second, memory, kills, and a post that ends its process. Needs Linux, and the extras `ray` and
`spark`.

    python benchmarks/engines.py run training/model-best engines.json --posts 2000
    python benchmarks/engines.py kills training/model-best --posts 2000 --kills 5
    python benchmarks/engines.py rest training/model-best rest.json --posts 640
    python benchmarks/engines.py growth training/model-best growth.json --posts 2000
    python benchmarks/engines.py report engines.json benchmarks/results/engines.md

Every run is a process of its own, with one thread for each computing process. Starting an engine
and loading the pipeline are part of its seconds, so `run` also times a tenth of the posts: the
difference gives the rows a second without the start.
"""

import base64
import io
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
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
def rest(model: Model, output: Path, posts: Posts = 640) -> None:
    """Measure the REST server: latency and throughput by the number of clients, beside `nlp.pipe`.

    Every request has one post with a picture. Server and `nlp.pipe` compute with one thread.
    """
    with tempfile.TemporaryDirectory() as name:
        source = draw_posts(Path(name) / "posts", posts)
        rows = pyarrow.parquet.read_table(source, columns=["text", "image"]).to_pylist()
    rows = [{**row, "text": row["text"].replace(ENDING, "")} for row in rows]
    results: dict[str, Any] = {"nlp.pipe": {"posts_per_second": round(time_pipe(model, rows), 1)}}
    print(results, flush=True)
    with serving(model) as url:
        ask(url, rows[:32], 8)  # a warm-up
        for clients in (1, 4, 16, 32):
            seconds, all_seconds = ask(url, rows[: posts if clients > 1 else posts // 4], clients)
            results[f"{clients} clients"] = {
                "posts_per_second": round(len(seconds) / all_seconds, 1),
                "median_ms": round(1000 * statistics.median(seconds), 1),
                "p95_ms": round(1000 * float(np.quantile(seconds, 0.95)), 1),
            }
            print(clients, results[f"{clients} clients"], flush=True)
    found = {"posts": posts, "rest": results, "machine": describe_machine()}
    output.write_text(json.dumps(found, indent=2, default=str))


def time_pipe(model: str, rows: list[dict[str, Any]]) -> float:
    """Posts a second of `nlp.pipe` in this process, with one thread."""
    import spacy
    import torch

    from spacy_msvse import make_doc

    torch.set_num_threads(1)
    nlp = spacy.load(model)
    list(nlp.pipe([make_doc(nlp, row["text"], image=row["image"]) for row in rows[:32]]))
    start = time.perf_counter()
    docs = [make_doc(nlp, row["text"], image=row["image"]) for row in rows]
    for doc in nlp.pipe(docs):
        assert doc.ents is not None
    return len(rows) / (time.perf_counter() - start)


@contextmanager
def serving(model: str) -> Iterator[str]:
    """Run a server, and give its URL."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "spacy", "msvse", "serve", model, "--api", "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            while True:
                assert process.poll() is None, "the server has ended"
                try:
                    if httpx.get(f"{url}/health").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


def ask(url: str, rows: list[dict[str, Any]], clients: int) -> tuple[list[float], float]:
    """Send every row in a request of its own; give the seconds of each, and of all together."""

    def send(row: dict[str, Any]) -> float:
        image = f"data:image/jpeg;base64,{base64.b64encode(row['image']).decode()}"
        start = time.perf_counter()
        answer = client.post("/predict", json={"rows": [{"text": row["text"], "image": image}]})
        seconds = time.perf_counter() - start
        assert "spans" in answer.json()["rows"][0], answer.text
        return seconds

    with httpx.Client(base_url=url, timeout=300) as client, ThreadPoolExecutor(clients) as threads:
        start = time.perf_counter()
        seconds = list(threads.map(send, rows))
        return seconds, time.perf_counter() - start


@app.command()
def growth(model: Model, output: Path, posts: Posts = 2000, rows: Rows = 256) -> None:
    """Measure what a row costs an actor and what it costs Ray, and predict larger clusters.

    An actor decodes, extracts, and runs the network. Ray reads, moves and writes rows: that is
    measured with actors that only copy them. With `n` actors of which two lose no time to each
    other, `n / seconds of an actor` rows a second are possible, and a machine feeds as many actors
    as Ray moves rows for. This is a prediction.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [draw_posts(folder / str(count), count) for count in (posts, 8 * posts)]
        parts = time_parts(model, sources[0])
        short, long = time_copies(sources, folder, rows)
    moved = 7 * posts / max(long - short, 1e-9)
    alone = 1 / sum(parts.values())
    predicted = {actors: round(actors * alone, 1) for actors in (1, 2, 10, 100, 1000)}
    report = {
        "posts": posts,
        "seconds_of_an_actor_for_a_row": {name: round(one, 5) for name, one in parts.items()},
        "rows_per_second_of_actors": predicted,
        "rows_per_second_that_ray_moves_on_this_machine": round(moved, 1),
        "actors_that_this_machine_can_feed": round(moved / alone, 1),
    }
    output.write_text(json.dumps({**report, "machine": describe_machine()}, indent=2, default=str))
    print(json.dumps(report, indent=2))


def time_parts(model: str, source: Path) -> dict[str, float]:
    """Seconds of an actor for a row: decoding, extraction, network, with one thread."""
    import spacy
    import torch

    from spacy_msvse import make_doc
    from spacy_msvse.vision.picture_reader import decode_for

    torch.set_num_threads(1)
    nlp: Any = spacy.load(model)
    rows = pyarrow.parquet.read_table(source, columns=["text", "image"]).to_pylist()[:320]
    vision = nlp.get_pipe("msvse_ner").vision
    start = time.process_time()
    pictures = [vision.prepare(decode_for(vision, row["image"], "")) for row in rows]
    decoded = time.process_time()
    features = []
    for first in range(0, len(rows), vision.batch_size):
        features += vision.extract_prepared(pictures[first : first + vision.batch_size])
    extracted = time.process_time()
    docs = []
    for row, views in zip(rows, features, strict=True):
        texts = {"tags": views.get("tags", []), "caption": views.get("caption")}
        doc = make_doc(nlp, row["text"], **texts)
        doc._.image_features = views["regions"].vectors
        docs.append(doc)
    list(nlp.pipe(docs))
    done = time.process_time()
    seconds = (decoded - start, extracted - decoded, done - extracted)
    names = ("decoding", "extraction", "network")
    return {name: one / len(rows) for name, one in zip(names, seconds, strict=True)}


def time_copies(sources: list[Path], folder: Path, rows: int) -> list[float]:
    """Seconds that Ray needs to read, move and write all rows of each file, with two actors that
    copy them. Their difference does not have the time to start."""
    import ray
    import ray.data

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        seconds = []
        for turn, source in enumerate([sources[0], *sources]):  # the first one starts Ray
            start = time.perf_counter()
            table = ray.data.read_parquet(str(source)).repartition(
                target_num_rows_per_block=rows, strict=True
            )
            copied = table.map_batches(
                Copy,
                batch_size=rows,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=2),
            )
            copied.write_parquet(str(folder / f"copied {turn}"))
            seconds.append(time.perf_counter() - start)
        return seconds[1:]
    finally:
        ray.shutdown()


class Copy:
    """An actor that changes nothing."""

    def __call__(self, batch: Any) -> Any:
        """Return a batch."""
        return batch


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
