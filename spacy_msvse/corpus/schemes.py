"""Labels of tokens in any scheme, and the entities that they mean."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from spacy.training import iob_to_biluo, tags_to_entities

from ..errors import MsvseError
from .rows import shorten

#: The label of a token outside of all entities.
OUTSIDE = "O"

#: The label, or the type of the labels, of tokens that are context and not the text of the post.
CONTEXT = "X"

#: Letters of schemes. B begins an entity; I and M continue it; E and L end it; S, U and W are an
#: entity of one token.
SCHEMES = {"IOB2": "BI", "BIOES": "BIES", "BMES": "BMES", "BMEWO": "BMEW", "BILOU": "BILU"}
STARTS, ENDS = "BSUW", "ELSUW"

#: The name of the scheme of a file whose labels have no prefix.
TYPES = "types without prefix"

PREFIXED = re.compile(r"[BIMELSUW]-\S.*")
#: A label without prefix that may be a prefixed one in another notation, or stand for O.
DOUBTFUL = re.compile(
    r"[BIMELSUWO][-_.:|/].*|.*[-_.:|/][BIMELSUW]|O|NONE|NULL|NIL|OUT|OUTSIDE|[\W\d_]*",
    re.IGNORECASE,
)


def get_type(label: str) -> str:
    """The type of a label.

    Args:
        label (str): The label, with or without a prefix.

    Returns:
        str: The type; empty for a token outside of all entities.
    """
    if label == OUTSIDE:
        return ""
    return label[2:] if PREFIXED.fullmatch(label) else label


def has_context(labels: Iterable[str]) -> bool:
    """Whether tokens with the type X are context: there are other types.

    Args:
        labels (Iterable[str]): The labels of a file.

    Returns:
        bool: True if so. A file whose only type is X has entities of the type X.
    """
    types = {get_type(label) for label in labels} - {""}
    return CONTEXT in types and types != {CONTEXT}


def find_letters(labels: Iterable[str], *, context: bool = False) -> set[str]:
    """Find the letters of the scheme of labels.

    Args:
        labels (Iterable[str]): The labels of a file.
        context (bool): Whether labels of the type X are those of context.

    Returns:
        set: The letters; empty if no label has a prefix.
    """
    return {
        label[0]
        for label in labels
        if PREFIXED.fullmatch(label) and not (context and label[2:] == CONTEXT)
    }


def name_scheme(letters: set[str], *, types: bool) -> str:
    """Name the scheme of labels.

    Args:
        letters (set): The letters of its prefixes.
        types (bool): Whether there are labels besides O.

    Returns:
        str: The name.
    """
    if not letters:
        return TYPES if types else "only O"
    for name, known in SCHEMES.items():
        if letters <= set(known):
            return name
    return f"letters {', '.join(sorted(letters))}"


def read_label(label: str, *, prefixed: bool) -> str:
    """Give a label a prefix.

    Args:
        label (str): The label.
        prefixed (bool): Whether the labels of the file have prefixes.

    Returns:
        str: O, or a label with a prefix.

    Raises:
        MsvseError: If it is no label of such a file. The message is the reason.
    """
    if label == OUTSIDE:
        return label
    if prefixed or not label:
        if not PREFIXED.fullmatch(label):
            shown = shorten(label)
            raise MsvseError(f"label {shown!r} is not O, B-TYPE, I-TYPE or of a similar scheme")
        return label
    if DOUBTFUL.fullmatch(label):
        shown = shorten(label)
        raise MsvseError(f"label {shown!r} is neither O, nor B-TYPE, nor a type")
    return f"I-{label}"


def make_spans(
    words: Sequence[str], labels: list[str], text: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Make the spans of labelled words.

    An entity that is continued but not begun, or begun but not ended, is read as in the usual
    scorers.

    Args:
        words (Sequence[str]): The words.
        labels (list[str]): Their labels, with prefixes of any scheme.
        text (str): The text whose characters spans count. Defaults to None: the words, joined by
            blanks.

    Returns:
        tuple: The spans, and the number of entities that no letter begins.

    Raises:
        MsvseError: If the words are not those of the text. The message is the reason.
    """
    labels, stray_starts = _to_iob(labels)
    starts = _find_words(words, " ".join(words) if text is None else text)
    spans = [
        {"start": starts[first], "end": starts[last] + len(words[last]), "label": label}
        for label, first, last in tags_to_entities(iob_to_biluo(labels))
    ]
    return spans, stray_starts


def _find_words(words: Sequence[str], text: str) -> list[int]:
    """Where each word starts in a text."""
    starts, end = [], 0
    for word in words:
        start = text.find(word, end)
        if start < 0 or text[end:start].strip():
            raise MsvseError(f"the word {shorten(word)!r} is not in 'text' where it should be")
        starts.append(start)
        end = start + len(word)
    return starts


def _to_iob(labels: list[str]) -> tuple[list[str], int]:
    """Labels of any scheme in IOB2, and the number of entities that no letter begins."""
    converted, stray_starts, open_type = [], 0, None
    for label in labels:
        letter, type_ = label[0], label[2:]
        if label == OUTSIDE:
            converted.append(label)
            open_type = None
            continue
        begins = letter in STARTS or open_type != type_
        stray_starts += begins and letter not in STARTS
        converted.append(f"{'B' if begins else 'I'}-{type_}")
        open_type = None if letter in ENDS else type_
    return converted, stray_starts
