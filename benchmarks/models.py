"""The measured models: pipelines and a bare encoder, with random weights, and their posts."""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
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
from spacy_msvse.component.architectures import ENCODER, create_msvse_model
from spacy_msvse.component.defaults import DEFAULT_CONFIG
from spacy_msvse.component.wordpieces import words_to_encode
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.evaluation.experiments.rows import method_names, short_name
from spacy_msvse.network.pretrained import find_encoder

REGION_DIM = 2048

#: Settings of the measured configurations, by name.
PAPER: dict[str, Any] = {
    "shared_depth": 0.0,
    "interaction_depth": 1.0,
    "normalize_urls": False,
}
DEFAULT: dict[str, Any] = {
    name: signature(create_msvse_model).parameters[name].default for name in PAPER
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "paper": PAPER,
    "default": DEFAULT,
    "default, URLs in full": {**DEFAULT, "normalize_urls": False},
}
#: The interaction reads the shared layers, so that a prediction encodes once. Training takes as
#: long as with the default.
ONE_PASS: dict[str, Any] = {**DEFAULT, "interaction_depth": DEFAULT["shared_depth"]}
PREDICTED: dict[str, dict[str, Any]] = {
    "one pass": ONE_PASS,
    "one pass, URLs in full": {**ONE_PASS, "normalize_urls": False},
}

#: Settings of the methods, by the names of their rows. The levels of HvpNet add up to `REGION_DIM`.
METHODS: dict[str, dict[str, Any]] = {
    short_name(name): {"@architectures": name} for name in method_names()
}
METHODS["HvpNet"]["levels"] = (256, 512, 1024, 256)
METHODS["ITA"]["joint_views"] = ("tags", "caption")

#: Hugging Face configurations of encoders, by name.
ENCODERS: dict[str, dict[str, Any]] = {
    "BERT-base": {},
    "MiniLM": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    # The smallest encoder with a shared layer.
    "tiny": {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    },
}


def save_encoder(name: str, folder: Path) -> Path:
    """Save a BERT with random weights and the tokenizer of the default encoder.

    Args:
        name (str): A name in `ENCODERS`.
        folder (Path): Folder for all encoders.

    Returns:
        Path: The folder of this encoder, a value for the setting `encoder`.
    """
    from transformers import BertConfig, BertModel

    path = folder / name
    if not path.exists():
        torch.manual_seed(0)
        BertModel(BertConfig(**ENCODERS[name]), add_pooling_layer=False).save_pretrained(path)
        load_tokenizer(find_encoder(ENCODER)).save_pretrained(path)
    return path


def load_tokenizer(encoder: str | Path) -> Any:
    """Load the tokenizer of an encoder in a local folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(encoder)


def read_examples(data: Path, count: int, regions: int = 8) -> list[Example]:
    """Read a random sample of posts, in order of length, with random region vectors instead of
    pictures.

    Args:
        data (Path): A .spacy file.
        count (int): Maximum number of posts.
        regions (int): Region vectors of each post.

    Returns:
        list: The examples.
    """
    examples = [example for example in Corpus(data)(spacy.blank("en")) if len(example.predicted)]
    random.Random(0).shuffle(examples)
    examples = sorted(examples[:count], key=lambda example: len(example.predicted))
    generator = np.random.default_rng(0)
    for example in examples:
        features = generator.standard_normal((regions, REGION_DIM), dtype="float32")
        example.predicted._.image_features = features
    return examples


def add_knowledge(examples: Sequence[Example], words: int = 100) -> None:
    """Give each post a text in the place of a language model's: its own words, again and again.

    Args:
        examples (Sequence[Example]): The posts.
        words (int): Words of each text.
    """
    for example in examples:
        own = [token.text for token in example.reference]
        text = " ".join((own * (words // len(own) + 1))[:words])
        example.predicted._.image_texts = {"knowledge": text}


def make_examples(lengths: Sequence[int], regions: int = 0, pictures: int = 1) -> list[Example]:
    """Create synthetic posts with tags, a caption and an entity of the type PER.

    Args:
        lengths (Sequence[int]): Number of tokens of each post.
        regions (int): Region vectors of each picture.
        pictures (int): Pictures of each post.

    Returns:
        list: The examples.
    """
    vectors = np.ones((regions, REGION_DIM), dtype="float32")
    nlp = spacy.blank("en")
    words = ["jordan", "saw", "the", "nice", "florence"]
    examples = []
    for length in lengths:
        doc = make_doc(
            nlp,
            (words * (length // 5 + 1))[:length],
            tags=["beach", "man"],
            caption="a man on a beach",
            features=[vectors] * pictures if regions else None,
        )
        examples.append(Example.from_dict(doc, {"entities": [(0, 6, "PER")]}))
    return examples


def make_pipeline(
    encoder: Path,
    examples: Sequence[Example],
    *,
    pictures: bool = False,
    labels: Sequence[str] = (),
    component: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Language, Any]:
    """Create and initialise a pipeline.

    Args:
        encoder (Path): Folder of the encoder, such as `save_encoder` returns.
        examples (Sequence[Example]): Examples for the initialisation.
        pictures (bool): Extract features from pictures.
        labels (Sequence[str]): Entity types in addition to those of the examples.
        component (dict): Settings of the component.
        settings (Any): Settings of the model.

    Returns:
        tuple: The pipeline and its optimiser.
    """
    nlp = spacy.blank("en", vocab=examples[0].reference.vocab)
    config = {**(component or {}), "model": {"encoder": str(encoder), **settings}}
    if not pictures:
        config["vision"] = None
    ner: Any = nlp.add_pipe("msvse_ner", config=config)
    for label in labels:
        ner.add_label(label)
    optimizer = nlp.initialize(lambda: examples)
    return nlp, optimizer


def get_ner(nlp: Language) -> Any:
    """The component of a pipeline."""
    return nlp.get_pipe("msvse_ner")


def make_tensors(nlp: Language, docs: Sequence[Doc]) -> Iterator[Any]:
    """Make the network's inputs as prediction does: read, tokenise, batch and pad.

    Args:
        nlp (Language): The pipeline.
        docs (Sequence[Doc]): The Docs.

    Yields:
        Any: The inputs of a batch.
    """
    from spacy_msvse.component.architectures import get_piece_encoder

    ner = get_ner(nlp)
    encoder = get_piece_encoder(ner.model)
    for batch in ner.predictor.batches(docs):
        yield encoder.collate(batch.posts)


def compute(network: Any, batches: Sequence[Any]) -> None:
    """Run a network on inputs and decode the entities.

    Args:
        network (nn.Module): The network, in evaluation mode.
        batches (Sequence): Inputs of the network.
    """
    with torch.inference_mode():
        for inputs in batches:
            network.answer(network(inputs)).best_entities()


def copies(examples: Sequence[Example]) -> list[Doc]:
    """Copies of the examples' Docs without annotation."""
    return [example.predicted.copy() for example in examples]


def predict_copies(
    nlp: Language, examples: Sequence[Example], batch_size: int | None = None
) -> Callable[[], object]:
    """Copy the Docs of examples.

    Args:
        nlp (Language): The pipeline.
        examples (Sequence[Example]): The examples.
        batch_size (int): Batch size of `nlp.pipe`; None for the pipeline's own.

    Returns:
        Callable: A function that predicts the copies.
    """
    docs = copies(examples)
    return lambda: list(nlp.pipe(docs, batch_size=batch_size))


def make_picture(seed: int) -> bytes:
    """A JPEG file of 640 by 480 pixels: smooth coloured noise, about as large as a photo."""
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype="uint8")
    stream = io.BytesIO()
    Image.fromarray(noise).resize((640, 480)).save(stream, "JPEG")
    return stream.getvalue()


class BareEncoder(nn.Module):
    """The encoder with a linear layer and cross-entropy, trained with torch's fused AdamW: named
    entity recognition without pictures, CRFs and spaCy.

    Args:
        encoder (Path): Folder of the encoder.
        num_labels (int): Number of labels.
    """

    def __init__(self, encoder: Path, num_labels: int) -> None:
        super().__init__()
        from transformers import BertModel

        self.encoder = BertModel.from_pretrained(encoder, add_pooling_layer=False)
        self.classifier = nn.Linear(self.encoder.config.hidden_size, num_labels)
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=1e-5, fused=True)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Scores of the labels, of shape (posts, pieces, labels)."""
        return self.classifier(self.encoder(ids, attention_mask=mask).last_hidden_state)

    def learn(self, batches: Sequence[tuple[Tensor, Tensor]], half: bool = False) -> None:
        """Make a training step on each batch of word pieces and their mask, by choice in
        bfloat16."""
        self.train()
        for ids, mask in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = self(ids, mask)[mask].float()
            # The labels are arbitrary, since the time does not depend on them.
            loss = nn.functional.cross_entropy(logits, ids[mask] % logits.shape[1])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def predict(self, batches: Sequence[tuple[Tensor, Tensor]], half: bool = False) -> None:
        """Predict the labels of each batch, by choice in bfloat16."""
        self.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            for ids, mask in batches:
                self(ids, mask).argmax(dim=2)


def tokenize(
    encoder: Path, examples: Sequence[Example], size: int, *, as_ours: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """Make the batches of `BareEncoder`: word pieces of the texts, in order of length, padded to
    the longest of a batch.

    Args:
        encoder (Path): Folder of the encoder.
        examples (Sequence[Example]): The posts.
        size (int): Posts in a batch.
        as_ours (bool): Read each URL as one word, and fill batches of any number of posts up to
            the default of `max_batch_tokens`.

    Returns:
        list: Ids and mask of each batch, of shape (posts, pieces).
    """
    tokenizer = load_tokenizer(encoder)
    words = [words_to_encode(example.reference, as_ours) for example in examples]
    settings = {"is_split_into_words": True, "truncation": True}
    lengths = [len(row) for row in tokenizer(words, **settings)["input_ids"]]
    rows = sorted(range(len(words)), key=lambda row: lengths[row])
    parts: list[list[int]] = []
    for row in rows:
        most = DEFAULT_CONFIG["max_batch_tokens"] // lengths[row] if as_ours else size
        if not parts or len(parts[-1]) >= most:
            parts.append([])
        parts[-1].append(row)
    batches = []
    for part in parts:
        batch = [words[row] for row in part]
        encoded = tokenizer(batch, padding=True, return_tensors="pt", **settings)
        batches.append((encoded["input_ids"], encoded["attention_mask"].bool()))
    return batches
