"""Word pieces equal those of the tokenizer itself, for every family, fast or slow."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_msvse import make_doc
from spacy_msvse.component.wordpieces import (
    URL_WORD,
    Layout,
    Pieces,
    encode_words,
    view_words,
    words_to_encode,
)

from ..tiny import ambiguous_examples, picture, save_bertweet, tiny_pipeline, train
from ..tokenizers import TOKENIZERS, bert, roberta, slow_version

TEXTS = [
    ["jordan", "zzz", "saw"],
    ["the"],
    ["a", "very", "nice", "Florence", "!?"],
    ["[SEP]", "saw", "</s>", "jordan[SEP]", "<unk>", "[UNK]"],
    ["http", "#nyc", "don't", "日本", "e\u0301tat", "café"],
    [],
]
BEHIND = [["nice", "amazon"], ["zz", "[SEP]", "in"], ["in", "the", "zzzz"], [], ["a"], ["again"]]
#: Emoji with joiners and variation selectors, scripts without blanks, combined characters.
UNUSUAL = [
    "👩\u200d👩\u200d👧\u200d👦",
    "❤\ufe0f",
    "🇨🇳",
    "北京",
    "ジョーダン",
    "서울",
    "e\u0301tat",
    "naïve",
    "#NYC",
    "@user",
    "http://t.co/x",
]


@pytest.fixture(scope="module", params=sorted(TOKENIZERS))
def tokenizer(request, tmp_path_factory):
    return TOKENIZERS[request.param](tmp_path_factory.mktemp(request.param))


def test_every_tokenizer_knows_the_words(tokenizer):
    """Otherwise the other tests compare unknown tokens."""
    pieces = encode_words(tokenizer, [["jordan", "saw", "nice"]])[0]
    assert tokenizer.unk_token_id not in pieces.ids
    assert len(set(pieces.ids)) >= 3


def expected(tokenizer, words, behind=None, **settings):
    """Ids and token type ids of the tokenizer's own call."""
    if not tokenizer.is_fast and not words:
        return tuple(tokenizer.prepare_for_model([], return_token_type_ids=True).values())[:2]
    encoded = tokenizer(
        words, behind, is_split_into_words=True, return_token_type_ids=True, **settings
    )
    types = encoded.encodings[0].type_ids if tokenizer.is_fast else encoded["token_type_ids"]
    return encoded["input_ids"], types


def ids_of(tokenizer, texts):
    return [pieces.ids for pieces in encode_words(tokenizer, texts, unknown=False)]


def test_a_text_with_special_tokens_equals_the_tokenizers_own(tokenizer):
    layout = Layout.of(tokenizer)
    for words, ids in zip(TEXTS, ids_of(tokenizer, TEXTS), strict=True):
        assert layout.single(ids) == expected(tokenizer, words)
        assert len(layout.single(ids)[0]) == len(ids) + layout.single_length


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("room", [1, 2, 5, 50])
def test_a_pair_equals_the_tokenizers_own_cut_in_the_second_text(tokenizer, room, side):
    before = tokenizer.truncation_side
    tokenizer.truncation_side = side
    layout = Layout.of(tokenizer)
    pairs = [(a, b) for a, b in zip(TEXTS, BEHIND, strict=True) if a and b]
    for words, behind in pairs:
        first, second = ids_of(tokenizer, [words, behind])
        length = len(first) + layout.pair_length + room
        actual = layout.pair(first, second, length)
        assert actual == expected(
            tokenizer, words, behind, truncation="only_second", max_length=length
        )
        assert len(actual[0]) <= length
    tokenizer.truncation_side = before


def test_a_second_text_without_room_is_left_out(tokenizer):
    layout = Layout.of(tokenizer)
    ids = ids_of(tokenizer, TEXTS[:1])[0]
    without = layout.pair(ids, [], 100)
    for max_length in (0, len(ids), len(ids) + layout.pair_length):
        assert layout.pair(ids, ids, max_length) == without


def test_layout_finds_both_texts(tokenizer):
    layout = Layout.of(tokenizer)
    first, second = ids_of(tokenizer, TEXTS[:2])
    start, behind_start = layout.text_start, layout.behind_start(len(first))
    assert layout.single(first)[0][start : start + len(first)] == first
    both, _ = layout.pair(first, second, 100)
    assert both[start : start + len(first)] == first
    assert both[behind_start : behind_start + len(second)] == second


def test_pieces_name_their_words(tokenizer):
    for words, pieces in zip(TEXTS, encode_words(tokenizer, TEXTS), strict=True):
        assert sorted(set(pieces.words)) == list(range(len(words)))
        assert pieces.words == sorted(pieces.words)
        by_word = [piece for word in words for piece in encode_words(tokenizer, [[word]])[0].ids]
        assert pieces.ids == by_word


def test_inputs_are_not_changed(tokenizer):
    ids, behind = [1, 2], [3, 4, 5]
    layout = Layout.of(tokenizer)
    for _ in range(2):
        results = layout.single(ids), layout.pair(ids, behind, 6)
        results[0][0].append(7)
        results[1][1].append(7)
    assert (ids, behind) == ([1, 2], [3, 4, 5])
    assert layout == Layout.of(tokenizer)


@pytest.mark.parametrize("word", ["\u200b", "\x00", ""])
def test_a_word_without_pieces_becomes_the_unknown_token(tokenizer, word):
    words = [word, "jordan", word, word]
    bare, filled = (encode_words(tokenizer, [words], unknown=u)[0] for u in (False, True))
    jordan = encode_words(tokenizer, [["jordan"]])[0].ids
    if set(bare.words) == {1}:
        assert bare == Pieces(jordan, [1] * len(jordan))
        if tokenizer.unk_token_id is not None:
            unknown = tokenizer.unk_token_id
            assert filled.ids == [unknown, *jordan, unknown, unknown]
            assert filled.words == [0, *[1] * len(jordan), 2, 3]
    else:
        assert filled == bare


def test_some_words_have_no_pieces(tmp_path):
    """The words of the test above really have no pieces."""
    tokenizer = bert(tmp_path)
    assert encode_words(tokenizer, [["\u200b", ""]], unknown=False) == [Pieces([], [])]
    assert encode_words(tokenizer, [["\u200b", ""]]) == [
        Pieces([tokenizer.unk_token_id] * 2, [0, 1])
    ]


def test_no_texts_are_no_pieces(tokenizer):
    assert encode_words(tokenizer, []) == []


@pytest.mark.parametrize("make", [bert, roberta])
def test_slow_tokenizers_encode_as_fast_ones_do(make, tmp_path):
    fast = make(tmp_path)
    slow = slow_version(tmp_path)
    if slow is None:
        pytest.skip("this version of transformers has no slow one")
    # The slow RoBERTa puts a blank before a special token, the fast one does not.
    texts = [words for words in TEXTS if "[SEP]" not in words]
    assert encode_words(slow, texts) == encode_words(fast, texts)
    layout = Layout.of(slow)
    assert layout == Layout.of(fast)
    for words, ids in zip(TEXTS[:-1], ids_of(slow, TEXTS), strict=False):
        assert layout.single(ids) == expected(slow, words)


def test_saved_truncation_and_padding_are_ignored(tmp_path):
    """Some published tokenizers are saved with both switched on."""
    tokenizer = bert(tmp_path)
    plain = encode_words(tokenizer, TEXTS)
    layout = Layout.of(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    assert encode_words(tokenizer, TEXTS) == plain
    tokenizer.backend_tokenizer.enable_padding(length=9)
    assert Layout.of(tokenizer) == layout


def test_half_surrogates_of_a_view_become_question_marks():
    assert view_words("nice \ud83d view \U0001f600", 3) == ["nice", "?", "view"]


def test_a_url_is_one_known_word():
    doc = Doc(Vocab(), words=["jordan", "https://t.co/x1Y2", "HTTP://nice", "http", "t.co/x"])
    assert words_to_encode(doc, True) == ["jordan", URL_WORD, URL_WORD, "http", "t.co/x"]
    assert words_to_encode(doc[1:2], False) == ["https://t.co/x1Y2"]


def test_the_first_piece_of_each_token_agrees_with_spacy_transformers(tmp_path):
    """spacy-transformers aligns characters. Here the words are given, so the result is exact."""
    align = pytest.importorskip("spacy_transformers.align")
    fast = bert(tmp_path)
    doc = Doc(Vocab(), words=["jordan", "zzz", "florence!", "saw", "a1b2"])
    pieces = encode_words(fast, [[token.text for token in doc]])[0]
    layout = Layout.of(fast)
    tokens = [fast.convert_ids_to_tokens(layout.single(pieces.ids)[0])]
    alignment = align.get_alignment([doc[:]], tokens, fast.all_special_tokens)
    starts = np.cumsum([0, *alignment.lengths[:-1]])
    first = [layout.text_start + pieces.words.index(word) for word in range(len(doc))]
    assert alignment.dataXd[starts].ravel().tolist() == first


@pytest.mark.parametrize("word", UNUSUAL)
def test_unusual_tokens_are_one_token_each(trained, word):
    doc = trained(make_doc(trained, ["saw", word, "jordan"]))
    assert [token.text for token in doc] == ["saw", word, "jordan"]
    doc = trained(make_doc(trained, f"saw {word} jordan"))
    assert doc.text == f"saw {word} jordan"


def test_a_url_stays_a_token(trained):
    doc = Doc(trained.vocab, words=["jordan", "https://t.co/x1Y2", "HTTP://nice"])
    assert [token.text for token in trained(doc)][1:] == ["https://t.co/x1Y2", "HTTP://nice"]


@pytest.mark.parametrize("normalize_urls", [True, False])
def test_posts_that_differ_in_their_url_are_equal_only_if_urls_are_normalized(
    encoder, normalize_urls
):
    nlp = tiny_pipeline(encoder, model={"normalize_urls": normalize_urls})
    train(nlp, ambiguous_examples(nlp), steps=1)
    ner = nlp.get_pipe("msvse_ner")
    docs = [
        make_doc(nlp, ["saw", "jordan", link], image=picture("LOC"))
        for link in ("http://t.co/x", "https://t.co/zzzzzz")
    ]
    # Equal to rounding: the order of sums may differ between two rows of a batch.
    same = [np.allclose(*ner.label_marginals(docs), rtol=0, atol=1e-6)]
    ner.from_bytes(ner.to_bytes())
    same.append(np.allclose(*ner.label_marginals(docs), rtol=0, atol=1e-6))
    assert same == [normalize_urls] * 2


def test_bertweet_with_its_slow_tokenizer_trains_and_is_saved(tmp_path):
    nlp = tiny_pipeline(save_bertweet(tmp_path / "bertweet"))
    examples = ambiguous_examples(nlp)
    train(nlp, examples, steps=2)
    assert not nlp.get_pipe("msvse_ner").model.shims[0].tokenizer.is_fast
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    doc = make_doc(nlp, "saw jordan today", image=picture("LOC"))
    (ours,), (theirs,) = (each.get_pipe("msvse_ner").predict([doc]) for each in (nlp, loaded))
    assert ours.visual_entities == theirs.visual_entities
    assert ours.entities == theirs.entities
