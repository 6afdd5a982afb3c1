"""A damaged or crafted file of Docs is refused by name. No post is lost in silence."""

import gc
import zlib

import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import DocBin, Span

from spacy_msvse import make_doc
from spacy_msvse.corpus.reader import Corpus, read_docs
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.controls import shuffle_corpus


@pytest.fixture
def corpus(tmp_path):
    nlp = spacy.blank("en")
    docs = [make_doc(nlp, f"post {n} is nice", caption=f"picture {n}") for n in range(3)]
    for doc in docs:
        doc.set_ents([Span(doc, 0, 1, label="PER")], default="outside")
    path = tmp_path / "posts.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    return path


def change(path, part: str, change) -> None:
    message = srsly.msgpack_loads(zlib.decompress(path.read_bytes()))
    message[part] = change(message[part])
    path.write_bytes(zlib.compress(srsly.msgpack_dumps(message)))


def set_lengths(*lengths: int):
    return lambda _: np.asarray(lengths, dtype="int32").tobytes()


CRAFTED = {
    "fewer posts than tokens": ("lengths", set_lengths(4, 4)),
    "more tokens than there are": ("lengths", set_lengths(4, 4, 400)),
    "a negative length": ("lengths", set_lengths(4, 12, -4)),
    "fewer blanks than tokens": ("spaces", lambda spaces: spaces[:-1]),
    "user data of fewer posts": ("user_data", lambda data: data[:-1]),
    "flags of fewer posts": ("flags", lambda flags: flags[:-1]),
    "categories of more posts": ("cats", lambda cats: [*cats, {}]),
    "span groups of fewer posts": ("span_groups", lambda groups: groups[:-1]),
    "attributes of no tokens": ("attrs", lambda attrs: []),
    "attributes that are no numbers": ("attrs", lambda attrs: ["ORTH"] * len(attrs)),
    "strings that are none": ("strings", lambda strings: [*strings, 3.5]),
    "words that are in no list": ("strings", lambda strings: [s for s in strings if s != "nice"]),
    "a label that is in no list": ("strings", lambda strings: [s for s in strings if s != "PER"]),
    "user data that are no bytes": ("user_data", lambda data: [3] * len(data)),
    "user data that are damaged": ("user_data", lambda data: [data[0], b"\xc1", data[2]]),
    "span groups that are damaged": ("span_groups", lambda groups: [b"\xc1"] * len(groups)),
    "flags of another type": ("flags", lambda flags: [3] * len(flags)),
    "lengths of another type": ("lengths", lambda lengths: 3),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_file_is_refused_by_name(corpus, case):
    change(corpus, *CRAFTED[case])
    nlp = spacy.blank("en")
    for read in (lambda: list(read_docs(corpus, nlp)), lambda: list(Corpus(corpus)(nlp))):
        with pytest.raises(MsvseError, match=rf"MSVSE-E042.*{corpus.name}"):
            read()
    with pytest.raises(MsvseError, match="MSVSE-E042"):
        shuffle_corpus(corpus, corpus.with_name("shuffled.spacy"))


def test_a_damaged_post_is_named_by_its_number(corpus):
    change(corpus, *CRAFTED["user data that are damaged"])
    with pytest.raises(MsvseError, match="post 2 is damaged"):
        list(read_docs(corpus, spacy.blank("en")))


@pytest.mark.parametrize("content", [b"", b"no file of Docs", zlib.compress(b"\x93\x01")])
def test_a_failed_reading_leaves_garbage_collection_on(corpus, content):
    corpus.write_bytes(content)
    with pytest.raises(MsvseError, match="MSVSE-E042"):
        list(read_docs(corpus, spacy.blank("en")))
    assert gc.isenabled()


def test_a_failed_load_leaves_garbage_collection_on(trained_bytes):
    from spacy_msvse.util import unpack_files

    with pytest.raises(MsvseError, match="MSVSE-E006"):
        unpack_files(trained_bytes[:-10])
    assert gc.isenabled()


@pytest.fixture
def trained_bytes():
    from spacy_msvse.util import pack_files

    return pack_files({"cfg": b"{}", "network.json": b"{}"})


def test_one_wrong_value_does_not_end_the_reading_of_a_corpus(corpus):
    nlp = spacy.blank("en")
    docs = list(read_docs(corpus, nlp))
    docs[1].user_data["._.", "image_features", None, None] = [[float("nan")]]
    DocBin(store_user_data=True, docs=docs).to_disk(corpus)
    examples = list(Corpus(corpus)(nlp))
    assert len(examples) == 3
    assert examples[1].predicted._.image_features is not None


def test_a_file_of_an_earlier_version_is_refused(corpus):
    """It has one picture for each post at another place, which would be lost in silence."""
    (doc, *_) = read_docs(corpus, spacy.blank("en"))
    doc.user_data["._.", "image", None, None] = "a.jpg"
    DocBin(store_user_data=True, docs=[doc]).to_disk(corpus)
    with pytest.raises(MsvseError, match=r"MSVSE-E241.*posts\.spacy.*Convert the posts again"):
        list(read_docs(corpus, spacy.blank("en")))
