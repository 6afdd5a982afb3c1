"""The one door between Docs and tensors: tokenising, alignment, padding, gold labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example, biluo_to_iob
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import Errors, MsvseError
from ..network.config import NetworkConfig
from ..network.crf import Lattice, bio_labels
from ..network.inputs import MsvseInputs, MsvseTargets, Pictures, Regions, WordPieces
from .posts import Post, given_view
from .wordpieces import Encoding, encode_words, view_words, words_to_encode

SpanGetter = Callable[[list[Doc]], list[list[Span]]]

#: Room that a window of text must leave before a joint view is put behind it, in word pieces.
MIN_JOINT_ROOM = 8


@dataclass
class Window:
    """A piece of a post's text that fits the encoder.

    post (int): Index of the post.
    start (int): Its first token.
    words (list): Its tokens' texts.
    encoding (Encoding): Their word pieces, special ones included.
    """

    post: int
    start: int
    words: list[str]
    encoding: Encoding


class Collator:
    """Turns posts into a batch for the network."""

    def __init__(
        self,
        tokenizer: Any,
        get_spans: SpanGetter,
        config: NetworkConfig,
        *,
        max_length: int,
        max_view_words: int,
        normalize_urls: bool = False,
    ) -> None:
        """Set up a collator.

        tokenizer (PreTrainedTokenizerBase): The encoder's tokenizer.
        get_spans (Callable): A span getter of spacy-transformers, for texts that are too long.
        config (NetworkConfig): Which views to prepare.
        max_length (int): The most word pieces the encoder takes.
        max_view_words (int): How many words of a textual view are read.
        normalize_urls (bool): Read URLs as one word, see `words_to_encode`.
        """
        self.tokenizer = tokenizer
        self.get_spans = get_spans
        self.config = config
        self.max_length = max_length
        self.max_view_words = max_view_words
        self.normalize_urls = normalize_urls

    def __call__(self, posts: Sequence[Post]) -> MsvseInputs:
        """Make a batch.

        posts (Sequence[Post]): Posts of at least one token.
        RETURNS (MsvseInputs): The batch, on the CPU.
        """
        windows = self._windows([post.doc for post in posts])
        token_window, token_piece = align(windows, [len(post.doc) for post in posts])
        texts = [window.encoding for window in windows]
        return MsvseInputs(
            text=self._pad(texts),
            joint=self._pad(self._join(windows, posts)),
            window_post=torch.tensor([window.post for window in windows]),
            token_window=pad(token_window, 0),
            token_piece=pad(token_piece, -1),
            token_mask=pad([np.ones(len(post.doc), dtype=bool) for post in posts], False),
            views={view: self._view(view, posts) for view in self.config.textual_views},
            regions=self._regions(posts),
            pictures=self._pictures(posts),
        )

    def _windows(self, docs: list[Doc]) -> list[Window]:
        """Windows of all posts; one that does not fit the encoder is halved until it does."""
        pending = [
            (index, span.start, words_to_encode(span, self.normalize_urls))
            for index, spans in enumerate(self.get_spans(docs))
            for span in spans
            if len(span)
        ]
        windows = []
        while pending:
            encodings = self._encode_words([words for _, _, words in pending])
            too_long = []
            for (post, start, words), encoding in zip(pending, encodings, strict=True):
                if len(encoding.ids) <= self.max_length:
                    windows.append(Window(post, start, words, encoding))
                elif len(words) == 1:
                    encoding.truncate(self.max_length)
                    windows.append(Window(post, start, words, encoding))
                else:
                    middle = len(words) // 2
                    too_long.append((post, start, words[:middle]))
                    too_long.append((post, start + middle, words[middle:]))
            pending = too_long
        return windows

    def _encode_words(self, texts: list[list[str]]) -> list[Encoding]:
        """Word pieces in which every word has at least one: invisible characters become unknown."""
        encodings = encode_words(self.tokenizer, texts)
        for index, (words, encoding) in enumerate(zip(texts, encodings, strict=True)):
            seen = set(encoding.word_ids)
            if any(i not in seen for i in range(len(words))):
                # In place: the words of a joint encoding must be the same.
                words[:] = [
                    word if i in seen else self.tokenizer.unk_token for i, word in enumerate(words)
                ]
                encodings[index] = encode_words(self.tokenizer, [words])[0]
        return encodings

    def _join(self, windows: list[Window], posts: Sequence[Post]) -> list[Encoding]:
        """The windows with the joint views behind them; a post without one keeps its plain text."""
        encodings = [window.encoding for window in windows]
        rows, words, behind = [], [], []
        for row, window in enumerate(windows):
            view = self._joint_words(posts[window.post])
            if view and len(window.encoding.ids) <= self.max_length - MIN_JOINT_ROOM:
                rows.append(row)
                words.append(window.words)
                behind.append(view)
        if rows:
            joint = encode_words(
                self.tokenizer,
                words,
                behind,
                truncation="only_second",
                max_length=self.max_length,
            )
            for row, encoding in zip(rows, joint, strict=True):
                encodings[row] = encoding
        return encodings

    def _joint_words(self, post: Post) -> list[str]:
        words: list[str] = []
        for view in self.config.joint_views:
            if view in post.texts:
                separator = [self.tokenizer.sep_token] if words else []
                words += separator + view_words(post.texts[view], self.max_view_words)
        return words

    def _view(self, view: str, posts: Sequence[Post]) -> WordPieces:
        """A textual view's word pieces without special ones, for prefixes."""
        words = [view_words(post.texts.get(view, ""), self.max_view_words) for post in posts]
        if not any(words):
            empty = torch.zeros(len(posts), 1, dtype=torch.long)
            return WordPieces(empty, empty.bool())
        encodings = encode_words(
            self.tokenizer,
            words,
            add_special_tokens=False,
            truncation=True,
            max_length=self.max_length,
        )
        return self._pad(encodings)

    def _pad(self, encodings: Sequence[Encoding]) -> WordPieces:
        ids = [np.asarray(encoding.ids, dtype="int64") for encoding in encodings]
        types = None
        if "token_type_ids" in self.tokenizer.model_input_names:
            types = pad([np.asarray(e.type_ids, dtype="int64") for e in encodings], 0)
        mask = pad([np.ones(len(row), dtype=bool) for row in ids], False)
        return WordPieces(pad(ids, self.tokenizer.pad_token_id), mask, types)

    def _regions(self, posts: Sequence[Post]) -> Regions | None:
        if all(post.boxes is None for post in posts):
            return None
        width = self.config.region_dim
        vectors, boxes = [], []
        for post in posts:
            boxes.append(np.zeros((0, 4), "float32") if post.boxes is None else post.boxes)
            if post.regions is None:  # absent, or made of the pixels later
                vectors.append(np.zeros((len(boxes[-1]), width), "float32"))
            elif post.regions.shape[1] == width:
                vectors.append(post.regions)
            else:
                raise MsvseError(Errors.E013.format(given=post.regions.shape[1], expected=width))
        mask = pad([np.ones(len(rows), dtype=bool) for rows in vectors], False)
        return Regions(pad(vectors, 0.0).float(), pad(boxes, 0.0).float(), mask)

    def _pictures(self, posts: Sequence[Post]) -> Pictures | None:
        pixels = {row: post.pixels for row, post in enumerate(posts) if post.pixels is not None}
        if not pixels:
            return None
        return Pictures(torch.from_numpy(np.stack(list(pixels.values()))), torch.tensor([*pixels]))


def count_pieces(
    tokenizer: Any,
    docs: Sequence[Doc],
    joint_views: Sequence[str],
    max_view_words: int,
    normalize_urls: bool,
) -> list[int]:
    """How much there is to encode of each Doc, as far as can be told before its picture is seen.

    tokenizer (PreTrainedTokenizerBase): The encoder's tokenizer.
    docs (Sequence[Doc]): The Docs, none of them empty.
    joint_views (Sequence[str]): The views that are encoded behind the text.
    max_view_words (int): How many words of a view are read.
    normalize_urls (bool): Whether URLs are read as one word.
    RETURNS (list): The word pieces of each text and of the joint views that the user gave, special
        ones included.
    """
    texts = []
    for doc in docs:
        words = words_to_encode(doc, normalize_urls)
        for view in joint_views:
            words += view_words(given_view(doc, view) or "", max_view_words)
        texts.append(words)
    encodings = encode_words(tokenizer, texts, add_special_tokens=False)
    special = tokenizer.num_special_tokens_to_add(pair=bool(joint_views))
    # A token of invisible characters is read as an unknown one.
    pieces = [max(len(e.ids), len(doc)) for e, doc in zip(encodings, docs, strict=True)]
    return [count + special for count in pieces]


def align(
    windows: Sequence[Window], lengths: Sequence[int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Find the window and the first word piece of every token. A token that several windows hold
    is read from the one that shows most of its context.

    windows (Sequence[Window]): The windows of all posts.
    lengths (Sequence[int]): Number of tokens of each post.
    RETURNS (tuple): For each post, the window and the piece of each token; the piece is -1 for a
        token that no window holds.
    """
    token_window = [np.zeros(length, dtype="int64") for length in lengths]
    token_piece = [np.full(length, -1, dtype="int64") for length in lengths]
    best_context = [np.full(length, -1, dtype="int64") for length in lengths]
    for index, window in enumerate(windows):
        word_ids = np.asarray(
            [-1 if word is None else word for word in window.encoding.word_ids], dtype="int64"
        )
        words, pieces = np.unique(word_ids, return_index=True)
        words, pieces = words[words >= 0], pieces[words >= 0]
        context = np.minimum(words, len(window.words) - 1 - words)
        tokens = window.start + words
        better = context > best_context[window.post][tokens]
        tokens = tokens[better]
        best_context[window.post][tokens] = context[better]
        token_window[window.post][tokens] = index
        token_piece[window.post][tokens] = pieces[better]
    return token_window, token_piece


def make_targets(examples: Sequence[Example], types: Sequence[str]) -> MsvseTargets:
    """Read the gold labels of examples. Missing and misaligned tokens may have any label.

    examples (Sequence[Example]): Examples, in the order of the posts.
    types (Sequence[str]): The network's entity types.
    RETURNS (MsvseTargets): The targets, on the CPU.
    RAISES (ValueError): For a gold label that is not among the types (MSVSE-E017).
    """
    labels = bio_labels(tuple(types))
    index: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    # A missing label is the last row: any.
    index[None] = len(labels)
    table = np.eye(len(labels) + 1, len(labels), dtype=bool)
    table[-1] = True
    allowed, occurring, known = [], [], []
    for example in examples:
        gold = _legal(biluo_to_iob(example.get_aligned_ner()))
        found = {label[2:] for label in gold if label is not None and label != "O"}
        unknown = found.difference(types)
        if unknown:
            raise MsvseError(Errors.E017.format(label=min(unknown), labels=", ".join(types)))
        complete = None not in gold
        allowed.append(table[[index[label] for label in gold]])
        occurring.append([name in found for name in types])
        known.append([complete or name in found for name in types])
    return MsvseTargets(
        pad(allowed, True),
        torch.tensor(occurring, dtype=torch.float32),
        torch.tensor(known, dtype=torch.bool),
    )


def _legal(labels: Sequence[str | None]) -> list[str | None]:
    """Open an entity where a label continues none, as evaluation does."""
    return [
        "B-" + label[2:]
        if label and label.startswith("I-") and before and before[2:] != label[2:]
        else label
        for before, label in pairwise(["O", *labels])
    ]


def find_entities(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Read the entities off a legal labelling.

    labels (np.ndarray): int of shape (T,), indices into `bio_labels`.
    RETURNS (list): First token, token after the last and index of the type, for each entity.
    """
    begin = labels % 2 == 1
    inside = (labels % 2 == 0) & (labels > 0)
    starts = np.flatnonzero(begin)
    stops = np.flatnonzero(np.append(~inside, True))
    ends = stops[np.searchsorted(stops, starts, side="right")]
    return [
        (int(start), int(end), int(labels[start] - 1) // 2)
        for start, end in zip(starts, ends, strict=True)
    ]


def best_entities(lattice: Lattice) -> list[tuple[int, int, int, int]]:
    """The entities of every sequence's best labelling.

    lattice (Lattice): The scores.
    RETURNS (list): Sequence, first and last token and index of the type, for each entity.
    """
    # Padding is labelled O.
    paths = lattice.best_labels().cpu().numpy()
    return [
        (row, start, end - 1, label)
        for row, path in enumerate(paths)
        for start, end, label in find_entities(path)
    ]


def pad(rows: Sequence[np.ndarray], value: float) -> Tensor:
    """Stack arrays of unequal length.

    rows (Sequence[np.ndarray]): Arrays of shape (n, ...).
    value (float): What to fill with.
    RETURNS (Tensor): Of shape (len(rows), max n, ...).
    """
    tensors = [torch.from_numpy(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)
