"""Word pieces of tokens: fast tokenizers and slow ones agree, with one another and with spaCy."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy_transformers.align import get_alignment
from transformers import AutoTokenizer, BertTokenizer

from spacy_msvse import make_doc
from spacy_msvse.component.model import get_shim
from spacy_msvse.component.wordpieces import URL_WORD, encode_words, words_to_encode

from ..tiny import ambiguous_examples, picture, save_bertweet, tiny_pipeline, train

TEXTS = [["jordan", "zzz", "saw"], ["the"], ["a", "very", "nice", "florence", "!?"]]
BEHIND = [["nice", "amazon"], ["zz"], ["in", "the", "zzzz"]]
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


@pytest.fixture(scope="module")
def fast(encoder):
    return AutoTokenizer.from_pretrained(encoder)


@pytest.fixture(scope="module")
def slow(encoder):
    return BertTokenizer.from_pretrained(encoder)


@pytest.mark.parametrize(
    ("behind", "settings"),
    [
        (None, {}),
        (None, {"add_special_tokens": False}),
        (None, {"add_special_tokens": False, "truncation": True, "max_length": 5}),
        (BEHIND, {}),
        (BEHIND, {"truncation": "only_second", "max_length": 11}),
    ],
)
def test_slow_tokenizers_encode_as_fast_ones_do(fast, slow, behind, settings):
    for quick, plain in zip(
        encode_words(fast, TEXTS, behind, **settings),
        encode_words(slow, TEXTS, behind, **settings),
        strict=True,
    ):
        assert plain.ids == quick.ids
        assert plain.type_ids == quick.type_ids
        assert plain.word_ids == quick.word_ids


def test_slow_encodings_are_cut_as_fast_ones_are(fast, slow):
    (quick,), (plain,) = encode_words(fast, TEXTS[:1]), encode_words(slow, TEXTS[:1])
    quick.truncate(3)
    plain.truncate(3)
    assert (plain.ids, plain.word_ids) == (quick.ids, quick.word_ids)


def test_the_first_piece_of_each_token_is_the_one_that_spacys_alignment_finds(fast, nlp):
    """spacy-transformers aligns by characters; here words are given, so the pieces are exact."""
    doc = Doc(nlp.vocab, words=["jordan", "zzz", "florence!", "saw", "a1b2"])
    (encoding,) = encode_words(fast, [[token.text for token in doc]])
    tokens = [fast.convert_ids_to_tokens(encoding.ids)]
    alignment = get_alignment([doc[:]], tokens, fast.all_special_tokens)
    starts = np.cumsum([0, *alignment.lengths[:-1]])
    first = [encoding.word_ids.index(word) for word in range(len(doc))]
    assert alignment.dataXd[starts].ravel().tolist() == first


@pytest.mark.parametrize("word", UNUSUAL)
def test_unusual_tokens_are_one_token_each(trained, word):
    doc = trained(make_doc(trained, ["saw", word, "jordan"]))
    assert [token.text for token in doc] == ["saw", word, "jordan"]
    doc = trained(make_doc(trained, f"saw {word} jordan"))
    assert doc.text == f"saw {word} jordan"


def test_a_url_is_read_as_one_word_and_stays_a_token(trained):
    doc = Doc(trained.vocab, words=["jordan", "https://t.co/x1Y2", "HTTP://nice", "http", "t.co/x"])
    assert words_to_encode(doc, True) == ["jordan", URL_WORD, URL_WORD, "http", "t.co/x"]
    assert words_to_encode(doc[1:2], False) == ["https://t.co/x1Y2"]
    assert [token.text for token in trained(doc)][1:3] == ["https://t.co/x1Y2", "HTTP://nice"]


@pytest.mark.parametrize("normalize_urls", [True, False])
def test_posts_that_differ_in_their_link_are_one_to_the_network_only_if_urls_are_normalised(
    encoder, normalize_urls
):
    nlp = tiny_pipeline(encoder, model={"normalize_urls": normalize_urls})
    train(nlp, ambiguous_examples(nlp), steps=1)
    ner = nlp.get_pipe("msvse_ner")
    docs = [
        make_doc(nlp, ["saw", "jordan", link], image=picture("LOC"))
        for link in ("http://t.co/x", "https://t.co/zzzzzz")
    ]
    # To rounding: two rows of one batch need not be added up in the same order.
    same = [np.allclose(*ner.label_marginals(docs), rtol=0, atol=1e-6)]
    ner.from_bytes(ner.to_bytes())
    same.append(np.allclose(*ner.label_marginals(docs), rtol=0, atol=1e-6))
    assert same == [normalize_urls] * 2


def test_bertweet_whose_tokenizer_is_slow_trains_and_is_saved(encoder, tmp_path):
    folder = save_bertweet(tmp_path / "bertweet")
    nlp = tiny_pipeline(folder)
    examples = ambiguous_examples(nlp)
    train(nlp, examples, steps=2)
    assert not get_shim(nlp.get_pipe("msvse_ner").model).tokenizer.is_fast
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    doc = make_doc(nlp, "saw jordan today", image=picture("LOC"))
    (ours,), (theirs,) = (each.get_pipe("msvse_ner").predict([doc]) for each in (nlp, loaded))
    assert ours.visual_entities == theirs.visual_entities
    assert ours.entities == theirs.entities
