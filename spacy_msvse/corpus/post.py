"""A post as a file describes it, and how it becomes a Doc."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..doc import make_doc
from ..errors import MsvseError

#: The key of `doc.user_data` of a post with words and a text: training keeps its words.
WORDS_GIVEN = "words_given"


@dataclass
class PostRow:
    """Text, pictures and entities of one post in a file.

    Attributes:
        path (Path): The file that the post comes from.
        line (int): The line where the post starts.
        text (str / list[str]): The text, or its words.
        entities (list): Entities as (start, end, label), in characters of the text; the end is
            exclusive. None if the post is not annotated, which differs from an empty list.
        images (list): The paths of the pictures or their encoded bytes, in order.
        tags (list[str]): Words that describe the picture.
        caption (str): A sentence that describes the picture.
        texts (dict[str, str]): Further textual views, by name.
        meta (dict): Free-form data about the post.
        stray_starts (int): How many entities begin with `I-` in the file, where `B-` is expected.
        tokens_left_out (int): How many tokens of the file are context, or empty.
        spaces (list[bool]): Whether a blank follows each word. None if unknown: blanks then join
            the words.
        complete (bool): Whether tokens outside of all entities are known to be outside. Otherwise
            their labels are missing.
        scheme (str): How the file writes its labels.
        spans_rejected (int): How many entities of the post were rejected or ignored.
        boxes_left_out (int): How many boxes have no known place in the picture.
        unread_keys (dict[str, list[str]]): Keys of the row that are not read, by what they look
            like and the post lacks: "annotation", "a picture", "a caption" or "tags".
        binary (bool): Whether the row says that a person judged a single span of the post.
    """

    path: Path
    line: int
    text: str | list[str]
    entities: list[tuple[int, int, str]] | None = None
    images: list[str | bytes] = field(default_factory=list)
    tags: list[str] | None = None
    caption: str | None = None
    texts: dict[str, str] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    stray_starts: int = 0
    tokens_left_out: int = 0
    spaces: list[bool] | None = None
    complete: bool = True
    scheme: str | None = None
    spans_rejected: int = 0
    boxes_left_out: int = 0
    unread_keys: dict[str, list[str]] = field(default_factory=dict)
    binary: bool = False

    @property
    def image(self) -> str | bytes | None:
        """The first picture; None if there is none."""
        return self.images[0] if self.images else None

    def to_doc(self, nlp: Language, label_map: Mapping[str, str] | None = None) -> Doc:
        """Make a Doc of the post.

        Args:
            nlp (Language): Gives the tokenizer and the vocabulary.
            label_map (Mapping[str, str]): Labels to rename.

        Returns:
            Doc: The Doc, with the pictures and the entities.

        Raises:
            MsvseError: If the post has no tokens or an entity does not fit the text. The message
                names the reason.
        """
        doc = make_doc(
            nlp,
            self.text,
            images=self.images,
            spaces=self.spaces,
            tags=self.tags,
            caption=self.caption,
            texts=self.texts,
        )
        if not len(doc):
            raise MsvseError("the post has no tokens")
        if self.spaces is not None:
            # A file of Docs keeps the blanks only if they are known. `Corpus` keeps the words.
            doc.has_unknown_spaces = False
            doc.user_data[WORDS_GIVEN] = True
        if self.meta:
            doc.user_data["meta"] = self.meta
        if self.entities is not None:
            spans = self._make_spans(doc, label_map or {})
            doc.set_ents(spans, default="outside" if self.complete else "missing")
        return doc

    def _make_spans(self, doc: Doc, label_map: Mapping[str, str]) -> list[Span]:
        spans: list[Span] = []
        for start, end, label in sorted(set(self.entities or ())):
            if not 0 <= start < end <= len(doc.text):
                raise MsvseError(f"entity {start}-{end} lies outside the text")
            label = label_map.get(label, label)
            surface = doc.text[start:end]
            if not label.strip():
                raise MsvseError(f"entity {start}-{end} {surface!r} has an empty label")
            span = doc.char_span(start, end, label=label)
            if span is None:
                reason = f"cuts through a token{hint_at_wide_characters(doc.text[:end])}"
                raise MsvseError(f"entity {start}-{end} {surface!r} {reason}")
            spans.append(span)
        for left, right in pairwise(spans):
            if right.start < left.end:
                names = " and ".join(f"{span.text!r} ({span.label_})" for span in (left, right))
                raise MsvseError(f"entities {names} overlap")
        return spans


def hint_at_wide_characters(text: str) -> str:
    """Say what else the offsets of a text may count.

    Args:
        text (str): The text.

    Returns:
        str: A sentence if the text has characters of two UTF-16 units, else nothing.
    """
    wide = any(ord(char) > 0xFFFF for char in text)
    return ". If offsets count an emoji as two, pass --offsets utf16" if wide else ""
