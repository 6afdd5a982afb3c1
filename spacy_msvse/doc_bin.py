"""Reads files of Docs, and checks that they are whole. spaCy's reader can lose posts in silence."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .errors import Errors, MsvseError
from .util import keeping_garbage_collection

#: The parts of a file that have one entry for each Doc. Older files may lack them.
_PARTS = ("cats", "flags", "span_groups", "user_data")

#: Where an earlier version kept the picture of a Doc.
_EARLIER = ("._.", "image", None, None)


def read_doc_bin(path: str | Path) -> DocBin:
    """Read a `.spacy` file.

    Args:
        path (Path): The file.

    Returns:
        DocBin: Its content. `read_docs_of` makes the Docs.

    Raises:
        MsvseError: If it is no such file, or is damaged (MSVSE-E042).
    """
    try:
        with keeping_garbage_collection():
            data = Path(path).read_bytes()
            _check(data)
            return DocBin().from_bytes(data)
    except MemoryError:
        raise
    except Exception as error:  # of zlib, msgpack and numpy, or a missing key
        reason = str(error) or f"it is damaged ({type(error).__name__})"
        raise MsvseError(Errors.E042.format(path=path, reason=reason)) from error


def read_docs_of(doc_bin: DocBin, vocab: Vocab, path: str | Path) -> Iterator[Doc]:
    """Make the Docs of a file one by one.

    Args:
        doc_bin (DocBin): The content of the file.
        vocab (Vocab): The vocabulary.
        path (Path): The file, for messages.

    Yields:
        Doc: The Docs.

    Raises:
        MsvseError: If a Doc is damaged (MSVSE-E042), or was written by an earlier version
            (MSVSE-E241).
    """
    docs = doc_bin.get_docs(vocab)
    number = 0
    while True:
        number += 1
        try:
            with keeping_garbage_collection():
                doc = next(docs)
                _look_up(doc)
                if _EARLIER in doc.user_data:
                    raise MsvseError(Errors.E241.format(path=path))
        except StopIteration:
            return
        except (MemoryError, MsvseError):
            raise
        except Exception as error:  # of spaCy, msgpack and numpy
            reason = f"post {number} is damaged ({str(error) or type(error).__name__})"
            raise MsvseError(Errors.E042.format(path=path, reason=reason)) from error
        yield doc


def _look_up(doc: Doc) -> None:
    """Look up the strings of a Doc. spaCy itself would fail when they are used."""
    labels = {entity.label_ for entity in doc.ents}
    labels.update(span.label_ for group in doc.spans.values() for span in group)
    if len(doc) and not doc.text:
        raise ValueError("its tokens have no text")


def _check(data: bytes) -> None:
    """Check that all parts have the same number of Docs and of tokens.

    Raises:
        ValueError: If they have not.
    """
    message = srsly.msgpack_loads(zlib.decompress(data))
    lengths = numpy.frombuffer(message["lengths"], dtype="int32")
    tokens = len(message["tokens"]) / (8 * len(message["attrs"]))
    counts = {part: len(message[part]) for part in _PARTS if message.get(part) is not None}
    if (lengths < 0).any() or lengths.sum() != tokens or len(message["spaces"]) != tokens:
        raise ValueError(f"its posts have {lengths.sum()} tokens, but it holds {tokens:g}")
    if not all(isinstance(string, str) for string in message["strings"]):
        raise ValueError("its strings are not all texts")
    for part, count in counts.items():
        if count != len(lengths):
            raise ValueError(f"it has {len(lengths)} posts, but {part} of {count}")
