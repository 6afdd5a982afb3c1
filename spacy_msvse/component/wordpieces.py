"""Word pieces of texts that are tokens already, by fast tokenizers and slow ones alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spacy.tokens import Doc, Span

#: What a URL is read as where URLs are normalised: all tokenizers know the word.
URL_WORD = "http"


class Encoding(Protocol):
    """The word pieces of a text, or of a text and a second one behind it: what both kinds of
    tokenizers give.

    ids (list): Ids of the word pieces, special ones included.
    type_ids (list): Token type ids.
    word_ids (list): For each piece, the index of its word; None for special ones.
    """

    @property
    def ids(self) -> list[int]: ...

    @property
    def type_ids(self) -> list[int]: ...

    @property
    def word_ids(self) -> list[int | None]: ...

    def truncate(self, max_length: int) -> None:
        """Keep the first pieces, in place."""


@dataclass
class SlowEncoding:
    """What `tokenizers.Encoding` is for fast tokenizers."""

    ids: list[int]
    type_ids: list[int]
    word_ids: list[int | None]

    def truncate(self, max_length: int) -> None:
        """Keep the first pieces, in place."""
        for values in (self.ids, self.type_ids, self.word_ids):
            del values[max_length:]


def words_to_encode(tokens: Doc | Span, normalize_urls: bool) -> list[str]:
    """The texts of tokens, as the encoder is to read them.

    tokens (Doc or Span): The tokens.
    normalize_urls (bool): Read every token that starts with http:// or https:// as one known word.
        Shortened links are random letters in a dozen word pieces, and say nothing.
    RETURNS (list): A text for each token.
    """
    texts = [token.text for token in tokens]
    if not normalize_urls:
        return texts
    return [
        URL_WORD if text[:8].lower().startswith(("http://", "https://")) else text for text in texts
    ]


def view_words(text: str, max_words: int) -> list[str]:
    """The first words of a textual view, as the encoder is to read them.

    text (str): The view.
    max_words (int): How many words are read.
    RETURNS (list): The words.
    """
    # A tokenizer stumbles over half a surrogate pair; with the rest of the batch, it reads "?".
    return [word.encode("utf-8", "replace").decode("utf-8") for word in text.split()[:max_words]]


def encode_words(
    tokenizer: Any,
    texts: Sequence[list[str]],
    behind: Sequence[list[str]] | None = None,
    **settings: Any,
) -> list[Encoding]:
    """Split the words of texts into word pieces.

    tokenizer (PreTrainedTokenizerBase): A tokenizer. A slow one takes each word by itself.
    texts (Sequence): The words of each text.
    behind (Sequence): The words of the text behind each.
    settings (Any): `add_special_tokens`, `truncation` and `max_length`, as transformers has them.
    RETURNS (list): An encoding for each text.
    """
    if tokenizer.is_fast:
        batch = tokenizer(
            texts,
            behind,
            is_split_into_words=True,
            return_attention_mask=False,
            verbose=False,
            **settings,
        )
        return batch.encodings
    return [
        _encode_slowly(tokenizer, words, None if behind is None else behind[row], settings)
        for row, words in enumerate(texts)
    ]


def _encode_slowly(
    tokenizer: Any, words: list[str], behind: list[str] | None, settings: dict[str, Any]
) -> SlowEncoding:
    first = _pieces_of_words(tokenizer, words)
    second = None if behind is None else _pieces_of_words(tokenizer, behind)
    special_tokens = settings.get("add_special_tokens", True)
    encoded = tokenizer.prepare_for_model(
        [piece for pieces in first for piece in pieces],
        None if second is None else [piece for pieces in second for piece in pieces],
        return_special_tokens_mask=True,
        return_token_type_ids=special_tokens,
        verbose=False,
        **settings,
    )
    # The words' pieces stand in their order; what was cut off stood last.
    owners = iter([i for text in (first, second or []) for i, p in enumerate(text) for _ in p])
    return SlowEncoding(
        encoded["input_ids"],
        encoded["token_type_ids"] if special_tokens else [0] * len(encoded["input_ids"]),
        [None if special else next(owners) for special in encoded["special_tokens_mask"]],
    )


def _pieces_of_words(tokenizer: Any, words: Sequence[str]) -> list[list[int]]:
    return [
        tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word, is_split_into_words=True))
        for word in words
    ]
