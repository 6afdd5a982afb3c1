"""Compare the library with the bare encoder, and measure the growth of time and memory.

python benchmarks/speed.py run POSTS.spacy OUTPUT.json   (Linux; 20 minutes on two cores, 10 GB)

`run` is `configurations`, `parts` and `curves` together.
"""

import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from common import Report, Rounds, Target, in_own_process, ratios_table, take_turns
from curves import Batch, measure_batches, measure_stream
from models import (
    CONFIGURATIONS,
    DEFAULT,
    METHODS,
    PREDICTED,
    BareEncoder,
    add_knowledge,
    get_ner,
    make_pipeline,
    predict_copies,
    read_examples,
    save_encoder,
    tokenize,
)
from parts import (
    DROPOUT,
    PICTURE_WEIGHTS,
    measure_component,
    measure_crf,
    measure_loading,
    measure_memory_cases,
    measure_optimizers,
    measure_pictures,
    measure_training_memory,
    middle,
)
from spacy.training import Example

TRAINING, PREDICTION = "training step, BERT-base", "prediction, BERT-base"
DEFAULTS = ("default", "default, URLs in full")

#: The precision that is compared with the same precision of the bare encoder.
HALF = "bfloat16"
BARE, BARE_AS_OURS, BARE_HALF = (
    "bare encoder",
    "bare encoder, URLs as one word",
    f"bare encoder, {HALF}",
)

TARGETS = (
    Target("training, default", TRAINING, "default", "wall s", 1.0),
    Target("training, default, URLs in full", TRAINING, DEFAULTS[1], "wall s", 1.6),
    Target("prediction, default", PREDICTION, "default", "wall s", 1.0),
    Target("prediction, default, URLs in full", PREDICTION, DEFAULTS[1], "wall s", 1.4),
    Target("overhead, BERT-base", "component, BERT-base", "nlp.pipe", "wall s", 1.15),
    Target("overhead, MiniLM", "component, MiniLM", "nlp.pipe", "wall s", 1.4),
    Target("CRF, decoding and marginals", "CRF", "decoding and marginals", "wall s", 0.05),
    Target("memory of training, default", "memory of training", "default", "MB", 1.5),
    Target("memory, after 1,000 posts", "memory of a stream", "at the end", "MB", 1.05),
)


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurement.

    Attributes:
        base (str): The encoder in the place of BERT-base, a name in `models.ENCODERS`.
        small (str): The encoder in the place of MiniLM.
        rounds (int): Number of rounds.
        posts (int): Posts of a prediction.
        batch (int): Posts of a training step, and of a batch of the bare encoder.
        lengths (tuple): Tokens of a post.
        pictures (tuple): Posts with regions in a batch.
        regions (tuple): Regions of a picture.
        post_pictures (tuple): Pictures of a post, with 50 regions each.
        types (tuple): Entity types.
        stream (tuple): Posts of a stream after which time and memory are recorded.
    """

    base: str
    small: str
    rounds: int
    posts: int
    batch: int
    lengths: tuple[int, ...]
    pictures: tuple[int, ...]
    regions: tuple[int, ...]
    post_pictures: tuple[int, ...]
    types: tuple[int, ...]
    stream: tuple[int, ...]


FULL = Sizes(
    base="BERT-base",
    small="MiniLM",
    rounds=5,
    posts=96,
    batch=32,
    lengths=(16, 32, 64, 128, 256, 512),
    pictures=(4, 8, 16, 32, 64),
    regions=(1, 4, 16, 64, 256),
    post_pictures=(1, 2, 4, 8, 16),
    types=(2, 4, 8, 16, 32, 64),
    stream=(1_000, 2_000, 5_000, 10_000, 20_000, 50_000),
)
#: For many methods: fewer posts and rounds.
MANY = replace(FULL, rounds=3, posts=48, batch=16)

#: Methods that are measured in turns, besides MSVSE: about 2 GB of memory each.
GROUP = 4

SMALLEST = Sizes(
    base="tiny",
    small="tiny",
    rounds=1,
    posts=4,
    batch=2,
    lengths=(4, 8),
    pictures=(1, 2),
    regions=(1, 2),
    post_pictures=(1, 2),
    types=(1, 2),
    stream=(2, 4),
)

app = typer.Typer(add_completion=False)

Data = Annotated[Path, typer.Argument(help="A .spacy file of posts", exists=True)]
Output = Annotated[
    Path, typer.Argument(help="JSON file to write; a Markdown file gets the same name")
]
Smallest = Annotated[bool, typer.Option(help="Smallest sizes, as a test of the benchmark")]
Peers = Annotated[
    list[str],
    typer.Option(
        "--peer",
        help="A command to compare with. Its argument is a JSON file of posts, each {words, tags, "
        "caption}. It trains on the posts, predicts them, and prints posts per second: "
        '{"train": 3.2, "predict": 11.0}',
    ),
]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark in progress.

    Attributes:
        data (Path): A .spacy file of posts.
        sizes (Sizes): The sizes.
        encoders (Path): Folder for the encoders.
        report (Report): The figures.
    """

    data: Path
    sizes: Sizes
    encoders: Path
    report: Report

    def encoder(self, name: str) -> Path:
        """The folder of an encoder, which is saved at the first call."""
        return save_encoder(name, self.encoders)

    def examples(self) -> list[Example]:
        """The posts of a prediction."""
        return read_examples(self.data, self.sizes.posts)


@contextmanager
def benchmark(data: Path, output: Path, smallest: bool) -> Iterator[Benchmark]:
    """Prepare a benchmark, and write its report at the end."""
    sizes, report = SMALLEST if smallest else FULL, Report()
    report.note_conditions(data, sizes.rounds, CONFIGURATIONS)
    with tempfile.TemporaryDirectory() as encoders:
        yield Benchmark(data, sizes, Path(encoders), report)
    report.add_targets(TARGETS)
    report.write(output)


@app.command("run")
def run(data: Data, output: Output, peer: Peers = [], smallest: Smallest = False) -> None:  # noqa: B006
    """Measure configurations, parts and curves."""
    with benchmark(data, output, smallest) as current:
        measure_configurations(current, peer)
        measure_parts(current)
        measure_curves(current)


@app.command("configurations")
def configurations(
    data: Data,
    output: Output,
    peer: Peers = [],  # noqa: B006
    smallest: Smallest = False,
) -> None:
    """Measure training and prediction of the configurations, of peers and of the bare encoder."""
    with benchmark(data, output, smallest) as current:
        measure_configurations(current, peer)


@app.command("methods")
def methods(data: Data, output: Output, smallest: Smallest = False) -> None:
    """Measure training and prediction of all methods and of the bare encoder."""
    sizes, report = SMALLEST if smallest else MANY, Report()
    report.note_conditions(data, sizes.rounds, METHODS)
    with tempfile.TemporaryDirectory() as encoders:
        measure_methods(Benchmark(data, sizes, Path(encoders), report))
    report.write(output)


@app.command("parts")
def parts(data: Data, output: Output, smallest: Smallest = False) -> None:
    """Measure the parts: component, pictures, CRF, optimiser, loading, memory of training."""
    with benchmark(data, output, smallest) as current:
        measure_parts(current)


@app.command("curves")
def curves(data: Data, output: Output, smallest: Smallest = False) -> None:
    """Measure the growth of time and memory."""
    with benchmark(data, output, smallest) as current:
        measure_curves(current)


@app.command("memory")
def memory(data: Data, output: Output, smallest: Smallest = False) -> None:
    """Measure the memory of long posts and of gradient checkpointing (ten minutes)."""
    with benchmark(data, output, smallest) as current:
        rounds = measure_memory_cases(current.encoder(current.sizes.base))
        current.report.add_comparison("memory of long posts", rounds)


def measure_configurations(current: Benchmark, peers: Sequence[str] = ()) -> None:
    """Measure training and prediction of the configurations with BERT-base."""
    sizes, examples = current.sizes, current.examples()
    half = {f"default, {HALF}": {**DEFAULT, "precision": HALF}}
    training, prediction = compare_to_bare_encoder(
        current,
        sizes.base,
        examples,
        {**CONFIGURATIONS, **half},
        peers,
        predicted=PREDICTED,
        yardsticks=True,
    )
    current.report.notes.append(
        f"A training step is of {sizes.batch} posts, a prediction of {len(examples)}, "
        "each with 8 region vectors on its Doc."
    )
    for title, rounds in ((TRAINING, training), (PREDICTION, prediction)):
        current.report.add_comparison(title, rounds)
        # The same times, beside a bare encoder that reads and batches as we do, and in bfloat16.
        ours = [name for name in ("default", "one pass") if name in rounds]
        for first, names in ((BARE_AS_OURS, ours), (BARE_HALF, half)):
            rows = {name: rounds[name] for name in (first, *names)}
            current.report.add_comparison(f"{title}: {first}", rows)


def measure_methods(current: Benchmark) -> None:
    """Measure training and prediction of all methods with BERT-base.

    All of them with their optimisers need too much memory, so they are measured in groups, each in
    turns with the bare encoder and MSVSE. A row of a method is relative to those of its group.
    """
    sizes, examples = current.sizes, current.examples()
    current.report.notes.append(
        f"A training step is of {sizes.batch} posts, a prediction of {len(examples)}, each with 8 "
        "region vectors on its Doc. Each table is one group, measured in turns."
    )
    others = [name for name in METHODS if name != "MSVSE"]
    for start in range(0, len(others), GROUP):
        names = ["MSVSE", *others[start : start + GROUP]]
        group = {name: METHODS[name] for name in names}
        training, prediction = in_own_process(
            _compare_group, current.data, sizes, current.encoder(sizes.base), group
        )
        title = ", ".join(names[1:])
        current.report.add_comparison(f"training step: {title}", training)
        current.report.add_comparison(f"prediction: {title}", prediction)
    title = "wall time, ratio to the bare encoder"
    current.report.tables.append(ratios_table(title, current.report.comparisons, "wall s"))


def _compare_group(
    data: Path, sizes: Sizes, encoder: Path, group: Mapping[str, Mapping[str, Any]]
) -> tuple[Rounds, Rounds]:
    """Compare a group of methods in a process of its own, which returns their memory."""
    current = Benchmark(data, sizes, encoder.parent, Report())
    examples = current.examples()
    add_knowledge(examples)
    return compare_to_bare_encoder(current, sizes.base, examples, group)


def compare_to_bare_encoder(
    current: Benchmark,
    encoder_name: str,
    examples: Sequence[Example],
    configurations: Mapping[str, Mapping[str, Any]],
    peers: Sequence[str] = (),
    *,
    predicted: Mapping[str, Mapping[str, Any]] = {},
    yardsticks: bool = False,
) -> tuple[Rounds, Rounds]:
    """Time training steps and predictions in turns.

    Args:
        current (Benchmark): The benchmark.
        encoder_name (str): The encoder of all rows.
        examples (Sequence[Example]): The posts.
        configurations (Mapping): Row to settings of the model.
        peers (Sequence[str]): Commands to compare with.
        predicted (Mapping): Rows of prediction alone.
        yardsticks (bool): Also time the bare encoder with texts and batches as ours, and in
            bfloat16.

    Returns:
        tuple: The times of training and those of prediction.
    """
    sizes, encoder = current.sizes, current.encoder(encoder_name)
    batch = middle(examples, sizes.batch)
    training: dict[str, Any] = {}
    prediction: dict[str, Any] = {}
    for name, settings in {**configurations, **predicted}.items():
        nlp, optimizer = make_pipeline(encoder, examples, **settings)
        if name in configurations:
            # The outer call only returns the inner one, which is timed.
            training[name] = partial(partial, nlp.update, batch, sgd=optimizer, drop=DROPOUT)
        prediction[name] = partial(predict_copies, nlp, examples)
    bare = BareEncoder(encoder, len(get_ner(nlp).bio_labels))
    full = [tokenize(encoder, posts, sizes.batch) for posts in (batch, examples)]
    training = {BARE: partial(partial, bare.learn, full[0]), **training}
    prediction = {BARE: partial(partial, bare.predict, full[1]), **prediction}
    if yardsticks:
        ours = [tokenize(encoder, posts, sizes.batch, as_ours=True) for posts in (batch, examples)]
        training[BARE_AS_OURS] = partial(partial, bare.learn, ours[0])
        prediction[BARE_AS_OURS] = partial(partial, bare.predict, ours[1])
        training[BARE_HALF] = partial(partial, bare.learn, full[0], half=True)
        prediction[BARE_HALF] = partial(partial, bare.predict, full[1], half=True)
    learning = {peer: partial(run_peer, peer, batch, "train") for peer in peers}
    predicting = {peer: partial(run_peer, peer, examples, "predict") for peer in peers}
    return (
        take_turns(training, sizes.rounds, external=learning),
        take_turns(prediction, sizes.rounds, external=predicting),
    )


def run_peer(command: str, examples: Sequence[Example], measured: str) -> float:
    """Run a peer's command on posts.

    Args:
        command (str): The command.
        examples (Sequence[Example]): The posts.
        measured (str): "train" or "predict".

    Returns:
        float: The seconds, by the peer's own clock.
    """
    posts = [
        {
            "words": [token.text for token in example.reference],
            "tags": example.predicted._.image_tags,
            "caption": example.predicted._.image_caption,
        }
        for example in examples
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "posts.json"
        path.write_text(json.dumps(posts))
        output = subprocess.check_output([*shlex.split(command), str(path)], text=True)
    return len(examples) / json.loads(output.splitlines()[-1])[measured]


def measure_parts(current: Benchmark) -> None:
    """Measure all parts."""
    sizes, report, examples = current.sizes, current.report, current.examples()
    base, small = current.encoder(sizes.base), current.encoder(sizes.small)
    for name, encoder in (("BERT-base", base), ("MiniLM", small)):
        rounds = measure_component(encoder, examples, sizes.rounds)
        report.add_comparison(f"component, {name}", rounds)
    training, prediction = compare_to_bare_encoder(
        current, sizes.small, examples, {"default": DEFAULT}
    )
    report.add_comparison("training step, MiniLM", training)
    report.add_comparison("prediction, MiniLM", prediction)
    pictures = measure_pictures(current.data, sizes.posts, small, sizes.rounds)
    if len(pictures) == 1:
        report.notes.append(
            f"Prediction from pictures was not measured: {PICTURE_WEIGHTS} is not installed."
        )
    report.add_comparison("pictures, MiniLM", pictures)
    report.add_comparison("CRF", measure_crf(base, sizes.rounds))
    report.add_comparison("optimiser step, BERT-base", measure_optimizers(base, sizes.rounds)[0])
    for name, encoder in (("MiniLM", small), ("BERT-base", base)):
        report.add_comparison(f"loading, {name}", measure_loading(encoder, examples, sizes.rounds))
    training_memory = measure_training_memory(current.data, sizes.posts, sizes.batch, base)
    report.add_comparison("memory of training", training_memory)


def measure_curves(current: Benchmark) -> None:
    """Measure time and memory as a function of each size."""
    sizes, report = current.sizes, current.report
    small, tiny = current.encoder(sizes.small), current.encoder("tiny")
    curves = {
        "tokens a post": [(n, Batch(posts=8, tokens=n)) for n in sizes.lengths],
        "posts with a picture": [(n, Batch(posts=n)) for n in sizes.pictures],
        "regions a picture": [(n, Batch(regions=n)) for n in sizes.regions],
        "pictures a post": [(n, Batch(regions=50, pictures=n)) for n in sizes.post_pictures],
        "labels": [(2 * n + 1, Batch(types=n)) for n in sizes.types],
    }
    for name, batches in curves.items():
        report.add_curve(name, *in_own_process(measure_batches, batches, small, sizes.rounds))
    points, threads = in_own_process(measure_stream, current.data, tiny, sizes.stream)
    report.add_curve("posts of a stream", points, threads)
    held = {"after the first": points[0], "at the end": points[-1]}
    rounds = {row: {"MB": found["MB held"]} for row, (_, found) in held.items()}
    report.add_comparison("memory of a stream", rounds, threads)


if __name__ == "__main__":
    app()
