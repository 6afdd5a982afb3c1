"""From posts to word pieces, once, and from word pieces to tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from spacy.tokens import Span
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import Errors, MsvseError
from ..network.base import Reads
from ..network.inputs import Inputs, Pictures, Regions, WordPieces
from ..settings import wrong_setting
from ..vision.features import RegionFeatures
from .reader import ReadPost
from .span_getters import SpanGetter
from .wordpieces import Layout, Pieces, encode_words, view_words, words_to_encode

#: The number of word pieces of a text that there must be room for behind the queries of a network.
MIN_TEXT_ROOM = 8

#: Number of word pieces that a window of text must leave free for the joint views after it.
MIN_JOINT_ROOM = 8


@dataclass
class PieceRow:
    """A sequence of word pieces with its special ones.

    Attributes:
        ids (list): Ids of the pieces.
        token_types (list): Token type ids.
    """

    ids: list[int]
    token_types: list[int]


@dataclass
class Window:
    """A part of a post's text that fits the encoder.

    Attributes:
        start (int): Its first token.
        words (np.ndarray): int64, the token of each of its pieces, counted from `start`.
        text (PieceRow): Its word pieces.
        joint (PieceRow): The same and the joint views after it; the same object if there are none.
        joint_spans (dict): Joint view to its first column in `joint` and the column after its last.
    """

    start: int
    words: np.ndarray
    text: PieceRow
    joint: PieceRow
    joint_spans: dict[str, tuple[int, int]]


@dataclass
class EncodedPost:
    """A post and its word pieces.

    Attributes:
        post (ReadPost): The post.
        windows (list): Windows of its text.
        texts (dict): Textual view to the ids of its pieces, without special ones.
    """

    post: ReadPost
    windows: list[Window]
    texts: dict[str, list[int]]

    @property
    def length(self) -> int:
        """Word pieces of the longest row, joint views included. A post with several pictures counts
        as so many times as long, since its regions need so much more memory."""
        longest = max((len(window.joint.ids) for window in self.windows), default=0)
        return longest * max(1, self.post.pictures)


class PieceEncoder:
    """Tokenises every text and every view of a post once, and makes tensors of the word pieces."""

    def __init__(
        self,
        tokenizer: Any,
        get_spans: SpanGetter,
        reads: Reads,
        *,
        max_length: int,
        max_view_words: int,
        region_dim: int,
        normalize_urls: bool = False,
    ) -> None:
        """Create an encoder of word pieces for a tokenizer and a network.

        Args:
            tokenizer (PreTrainedTokenizerBase): The encoder's tokenizer.
            get_spans (Callable): A span getter: Docs to the windows of each, for long texts.
            reads (Reads): The views to prepare.
            max_length (int): Maximum number of word pieces of the encoder.
            max_view_words (int): Maximum number of words of a textual view that are read.
            region_dim (int): Width of a region vector.
            normalize_urls (bool): Read each URL of a text as one known word.

        Raises:
            MsvseError: If a query leaves too little room for texts (MSVSE-E007).
        """
        self.tokenizer = tokenizer
        self.get_spans = get_spans
        self.reads = reads
        self.max_length = max_length
        self.max_view_words = max_view_words
        self.region_dim = region_dim
        self.normalize_urls = normalize_urls
        self.layout = Layout.of(tokenizer)
        self._has_types = "token_type_ids" in tokenizer.model_input_names
        words = [query.split() for query in reads.queries]
        self.queries = [
            PieceRow(*self.layout.single(pieces.ids))
            for pieces in (encode_words(tokenizer, words) if words else ())
        ]
        # They stand before each window.
        longest = max((len(query.ids) for query in self.queries), default=0)
        room = max_length - MIN_TEXT_ROOM
        if longest > room:
            expected = f"at most {room} word pieces, so that the encoder has room for the post"
            raise wrong_setting("queries", f"a text of {longest} word pieces", expected)
        self.max_length -= longest

    def encode(self, posts: Sequence[ReadPost]) -> list[EncodedPost]:
        """Tokenise posts.

        Args:
            posts (Sequence[ReadPost]): The posts.

        Returns:
            list: The encoded posts.
        """
        docs = [post.doc for post in posts]
        texts = encode_words(
            self.tokenizer, [words_to_encode(doc, self.normalize_urls) for doc in docs]
        )
        names = tuple(dict.fromkeys((*self.reads.texts, *self.reads.joint)))
        views = self._encode_views(posts, names)
        encoded = []
        spans = self.get_spans(docs)
        for row, (post, pieces) in enumerate(zip(posts, texts, strict=True)):
            behind = {view: views[view, row] for view in self.reads.joint if (view, row) in views}
            windows = self._windows(pieces, spans[row], behind)
            own = {
                view: views[view, row][: self.max_length]
                for view in self.reads.texts
                if (view, row) in views
            }
            encoded.append(EncodedPost(post, windows, own))
        return encoded

    def collate(self, posts: Sequence[EncodedPost]) -> Inputs:
        """Make a batch.

        Args:
            posts (Sequence[EncodedPost]): Posts of at least one token.

        Returns:
            Inputs: The batch, on the CPU.

        Raises:
            MsvseError: For region vectors of another width (MSVSE-E013).
        """
        windows = [window for post in posts for window in post.windows]
        owners = [row for row, post in enumerate(posts) for _ in post.windows]
        lengths = [len(post.post.doc) for post in posts]
        token_window, token_piece = align(windows, owners, lengths, self.layout.text_start)
        spans = {
            view: torch.tensor([window.joint_spans.get(view, (0, 0)) for window in windows])
            for view in self.reads.joint
        }
        regions = {
            view: [post.post.vectors.get(view) for post in posts] for view in self.reads.vectors
        }
        return Inputs(
            text=self._pad([window.text for window in windows]),
            joint=self._pad([window.joint for window in windows]),
            window_post=torch.tensor(owners),
            token_window=pad(token_window, 0),
            token_piece=pad(token_piece, -1),
            token_mask=pad([np.ones(length, dtype=bool) for length in lengths], False),
            joint_spans=spans,
            texts={view: self._pad_view(view, posts) for view in self.reads.texts},
            vectors={view: self._pad_regions(rows) for view, rows in regions.items() if any(rows)},
            pictures={
                view: pictures
                for view, rows in regions.items()
                if (pictures := _stack_pictures(rows)) is not None
            },
            queries=self._pad(self.queries) if self.queries else None,
        )

    def _encode_views(
        self, posts: Sequence[ReadPost], names: Sequence[str]
    ) -> dict[tuple[str, int], list[int]]:
        """Ids of the word pieces of all textual views, by view and row."""
        places = [
            (view, row) for row, post in enumerate(posts) for view in names if view in post.texts
        ]
        texts = [view_words(posts[row].texts[view], self.max_view_words) for view, row in places]
        if not places:
            return {}
        encoded = encode_words(self.tokenizer, texts, unknown=False)
        return {place: pieces.ids for place, pieces in zip(places, encoded, strict=True)}

    def _windows(
        self, pieces: Pieces, spans: Sequence[Span], behind: dict[str, list[int]]
    ) -> list[Window]:
        """Windows of a post; a span that does not fit the encoder is halved until it does."""
        words = np.asarray(pieces.words, dtype="int64")
        room = self.max_length - self.layout.single_length
        windows = []
        pending = [(span.start, span.end) for span in spans if len(span)]
        while pending:
            too_long = []
            for start, end in pending:
                first, stop = np.searchsorted(words, (start, end)).tolist()
                if stop - first > room and end - start > 1:
                    middle = start + (end - start) // 2
                    too_long += [(start, middle), (middle, end)]
                    continue
                stop = min(stop, first + room)
                windows.append(
                    self._window(start, words[first:stop] - start, pieces.ids[first:stop], behind)
                )
            pending = too_long
        return windows

    def _window(
        self, start: int, words: np.ndarray, ids: list[int], behind: dict[str, list[int]]
    ) -> Window:
        text = PieceRow(*self.layout.single(ids))
        if not any(behind.values()) or len(text.ids) > self.max_length - MIN_JOINT_ROOM:
            return Window(start, words, text, text, {})
        joined: list[int] = []
        spans = {}
        # The first column after the text.
        offset = self.layout.behind_start(len(ids))
        for view, view_ids in behind.items():
            if view_ids:
                joined += [self.tokenizer.sep_token_id] if joined else []
                spans[view] = (len(joined), len(joined) + len(view_ids))
                joined += view_ids
        joint = PieceRow(*self.layout.pair(ids, joined, self.max_length))
        kept = len(joint.ids) - len(ids) - self.layout.pair_length
        # The number of pieces that are cut before the first one that is kept.
        cut = len(joined) - kept if self.layout.cut_left else 0
        columns = {
            view: (min(max(a - cut, 0), kept) + offset, min(max(b - cut, 0), kept) + offset)
            for view, (a, b) in spans.items()
        }
        return Window(start, words, text, joint, columns)

    def _pad(self, rows: Sequence[PieceRow]) -> WordPieces:
        ids = [np.asarray(row.ids, dtype="int64") for row in rows]
        types = None
        if self._has_types:
            types = pad([np.asarray(row.token_types, dtype="int64") for row in rows], 0)
        mask = pad([np.ones(len(row), dtype=bool) for row in ids], False)
        return WordPieces(pad(ids, self.tokenizer.pad_token_id), mask, types)

    def _pad_view(self, view: str, posts: Sequence[EncodedPost]) -> WordPieces:
        """The word pieces of a view; a batch that does not have it keeps one masked column."""
        rows = [post.texts.get(view, []) for post in posts]
        if not any(rows):
            empty = torch.zeros(len(posts), 1, dtype=torch.long)
            return WordPieces(empty, empty.bool(), empty if self._has_types else None)
        return self._pad([PieceRow(row, [0] * len(row)) for row in rows])

    def _pad_regions(self, rows: Sequence[RegionFeatures | None]) -> Regions:
        vectors, boxes = [], []
        for regions in rows:
            boxes.append(np.zeros((0, 4), "float32") if regions is None else regions.boxes)
            if regions is None or regions.vectors is None:  # absent, or left to the backbone
                vectors.append(np.zeros((len(boxes[-1]), self.region_dim), "float32"))
            elif regions.vectors.shape[1] == self.region_dim:
                vectors.append(regions.vectors)
            else:
                width = regions.vectors.shape[1]
                raise MsvseError(Errors.E013.format(given=width, expected=self.region_dim))
        mask = pad([np.ones(len(row), dtype=bool) for row in vectors], False)
        pictures = pad([_picture_numbers(row) for row in rows], 0)
        return Regions(pad(vectors, 0.0).float(), pad(boxes, 0.0).float(), mask, pictures)


def align(
    windows: Sequence[Window], owners: Sequence[int], lengths: Sequence[int], text_start: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Find the window and the first word piece of every token. A token in several windows is read
    from the window with most of its context.

    Args:
        windows (Sequence[Window]): The windows of all posts.
        owners (Sequence[int]): The post of each window.
        lengths (Sequence[int]): Number of tokens of each post.
        text_start (int): Column of the first word piece of a window.

    Returns:
        tuple: For each post, the window and the piece of each token; the piece is -1 for a token
            that is in no window.
    """
    token_window = [np.zeros(length, dtype="int64") for length in lengths]
    token_piece = [np.full(length, -1, dtype="int64") for length in lengths]
    best_context = [np.full(length, -1, dtype="int64") for length in lengths]
    for index, (window, post) in enumerate(zip(windows, owners, strict=True)):
        words, pieces = np.unique(window.words, return_index=True)
        if not len(words):
            continue
        context = np.minimum(words, words[-1] - words)
        tokens = window.start + words
        better = context > best_context[post][tokens]
        tokens = tokens[better]
        best_context[post][tokens] = context[better]
        token_window[post][tokens] = index
        token_piece[post][tokens] = text_start + pieces[better]
    return token_window, token_piece


def pad(rows: Sequence[np.ndarray], value: float) -> Tensor:
    """Stack arrays of unequal length.

    Args:
        rows (Sequence[np.ndarray]): Arrays of shape (n, ...).
        value (float): The value of the padding.

    Returns:
        Tensor: Of shape (len(rows), max n, ...).
    """
    tensors = [torch.from_numpy(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)


def _picture_numbers(regions: RegionFeatures | None) -> np.ndarray:
    if regions is None or regions.pictures is None:
        return np.zeros(0 if regions is None else len(regions.boxes), "int64")
    return regions.pictures


def _stack_pictures(rows: Sequence[RegionFeatures | None]) -> Pictures | None:
    pixels, posts, starts = [], [], []
    for row, regions in enumerate(rows):
        if regions is None or regions.pixels is None:
            continue
        pictures = regions.pixels if regions.pixels.ndim == 4 else regions.pixels[None]
        pixels.append(pictures)
        posts += [row] * len(pictures)
        starts += np.unique(_picture_numbers(regions), return_index=True)[1].tolist()
    if not pixels:
        return None
    stacked = torch.from_numpy(np.concatenate(pixels))
    return Pictures(stacked, torch.tensor(posts), torch.tensor(starts))
