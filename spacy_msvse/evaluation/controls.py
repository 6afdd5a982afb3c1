"""Controls: scores without pictures and with the pictures of other posts. The difference to the
scores with the right pictures is the effect of the pictures."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.corpus import FILE_TYPE, walk_corpus
from spacy.vocab import Vocab

from ..doc import PICTURE_ATTRIBUTES, get_picture_attributes, set_picture_attributes
from ..doc_bin import read_doc_bin, read_docs_of


def no_picture(examples: Sequence[Example], seed: int = 0) -> None:
    """Remove the pictures and their descriptions from the predicted side, in place.

    Args:
        examples (Sequence[Example]): The examples.
        seed (int): Not used; it gives all controls the same signature.
    """
    for example in examples:
        _clear(example.predicted)


def shuffled(examples: Sequence[Example], seed: int = 0) -> None:
    """Give every post the picture of another post, in place. If the data allow it, the two posts
    have no entity type in common.

    Args:
        examples (Sequence[Example]): The examples.
        seed (int): Seed of the permutation.
    """
    with_picture = [eg for eg in examples if _visual(eg.predicted)]
    types = [frozenset(ent.label_ for ent in eg.reference.ents) for eg in with_picture]
    pictures = [_visual(eg.predicted) for eg in with_picture]
    donors = disjoint_permutation(types, seed)
    for example, donor in zip(with_picture, donors, strict=True):
        _clear(example.predicted)
        set_picture_attributes(example.predicted, pictures[donor])


Control = Literal["no_picture", "shuffled"]

CONTROLS: dict[Control, Callable[[Sequence[Example], int], None]] = {
    "no_picture": no_picture,
    "shuffled": shuffled,
}


def disjoint_permutation(types: Sequence[frozenset[str]], seed: int) -> list[int]:
    """A random permutation that leaves no item in place and, as far as possible, moves every item
    to the place of an item with a disjoint set.

    Args:
        types (Sequence[frozenset]): A set for each item.
        seed (int): Seed of the permutation.

    Returns:
        list: For each place the item that moves there.
    """
    generator = random.Random(seed)
    items = list(range(len(types)))
    donors = items.copy()
    generator.shuffle(donors)

    def clash(item: int, donor: int) -> int:
        """2 for the same item, 1 for overlapping sets, 0 for disjoint ones."""
        return 2 if item == donor else int(bool(types[item] & types[donor]))

    for item in items:
        if not clash(item, donors[item]):
            continue
        # Swap with the item for which the swap removes most clashes.
        others = [other for other in items if other != item]
        generator.shuffle(others)

        def gain(other: int, item: int = item) -> int:
            before = clash(item, donors[item]) + clash(other, donors[other])
            return before - clash(item, donors[other]) - clash(other, donors[item])

        best = max(others, key=gain, default=item)
        if best != item and gain(best) > 0:
            donors[item], donors[best] = donors[best], donors[item]
    return donors


def shuffle_corpus(source: Path, target: Path, seed: int = 0) -> None:
    """Write a copy of a training corpus in which every post has the picture of another post, with
    its descriptions.

    Unlike in `shuffled`, the permutation does not depend on the entity types: the pictures would
    give information about them.

    Args:
        source (Path): The .spacy file, or a folder of such files.
        target (Path): The .spacy file to write.
        seed (int): Seed of the permutation.

    Raises:
        MsvseError: If a file is damaged (MSVSE-E042).
    """
    doc_bin, docs = _read_all(source)
    pictures = [_visual(doc) for doc in docs]
    for doc, donor in zip(docs, derangement(len(docs), seed), strict=True):
        _clear(doc)
        set_picture_attributes(doc, pictures[donor])
    DocBin(doc_bin.attrs, store_user_data=True, docs=docs).to_disk(target)


def clear_corpus(source: Path, target: Path) -> None:
    """Write a copy of a training corpus without the pictures and their descriptions.

    Args:
        source (Path): The .spacy file, or a folder of such files.
        target (Path): The .spacy file to write.

    Raises:
        MsvseError: If a file is damaged (MSVSE-E042).
    """
    doc_bin, docs = _read_all(source)
    for doc in docs:
        _clear(doc)
    DocBin(doc_bin.attrs, store_user_data=True, docs=docs).to_disk(target)


def derangement(number: int, seed: int) -> list[int]:
    """A random permutation that leaves no item in place: one cycle, by Sattolo's algorithm.

    Args:
        number (int): The number of items, at least two.
        seed (int): Seed of the permutation.

    Returns:
        list: For each place the item that moves there.
    """
    generator = random.Random(seed)
    donors = list(range(number))
    for last in range(number - 1, 0, -1):
        other = generator.randrange(last)
        donors[last], donors[other] = donors[other], donors[last]
    return donors


def _read_all(source: Path) -> tuple[DocBin, list[Doc]]:
    """The first file of a corpus, and all its posts."""
    paths = walk_corpus(source, FILE_TYPE)
    doc_bins = [read_doc_bin(path) for path in paths]
    vocab = Vocab()
    parts = zip(doc_bins, paths, strict=True)
    docs = [doc for doc_bin, path in parts for doc in read_docs_of(doc_bin, vocab, path)]
    return doc_bins[0], docs


def _visual(doc: Doc) -> dict:
    values = get_picture_attributes(doc)
    return {name: value for name, value in values.items() if name in PICTURE_ATTRIBUTES}


def _clear(doc: Doc) -> None:
    for name in PICTURE_ATTRIBUTES:
        doc._.set(name, None)
