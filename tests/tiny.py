"""A tiny random encoder, a tiny extractor and posts whose picture decides, made in the test."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from PIL import Image
from spacy.language import Language
from spacy.training import Example
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertweetTokenizer

from spacy_msvse import make_doc
from spacy_msvse.vision.features import Features, RegionFeatures

WORDS = ["jordan", "florence", "amazon", "phoenix", "saw", "visit", "the", "a", "in", "at"]
WORDS += ["today", "again", "and", "very", "nice"]
COLOURS = {"PER": (220, 40, 40), "LOC": (40, 200, 60), "ORG": (50, 60, 220)}
NAMES = ("jordan", "florence", "amazon", "phoenix")

#: Settings with which a method, by its class, fits the tiny extractor, or has all its parts.
METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    "HvpNet": {"levels": [1, 2], "cells": 1},
    "MnerQg": {"queries": {"PER": "jordan", "LOC": "florence", "ORG": "amazon"}},
    "TextCrf": {"joint_views": ["caption"], "text_view": True},
    "Umgf": {"fusion_width": 16, "fusion_heads": 2, "fusion_layers": 2},
}

#: Settings of a family besides its sizes.
FAMILY_SETTINGS: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
    },
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
}


def reasons(problems) -> dict[str, str]:
    """View to the first reason why it cannot be read."""
    found: dict[str, str] = {}
    for _, view, reason in problems or ():
        found.setdefault(view, reason)
    return found


def save_encoder(folder: Path, family: str = "bert") -> str:
    """Save an encoder of three layers with random weights, and a fast tokenizer of BERT."""
    characters = list("abcdefghijklmnopqrstuvwxyz0123456789.,!?#@:/")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    vocabulary += ["##" + c for c in characters] + [w for w in WORDS if w not in characters]
    folder.mkdir(parents=True, exist_ok=True)
    save_bert_tokenizer(folder, vocabulary, model_max_length=64)
    return save_model(
        folder,
        family,
        vocab_size=len(vocabulary),
        type_vocab_size=2,
        num_hidden_layers=3,
        max_position_embeddings=64,
        pad_token_id=0,
        **FAMILY_SETTINGS.get(family, {}),
    )


def save_bert_tokenizer(folder: Path, vocabulary: list[str], **settings: Any) -> None:
    """Save a fast tokenizer of BERT. Its class takes other arguments in each version of
    transformers, its files are the same."""
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    settings["tokenizer_class"] = "BertTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)


def save_bertweet(folder: Path) -> str:
    """Save a RoBERTa with the tokenizer of BERTweet, which has only a slow one."""
    folder.mkdir(parents=True, exist_ok=True)
    characters = sorted({character for word in WORDS for character in word})
    pieces = [c + "@@" for c in characters] + characters
    (folder / "vocab.txt").write_text("".join(f"{piece} 1\n" for piece in pieces))
    (folder / "bpe.codes").write_text("")
    tokenizer = BertweetTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"))
    tokenizer.save_pretrained(folder)
    return save_model(
        folder,
        "roberta",
        vocab_size=len(tokenizer),
        type_vocab_size=1,
        num_hidden_layers=2,
        max_position_embeddings=66,
        pad_token_id=tokenizer.pad_token_id,
    )


def save_model(folder: Path, family: str, **settings: Any) -> str:
    """Save a narrow model with random weights into the folder of its tokenizer."""
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    config = AutoConfig.for_model(family, **sizes, **settings)
    AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True)
class MeanColour:
    """An extractor without weights: mean colours as regions, the strongest channel as the tag."""

    fills = ("regions", "tags")
    region_dim = 3
    fingerprint = "mean colour"

    def initialize(self) -> None:
        """Nothing to load."""

    def extract(self, pictures, known) -> list[Features]:
        return [self._features(np.asarray(p, dtype="float32") / 255) for p in pictures]

    def _features(self, pixels: np.ndarray) -> Features:
        middle = max(1, len(pixels) // 2)
        halves = [pixels, pixels[:middle], pixels[-middle:]]
        vectors = np.stack([half.mean(axis=(0, 1)) for half in halves])
        boxes = np.asarray([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0.5, 1, 1]], dtype="float32")
        tag = ("red", "green", "blue")[int(vectors[0].argmax())]
        return {"regions": RegionFeatures(vectors, boxes), "tags": [tag]}

    def to_files(self) -> dict[str, bytes]:
        return {}

    def from_files(self, files) -> None:
        """Nothing to restore."""


class Writer:
    """An extractor that reads whole posts, and remembers the known views of each."""

    fills = ("knowledge",)
    reads = "post"
    region_dim = 0
    fingerprint = "writer"

    def __init__(self):
        self.known = []

    def initialize(self):
        """Nothing to load."""

    def extract(self, items, known):
        self.known += known
        return [{"knowledge": f"of {', '.join(sorted(views))}"} for views in known]

    def to_files(self):
        return {}

    def from_files(self, files):
        """Nothing to restore."""


@spacy.registry.misc("tests.MeanColour.v1")
def make_mean_colour() -> MeanColour:
    return MeanColour()


def tiny_pipeline(encoder: str, name: str = "msvse_ner", **settings: Any) -> Language:
    """A pipeline of the tiny encoder and the tiny extractor; `model` overrides its settings, and
    `lang` is the language."""
    given, language = settings.pop("model", {}), settings.pop("lang", "en")
    architecture = given.get("@architectures", "spacy-msvse.MSVSE.v1")
    model = {
        "@architectures": architecture,
        "encoder": encoder,
        "learning_rate_factors": {"encoder": 1.0},
    }
    if architecture == "spacy-msvse.MSVSE.v1":
        model.update(prefix_length=2, prefix_width=16)
    model.update(given)
    vision = {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "regions": {"@misc": "tests.MeanColour.v1"},
        "tags": {"@misc": "tests.MeanColour.v1"},
        "caption": {"@misc": "spacy-msvse.TagCaption.v1"},
    }
    nlp = spacy.blank(language)
    # Only the tests about untrained views mask them.
    config = {"model": model, "vision": vision, "min_view_share": 0.0, **settings}
    nlp.add_pipe("msvse_ner", name=name, config=config)
    return nlp


def picture(label: str, seed: int = 0) -> bytes:
    """A noisy picture in the colour of a type."""
    noise = np.random.default_rng(seed).integers(-30, 31, (12, 16, 3))
    pixels = np.clip(np.asarray(COLOURS[label]) + noise, 0, 255).astype("uint8")
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def ambiguous_examples(nlp: Language, copies: int = 1) -> list[Example]:
    """Posts of one text for every type: only the picture decides the type."""
    examples = []
    for copy in range(copies):
        for name in NAMES:
            for label in COLOURS:
                doc = make_doc(nlp, f"saw {name} today", image=picture(label, seed=copy))
                examples.append(Example.from_dict(doc, {"entities": [(4, 4 + len(name), label)]}))
    return examples


def mixed_examples(nlp: Language) -> list[Example]:
    """Posts of every type, half of them without the picture that decides."""
    with_picture, without = ambiguous_examples(nlp), ambiguous_examples(nlp)
    for example in without:
        example.predicted._.image = None
    return with_picture + without


def train(nlp: Language, examples: list[Example], steps: int = 60, rate: float = 3e-3) -> None:
    """Initialise a pipeline on examples and overfit it to them."""
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = rate
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer, drop=0.0)


def entities(doc) -> list[tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in doc.ents]
