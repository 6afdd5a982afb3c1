"""Word pieces of texts that are already split into words, for fast and for slow tokenizers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spacy.tokens import Doc, Span

#: The word that replaces a URL if URLs are normalized. Every tokenizer has pieces for it.
URL_WORD = "http"


@dataclass
class Pieces:
    """The word pieces of a text, without special tokens.

    Attributes:
        ids (list): Id of each piece.
        words (list): Index of each piece's word, in ascending order.
    """

    ids: list[int]
    words: list[int]


@dataclass(frozen=True)
class Template:
    """The special tokens before, between and after the texts of one input.

    Attributes:
        special (tuple): Pairs of ids and token type ids: one pair before each text and one at the
            end.
        types (tuple): Token type id of the pieces of each text.
    """

    special: tuple[tuple[list[int], list[int]], ...]
    types: tuple[int, ...]

    @property
    def length(self) -> int:
        """Number of special tokens."""
        return sum(len(ids) for ids, _ in self.special)

    def fill(self, *texts: list[int]) -> tuple[list[int], list[int]]:
        """Put the special tokens around texts.

        Args:
            texts (list): The piece ids of each text.

        Returns:
            tuple: Ids and token type ids of the whole input.
        """
        ids, types = map(list, self.special[0])
        for text, text_type, (special_ids, special_types) in zip(
            texts, self.types, self.special[1:], strict=True
        ):
            ids += text
            ids += special_ids
            types += [text_type] * len(text)
            types += special_types
        return ids, types


@dataclass(frozen=True)
class Layout:
    """The special tokens of a tokenizer, for one text and for a pair of texts.

    Attributes:
        one (Template): Special tokens of one text.
        two (Template): Special tokens of a pair.
        cut_left (bool): A second text that is too long loses its first pieces instead of its last.
    """

    one: Template
    two: Template
    cut_left: bool = False

    @classmethod
    def of(cls, tokenizer: Any) -> "Layout":
        """Find the layout of a tokenizer by encoding test texts of one piece each.

        Args:
            tokenizer (PreTrainedTokenizerBase): A fast or slow tokenizer.

        Returns:
            Layout: Its layout.
        """
        return cls(
            _probe(tokenizer, pair=False),
            _probe(tokenizer, pair=True),
            tokenizer.truncation_side == "left",
        )

    @property
    def single_length(self) -> int:
        """Number of special tokens of one text."""
        return self.one.length

    @property
    def pair_length(self) -> int:
        """Number of special tokens of a pair."""
        return self.two.length

    @property
    def text_start(self) -> int:
        """Position of the first piece of the text, alone and in a pair."""
        return len(self.one.special[0][0])

    def behind_start(self, num_pieces: int) -> int:
        """Position of the first piece of the second text of a pair.

        Args:
            num_pieces (int): Number of pieces of the first text.

        Returns:
            int: The position.
        """
        return self.text_start + num_pieces + len(self.two.special[1][0])

    def single(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """Add the special tokens to a text.

        Args:
            ids (list): The piece ids of the text.

        Returns:
            tuple: Ids with special tokens, and token type ids.
        """
        return self.one.fill(ids)

    def pair(
        self, ids: list[int], behind: list[int], max_length: int
    ) -> tuple[list[int], list[int]]:
        """Add the special tokens to a pair of texts. The first text is never cut: the result is
        longer than the maximum if the first text alone does not fit.

        Args:
            ids (list): The piece ids of the first text.
            behind (list): The piece ids of the second text, which is cut to fit.
            max_length (int): The maximum length of the result, special tokens included.

        Returns:
            tuple: Ids with special tokens, and token type ids.
        """
        room = max(max_length - self.pair_length - len(ids), 0)
        if len(behind) > room:
            behind = behind[len(behind) - room :] if self.cut_left else behind[:room]
        return self.two.fill(ids, behind)


def words_to_encode(tokens: Doc | Span, normalize_urls: bool) -> list[str]:
    """The texts of tokens, as the encoder reads them.

    Args:
        tokens (Doc or Span): The tokens.
        normalize_urls (bool): Replace every token that starts with http:// or https:// by one known
            word. A shortened link is a dozen random word pieces without meaning.

    Returns:
        list: A text for each token.
    """
    texts = [token.text for token in tokens]
    if not normalize_urls:
        return texts
    return [
        URL_WORD if text[:8].lower().startswith(("http://", "https://")) else text for text in texts
    ]


def view_words(text: str, max_words: int) -> list[str]:
    """The first words of a textual view, as the encoder reads them.

    Args:
        text (str): The view.
        max_words (int): Maximum number of words.

    Returns:
        list: The words.
    """
    # Tokenizers reject lone surrogates, and the whole batch would fail. They become "?".
    return [word.encode("utf-8", "replace").decode("utf-8") for word in text.split()[:max_words]]


def encode_words(
    tokenizer: Any, texts: Sequence[Sequence[str]], *, unknown: bool = True
) -> list[Pieces]:
    """Split the words of texts into word pieces, without special tokens.

    Args:
        tokenizer (PreTrainedTokenizerBase): A fast tokenizer, which encodes all texts in one call;
            or a slow one, which encodes each distinct word once.
        texts (Sequence): The words of each text.
        unknown (bool): Give a word without pieces, such as invisible characters, the id of the
            unknown token. Otherwise the word has no piece.

    Returns:
        list: The pieces of each text.
    """
    if not texts:
        return []
    encoded = (_encode_fast if tokenizer.is_fast else _encode_slow)(tokenizer, texts)
    if unknown and tokenizer.unk_token_id is not None:
        for pieces, words in zip(encoded, texts, strict=True):
            missing = set(range(len(words))).difference(pieces.words)
            if missing:
                _add_unknown(pieces, missing, tokenizer.unk_token_id)
    return encoded


def _encode_fast(tokenizer: Any, texts: Sequence[Sequence[str]]) -> list[Pieces]:
    # A call of `tokenizer` would set truncation and padding every time, which fails while another
    # thread encodes. Here both are switched off only if they are on.
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    encodings = backend.encode_batch(
        [list(words) for words in texts], is_pretokenized=True, add_special_tokens=False
    )
    return [Pieces(encoding.ids, encoding.word_ids) for encoding in encodings]


def _encode_slow(tokenizer: Any, texts: Sequence[Sequence[str]]) -> list[Pieces]:
    known: dict[str, list[int]] = {
        word: tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word, is_split_into_words=True))
        for word in {word for words in texts for word in words}
    }
    return [
        Pieces(
            [piece for word in words for piece in known[word]],
            [index for index, word in enumerate(words) for _ in known[word]],
        )
        for words in texts
    ]


def _add_unknown(pieces: Pieces, missing: set[int], unknown_id: int) -> None:
    """Add the unknown token for each of the missing words, in place."""
    rows = [*zip(pieces.words, pieces.ids, strict=True), *((word, unknown_id) for word in missing)]
    # The sort is stable: the pieces of a word keep their order.
    rows.sort(key=lambda row: row[0])
    pieces.words = [word for word, _ in rows]
    pieces.ids = [piece for _, piece in rows]


def _probe(tokenizer: Any, pair: bool) -> Template:
    """The special tokens around one test text, or around two of them."""
    if tokenizer.is_fast:
        # The unknown token always has a piece.
        probe = [[tokenizer.unk_token or "a"]]
        batch = tokenizer(probe, probe if pair else None, is_split_into_words=True, verbose=False)
        (encoding,) = batch.encodings
        ids, types, texts = encoding.ids, encoding.type_ids, encoding.sequence_ids
    else:
        # The test texts are ids that no token has.
        encoded = tokenizer.prepare_for_model(
            [-1], [-2] if pair else None, return_token_type_ids=True, verbose=False
        )
        ids, types = encoded["input_ids"], encoded["token_type_ids"]
        texts = [{-1: 0, -2: 1}.get(piece) for piece in ids]
    special, text_types, end = [], [], 0
    for text in range(1 + pair):
        start = texts.index(text)
        special.append((ids[end:start], types[end:start]))
        text_types.append(types[start])
        end = start + texts.count(text)
    special.append((ids[end:], types[end:]))
    return Template(tuple(special), tuple(text_types))
