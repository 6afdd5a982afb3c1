"""The word vectors of a spaCy pipeline."""

from pathlib import Path

import spacy
import torch
from spacy.util import is_package
from thinc.api import to_numpy

from ..errors import Errors, MsvseError


def is_pipeline(source: str) -> bool:
    """Whether a name is that of a spaCy pipeline: a folder with its files, or a package.

    Args:
        source (str): The name.

    Returns:
        bool: Whether it is one.
    """
    if Path(source).is_dir():
        return (Path(source) / "meta.json").exists()
    return is_package(source)


def read_vectors(source: str) -> tuple[list[str], torch.Tensor]:
    """Read the word vectors of a pipeline.

    Args:
        source (str): Name or folder of the pipeline.

    Returns:
        tuple: W words, and their vectors, float of shape (W, d).

    Raises:
        MsvseError: If it has no word vectors (MSVSE-E043).
    """
    vocab = spacy.load(source).vocab
    keys = {key: row for key, row in vocab.vectors.key2row.items() if row >= 0}
    if not keys:
        raise MsvseError(Errors.E043.format(source=source))
    table = torch.from_numpy(to_numpy(vocab.vectors.data))
    return [vocab.strings[key] for key in keys], table[list(keys.values())]
