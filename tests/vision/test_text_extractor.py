"""An extractor outside the package that reads the text of a post: it fills a view of every post."""

import pytest

from spacy_msvse.vision.extraction import PostSource, extract_posts, fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.store import FeatureStore

from ..tiny import reasons
from .conftest import CountingExtractor, encode, photo


class LongestWord:
    """Fills the view `knowledge` with the longest word of the text."""

    fills = ("knowledge",)
    reads = "text"
    region_dim = 0
    fingerprint = "longest word"

    def __init__(self) -> None:
        self.extracted: list[str] = []

    def initialize(self) -> None: ...

    def extract(self, items, known):
        self.extracted += items
        return [{"knowledge": max(text.split(), key=len)} for text in items]

    def to_files(self) -> dict[str, bytes]:
        return {}

    def from_files(self, files) -> None: ...


@pytest.fixture
def reader():
    return LongestWord()


@pytest.fixture
def visual(reader, counting):
    return VisualExtractor(tags=counting, knowledge=reader)


def knowledge(visual, *posts, **settings):
    return [one.features.get("knowledge") for one in extract_posts(visual, posts, **settings)]


@pytest.mark.parametrize("workers", [0, 2])
def test_posts_without_picture_are_extracted_too(visual, workers):
    posts = [PostSource("in Paris"), PostSource("at Heathrow", (encode(photo()),)), PostSource("")]
    assert knowledge(visual, *posts, workers=workers) == ["Paris", "Heathrow", None]


def test_features_are_stored_by_the_text(visual, reader, counting, tmp_path):
    with FeatureStore(tmp_path) as store:
        posts = [PostSource("in Paris"), PostSource("in Paris", (encode(photo()),))]
        assert knowledge(visual, *posts, store=store) == ["Paris", "Paris"]
        assert knowledge(visual, *posts, store=store) == ["Paris", "Paris"]
        other = VisualExtractor(tags=CountingExtractor("other"), knowledge=reader)
        assert knowledge(other, *posts, store=store) == ["Paris", "Paris"]
    assert reader.extracted == ["in Paris"]


def test_it_does_not_run_where_the_view_is_given(visual, reader):
    (found,) = extract_posts(visual, [PostSource("in Paris", given={"knowledge": "France"})])
    assert (found.features, reader.extracted) == ({}, [])


def test_it_does_not_run_where_the_view_is_not_wanted(visual, reader):
    knowledge(visual, PostSource("in Paris", views=frozenset(["tags"])))
    assert reader.extracted == []


def test_a_text_that_it_fails_on_is_a_problem_of_its_post(visual):
    good, bad = extract_posts(visual, [PostSource("in Paris"), PostSource("   ")])
    assert good.features["knowledge"] == "Paris"
    assert "E061] The extractor failed on text '   '" in reasons(bad.problems)["knowledge"]


def test_a_store_can_be_filled_with_texts_and_pictures(visual, tmp_path):
    posts = [PostSource("in Paris", (encode(photo()),)), PostSource("in Paris"), PostSource(" ")]
    with FeatureStore(tmp_path) as store:
        report = fill_store(visual, posts, store)
        assert (report.posts, report.items) == (3, 4)
        assert (report.extracted, report.stored, len(report.failed)) == (2, 1, 1)
        assert len(store) == 2
