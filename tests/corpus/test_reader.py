import warnings
from pathlib import Path

import numpy
import pytest
from spacy.tokens import DocBin
from spacy.training import Corpus as DocBinCorpus
from spacy.training.augment import create_lower_casing_augmenter
from spacy.util import registry

from spacy_msvse.corpus.post import PostRow
from spacy_msvse.corpus.reader import create_corpus, read_docs
from spacy_msvse.doc import get_picture_attributes, make_doc
from spacy_msvse.errors import MsvseError

SENTENCES = ["Ada", "is", "here", ".", "Bob", "is", "in", "#NYC", "."]


@pytest.fixture
def write(tmp_path, nlp):
    """Write Docs to a file in the folder of a corpus."""

    def write(*docs, name="corpus.spacy"):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "corpus" / name)
        return tmp_path / "corpus"

    return write


@pytest.fixture
def doc(nlp):
    """Two sentences of four and five tokens, and every attribute of a picture."""
    doc = make_doc(
        nlp,
        SENTENCES,
        "a.jpg",
        tags=["dog"],
        caption="a dog",
        texts={"ocr": "WOOF"},
        regions=[("dog", 0.5, 0.0, 0.0, 1.0, 1.0)],
        features="key",
    )
    doc.user_data["meta"] = {"id": "a"}
    doc[0].is_sent_start = doc[4].is_sent_start = True
    for i in (1, 2, 3, 5, 6, 7, 8):
        doc[i].is_sent_start = False
    doc.set_ents([doc.char_span(0, 3, "PER"), doc.char_span(14, 17, "PER")])
    return doc


def double(nlp, example):
    yield example
    yield from create_lower_casing_augmenter(1.0)(nlp, example)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"augmenter": create_lower_casing_augmenter(1.0)}, 1),
        ({"augmenter": double}, 2),
        ({"max_length": 7}, 2),
        ({"max_length": 7, "augmenter": double}, 4),
        ({"gold_preproc": True}, 2),
        ({"gold_preproc": True, "augmenter": double}, 4),
        ({"shuffle": True}, 1),
        ({"limit": 1}, 1),
    ],
)
def test_the_picture_is_on_both_sides(write, nlp, doc, settings, count):
    expected = get_picture_attributes(doc)
    examples = list(create_corpus(write(doc), **settings)(nlp))
    assert len(examples) == count
    for example in examples:
        assert get_picture_attributes(example.predicted) == expected
        assert get_picture_attributes(example.reference) == expected


def test_each_post_keeps_its_own_picture(write, nlp):
    docs = [make_doc(nlp, [str(i)], f"{i}.jpg") for i in range(20)]
    corpus = create_corpus(write(*docs), shuffle=True, augmenter=double)
    examples = list(corpus(nlp))
    assert len(examples) == 40
    for example in examples:
        assert example.predicted._.image == f"{example.predicted[0].text}.jpg"


def test_a_post_without_a_picture_gets_none(write, nlp, doc):
    _, example = create_corpus(write(doc, make_doc(nlp, "Bob")))(nlp)
    assert example.predicted._.image is None


def test_features_and_bytes_are_kept(write, nlp):
    features = numpy.ones((1, 4), dtype="float32")
    (example,) = create_corpus(write(make_doc(nlp, "Ada", b"picture", features=features)))(nlp)
    assert example.predicted._.image == b"picture"
    assert numpy.array_equal(example.predicted._.image_features, features)


def test_all_pictures_of_a_post_are_on_both_sides_below_the_folder(write, nlp, tmp_path):
    doc = make_doc(nlp, "Ada", images=["a.jpg", b"picture", "b/c.jpg"])
    (example,) = create_corpus(write(doc), image_root=tmp_path)(nlp)
    expected = [str(tmp_path / "a.jpg"), b"picture", str(tmp_path / "b" / "c.jpg")]
    assert example.predicted._.images == example.reference._.images == expected
    outside = write(make_doc(nlp, "Ada", images=["a.jpg", "../b.jpg"]))
    with pytest.raises(MsvseError, match="MSVSE-E021"):
        list(create_corpus(outside, image_root=tmp_path / "pictures")(nlp))


def test_lists_come_back_as_lists(write, nlp, doc):
    (example,) = create_corpus(write(doc))(nlp)
    for side in (example.predicted, example.reference):
        assert side._.image_tags == ["dog"]
        assert side._.image_regions == [("dog", 0.5, 0.0, 0.0, 1.0, 1.0, 0)]


def test_extracted_values_are_not_kept_as_given(write, nlp, doc):
    doc._.image_extracted = ["tags"]
    (example,) = create_corpus(write(doc))(nlp)
    assert example.predicted._.image_tags is None
    assert example.predicted._.image_caption == "a dog"


def test_words_stay_whole_when_a_post_is_split(write, nlp, doc):
    first, second = create_corpus(write(doc), max_length=7)(nlp)
    assert [token.text for token in first.predicted] == SENTENCES[:4]
    assert [token.text for token in second.predicted] == SENTENCES[4:]
    assert [ent.text for ent in second.reference.ents] == ["Bob"]


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_limit_counts_across_files(write, nlp, limit):
    for name in ("a.spacy", "b.spacy"):
        path = write(*(make_doc(nlp, "Ada", "a.jpg") for _ in range(3)), name=name)
    assert len(list(create_corpus(path, limit=limit)(nlp))) == limit


def test_posts_too_long_to_split_are_reported_once(write, nlp, doc):
    corpus = create_corpus(write(doc, *(make_doc(nlp, SENTENCES) for _ in range(2))), max_length=5)
    with pytest.warns(UserWarning, match=r"MSVSE-W006\] 3 posts"):
        (example,) = corpus(nlp)
    assert example.reference.text.strip() == "Ada is here ."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(corpus(nlp))


def test_nothing_is_reported_when_every_post_can_be_split(write, nlp, doc):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(create_corpus(write(doc), max_length=7)(nlp))


def test_it_reads_the_same_examples_as_spacys_own_reader(write, nlp, doc):
    path = write(doc, make_doc(nlp, "Bob is here"), make_doc(nlp, ""))
    for settings in ({}, {"gold_preproc": True}, {"limit": 1}):
        ours = [example.to_dict() for example in create_corpus(path, **settings)(nlp)]
        stock = [example.to_dict() for example in DocBinCorpus(path, **settings)(nlp)]
        assert ours == stock


def test_no_path_is_refused():
    with pytest.raises(MsvseError, match="MSVSE-E037"):
        create_corpus(None)


def test_it_is_registered():
    assert registry.readers.get("spacy-msvse.Corpus.v1") is create_corpus


class TestImageRoot:
    @pytest.fixture
    def read(self, tmp_path, write, nlp):
        """Read a post with this picture through a reader with a picture folder."""
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / "a.jpg").touch()
        (tmp_path / "outside.jpg").touch()

        def read(image, image_root=tmp_path / "pictures"):
            path = write(make_doc(nlp, "Ada", image))
            (example,) = create_corpus(path, image_root=image_root)(nlp)
            assert example.predicted._.image == example.reference._.image
            return example.predicted._.image

        return read

    def test_paths_become_absolute(self, read, tmp_path):
        assert read("a.jpg") == str((tmp_path / "pictures" / "a.jpg").resolve())

    def test_a_missing_picture_is_not_checked_by_the_reader(self, read, tmp_path):
        assert read("b.jpg") == str((tmp_path / "pictures" / "b.jpg").resolve())

    def test_a_relative_folder_gives_absolute_paths(self, read, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert read("a.jpg", "pictures") == str((tmp_path / "pictures" / "a.jpg").resolve())

    def test_without_it_paths_do_not_change(self, read):
        assert read("../a.jpg", None) == "../a.jpg"

    def test_bytes_do_not_change(self, read):
        assert read(b"picture") == b"picture"

    @pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd", "link.jpg"])
    def test_a_picture_outside_the_folder_is_refused(self, read, tmp_path, name):
        (tmp_path / "pictures" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
        with pytest.raises(MsvseError, match="MSVSE-E021"):
            read(name)


def test_words_of_a_text_stay_whole_with_their_blanks_in_sentences_too(write, nlp):
    row = PostRow(
        Path("posts"), 1, ["  ", "#NYC", "  ", "is,here"], spaces=[False, True] + [False] * 2
    )
    doc = row.to_doc(nlp)
    for token in doc:
        token.is_sent_start = token.i in (0, 3)
    path = write(doc)
    (example,) = create_corpus(path)(nlp)
    assert example.predicted.text == "  #NYC   is,here"
    assert [token.text for token in example.predicted] == ["  ", "#NYC", "  ", "is,here"]
    first, second = create_corpus(path, max_length=4)(nlp)
    assert [token.text for token in first.predicted] == ["  ", "#NYC", "  "]
    assert [token.text for token in second.predicted] == ["is,here"]


@pytest.mark.filterwarnings("ignore:.*W090")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pointer.spacy", "E130"),
        ("gone.spacy", "E033"),
        ("posts.jsonl", "E042"),
        ("cut.spacy", "E042"),
    ],
)
def test_a_file_that_holds_no_posts_is_one_coded_error(tmp_path, nlp, name, code):
    (tmp_path / "pointer.spacy").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "posts.jsonl").write_text("{}")
    (tmp_path / "cut.spacy").write_bytes(b"cut")
    with pytest.raises(MsvseError, match=rf"MSVSE-{code}.*{name}"):
        list(create_corpus(tmp_path / name)(nlp))
    with pytest.raises(MsvseError, match=rf"MSVSE-{code}.*{name}"):
        list(read_docs(tmp_path / name, nlp))
