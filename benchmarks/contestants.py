"""What is measured: posts, pipelines with an encoder of random weights, and the yardstick."""

import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from PIL import Image
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from torch import Tensor, nn

from spacy_msvse import make_doc
from spacy_msvse.component.batch import Collator
from spacy_msvse.component.factory import DEFAULT_CONFIG
from spacy_msvse.component.architectures import get_shim
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.network.encoders.families import build_encoder
from spacy_msvse.network.msvse import build_network

REGION_DIM = 2048

#: The settings that are measured by name.
PAPER: dict[str, Any] = {"shared_depth": 0.0, "normalize_urls": False}
DEFAULT: dict[str, Any] = {name: DEFAULT_CONFIG["model"][name] for name in PAPER}

NAMED: dict[str, dict[str, Any]] = {
    "paper": PAPER,
    "default": DEFAULT,
    "default, URLs in full": {**DEFAULT, "normalize_urls": False},
}

BERT_BASE: dict[str, Any] = {"model_type": "bert"}
MINILM: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
TINY: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 32,
    # The fewest of which one is shared.
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def read_examples(data: Path, count: int, regions: int = 8) -> list[Example]:
    """A sample of posts, by length, with random region vectors in the place of their pictures.

    data (Path): A .spacy file.
    count (int): How many posts to take at most.
    regions (int): Region vectors of each.
    RETURNS (list): The examples.
    """
    examples = [example for example in Corpus(data)(spacy.blank("en")) if len(example.predicted)]
    random.Random(0).shuffle(examples)
    examples = sorted(examples[:count], key=lambda example: len(example.predicted))
    generator = np.random.default_rng(0)
    for example in examples:
        features = generator.standard_normal((regions, REGION_DIM), dtype="float32")
        example.predicted._.image_features = features
    return examples


def make_examples(lengths: Sequence[int], regions: int = 0) -> list[Example]:
    """Made posts with tags, a caption and an entity of the type PER.

    lengths (Sequence[int]): Tokens of each post.
    regions (int): Region vectors of each.
    RETURNS (list): The examples.
    """
    nlp = spacy.blank("en")
    words = ["jordan", "saw", "the", "nice", "florence"]
    examples = []
    for length in lengths:
        doc = make_doc(
            nlp,
            (words * (length // 5 + 1))[:length],
            tags=["beach", "man"],
            caption="a man on a beach",
            features=np.ones((regions, REGION_DIM), dtype="float32") if regions else None,
        )
        examples.append(Example.from_dict(doc, {"entities": [(0, 6, "PER")]}))
    return examples


def make_pipeline(
    encoder: dict[str, Any],
    examples: Sequence[Example],
    *,
    pictures: bool = False,
    labels: Sequence[str] = (),
    **settings: Any,
) -> tuple[Language, Any]:
    """A pipeline with an encoder of random weights, whose tokenizer is the default encoder's.

    encoder (dict): A Hugging Face model configuration.
    examples (Sequence[Example]): What it is initialised on.
    pictures (bool): Whether it looks at pictures.
    labels (Sequence[str]): Entity types beside those of the examples.
    settings (Any): Settings of the network.
    RETURNS (tuple): The pipeline and its optimiser.
    """
    nlp = spacy.blank("en", vocab=examples[0].reference.vocab)
    config: dict[str, Any] = {"model": settings} | ({} if pictures else {"vision": None})
    component: Any = nlp.add_pipe("msvse_ner", config=config)
    for label in labels:
        component.add_label(label)
    optimizer = nlp.initialize(lambda: examples)
    shim = find_shim(nlp)
    network_config = {**shim.network.config.to_dict(), "encoder": encoder}
    shim.set_network(build_network(network_config, build_encoder(encoder)), shim.tokenizer)
    return nlp, optimizer


def find_shim(nlp: Language) -> Any:
    """What holds the pipeline's network and tokenizer."""
    component: Any = nlp.get_pipe("msvse_ner")
    return get_shim(component.architectures)


def make_collator(nlp: Language) -> Collator:
    """What the pipeline turns posts into tensors with."""
    component: Any = nlp.get_pipe("msvse_ner")
    model, shim = component.architectures, find_shim(nlp)
    return Collator(
        shim.tokenizer,
        model.attrs["get_spans"],
        shim.network.config,
        max_length=shim.network.encoder.max_length,
        max_view_words=model.attrs["max_view_words"],
        normalize_urls=model.attrs["normalize_urls"],
    )


def copies(examples: Sequence[Example]) -> list[Doc]:
    """Docs that nobody has annotated."""
    return [example.predicted.copy() for example in examples]


def predict_copies(nlp: Language, examples: Sequence[Example]) -> Callable[[], object]:
    """A prediction of all examples, whose Docs are copied before."""
    docs = copies(examples)
    return lambda: list(nlp.pipe(docs))


def make_picture(seed: int) -> bytes:
    """A picture of 640 by 480 pixels, coloured noise that JPEG compresses like a photo."""
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype="uint8")
    stream = io.BytesIO()
    Image.fromarray(noise).resize((640, 480)).save(stream, "JPEG")
    return stream.getvalue()


class Yardstick(nn.Module):
    """A bare Hugging Face BERT with a linear layer and cross-entropy, updated by torch's fused
    AdamW: what named entity recognition costs without a picture, without CRFs, without spaCy."""

    def __init__(self, encoder: dict[str, Any], num_labels: int) -> None:
        super().__init__()
        from transformers import AutoConfig, BertModel

        config = AutoConfig.for_model(**encoder)
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=1e-5, fused=True)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.classifier(self.encoder(ids, attention_mask=mask).last_hidden_state)

    def learn(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """A training step on each batch of word pieces and their mask."""
        self.train()
        for ids, mask in batches:
            logits = self(ids, mask)[mask]
            # Any labels will do: the time does not depend on them.
            loss = nn.functional.cross_entropy(logits, ids[mask] % logits.shape[1])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def predict(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Score the labels of each batch."""
        self.eval()
        with torch.inference_mode():
            for ids, mask in batches:
                self(ids, mask).argmax(dim=2)


def tokenize(tokenizer: Any, examples: Sequence[Example], size: int) -> list[tuple[Tensor, Tensor]]:
    """The yardstick's batches: word pieces of the texts alone, by length, padded to the longest of
    each batch.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    examples (Sequence[Example]): The posts.
    size (int): Posts in a batch.
    RETURNS (list): Ids and mask of each batch, of shape (size, N).
    """
    words = [[token.text for token in example.reference] for example in examples]
    settings = {"is_split_into_words": True, "truncation": True}
    lengths = [len(row) for row in tokenizer(words, **settings)["input_ids"]]
    rows = sorted(range(len(words)), key=lambda row: lengths[row])
    batches = []
    for start in range(0, len(rows), size):
        batch = [words[row] for row in rows[start : start + size]]
        encoded = tokenizer(batch, padding=True, return_tensors="pt", **settings)
        batches.append((encoded["input_ids"], encoded["attention_mask"].bool()))
    return batches
