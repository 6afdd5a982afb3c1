"""Tiny tokenizers of every family, saved as the family saves them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from spacy_msvse.network.static_vectors import save_bilstm

from .tiny import WORDS, save_bertweet

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?#@:/"
MERGES = [("a", "m"), ("n", "i"), ("ni", "c"), ("nic", "e"), ("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e")]


def bert(folder: Path) -> Any:
    """WordPiece, in lower case."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return _word_piece(folder, "BertTokenizer", special)


def mpnet(folder: Path) -> Any:
    """WordPiece with the special tokens of RoBERTa."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    return _word_piece(folder, "MPNetTokenizer", special)


def _word_piece(folder: Path, name: str, special: list[str]) -> Any:
    vocabulary = [*special, *CHARACTERS, *("##" + c for c in CHARACTERS)]
    vocabulary += [word for word in WORDS if word not in CHARACTERS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return _load(folder, name)


def roberta(folder: Path) -> Any:
    """BPE over bytes. A word starts with a blank."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*special, *letters, *map("".join, MERGES)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, MERGES)]))
    return _load(folder, "RobertaTokenizer")


def modernbert(folder: Path) -> Any:
    """BPE over bytes after a chain of processors, with the special tokens of BERT."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*special, *letters, *map("".join, MERGES)]
    tokenizer = Tokenizer(
        models.BPE({piece: number for number, piece in enumerate(vocabulary)}, MERGES)
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(), _template("[CLS]", "[SEP]", vocabulary)]
    )
    return _wrap(tokenizer, folder, ("[CLS]", "[SEP]", "[UNK]", "[PAD]"))


def xlm_roberta(folder: Path) -> Any:
    """Unigram, with a doubled separator between the texts of a pair."""
    tokenizer, vocabulary = _unigram(["<s>", "<pad>", "</s>", "<unk>"], unknown=3)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, vocabulary.index(token)) for token in ("<s>", "</s>")],
    )
    return _wrap(tokenizer, folder, ("<s>", "</s>", "<unk>", "<pad>"))


def deberta(folder: Path) -> Any:
    """Unigram with the special tokens of BERT, as DeBERTa-v3 has it."""
    tokenizer, vocabulary = _unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], unknown=3)
    tokenizer.post_processor = _template("[CLS]", "[SEP]", vocabulary)
    return _wrap(tokenizer, folder, ("[CLS]", "[SEP]", "[UNK]", "[PAD]"))


def _unigram(special: list[str], unknown: int) -> tuple[Tokenizer, list[str]]:
    pieces = [*special, "▁", *CHARACTERS, *("▁" + word for word in WORDS)]
    scores = [-float(number) / 10 for number in range(len(pieces))]
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unknown))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\u200b", "")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer, pieces


def _template(start: str, end: str, vocabulary: list[str]) -> Any:
    return processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(token, vocabulary.index(token)) for token in (start, end)],
    )


def bertweet(folder: Path) -> Any:
    """BPE of BERTweet. There is only a slow one."""
    return AutoTokenizer.from_pretrained(save_bertweet(folder))


def bilstm(folder: Path) -> Any:
    """The words of static vectors."""
    save_bilstm(WORDS, torch.zeros(len(WORDS), 4), folder)
    return AutoTokenizer.from_pretrained(folder)


def no_special_tokens(folder: Path) -> Any:
    """BPE over bytes without any special token, also without an unknown one."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def _wrap(tokenizer: Tokenizer, folder: Path, special: tuple[str, str, str, str]) -> Any:
    start, end, unknown, padding = special
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=start,
        cls_token=start,
        eos_token=end,
        sep_token=end,
        unk_token=unknown,
        pad_token=padding,
    ).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def _load(folder: Path, name: str, **settings: Any) -> Any:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    return AutoTokenizer.from_pretrained(folder, add_prefix_space=True, **settings)


def slow_version(folder: Path) -> Any:
    """The slow tokenizer of a folder. Newer versions of transformers have few of them.

    Args:
        folder (Path): A folder with the files of a tokenizer.

    Returns:
        PreTrainedTokenizer: The tokenizer, or None if there is only a fast one.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True, use_fast=False)
    return None if tokenizer.is_fast else tokenizer


TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    maker.__name__: maker
    for maker in (
        bert,
        bertweet,
        bilstm,
        deberta,
        modernbert,
        mpnet,
        no_special_tokens,
        roberta,
        xlm_roberta,
    )
}
