"""Numbers that are not finite make one view of one post unreadable, wherever they come from."""

from dataclasses import replace

import numpy as np
import pytest

from spacy_msvse.component.reader import Reader
from spacy_msvse.doc import make_doc
from spacy_msvse.network.base import Reads
from spacy_msvse.vision.extraction import PostSource, extract_posts, fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.features import RegionFeatures, find_unusable
from spacy_msvse.vision.picture import picture_key
from spacy_msvse.vision.store import FeatureStore
from spacy_msvse.vision.upkeep import find_damage

from ..tiny import reasons
from .conftest import CountingExtractor, encode, photo, sources

GOOD, BAD = encode(photo(0)), encode(photo(1, size=(16, 64)))

NUMBERS = [float("nan"), float("inf"), -float("inf"), 70_000.0]


class Diverging(CountingExtractor):
    """Fails to compute finite vectors of pictures that are higher than wide."""

    def __init__(self, value: float, part: str = "vectors") -> None:
        super().__init__()
        self.value, self.part = value, part

    def extract(self, pictures, known):
        found = super().extract(pictures, known)
        for picture, features in zip(pictures, found, strict=True):
            if picture.height > picture.width:
                regions = features["regions"]
                numbers = np.array(getattr(regions, self.part), dtype=np.float32)
                numbers.flat[-1] = self.value
                features["regions"] = replace(regions, **{self.part: numbers})
        return found


class Writer(CountingExtractor):
    """Reads texts, and makes vectors that are not finite for some."""

    fills = ("described",)
    reads = "text"

    def extract(self, texts, known):
        boxes = np.array([[0, 0, 1, 1]], dtype=np.float32)
        values = [float("nan") if "bad" in text else 1.0 for text in texts]
        return [{"described": RegionFeatures(np.full((1, 2), v), boxes)} for v in values]


def make(value: float, part: str = "vectors") -> VisualExtractor:
    extractor = Diverging(value, part)
    return VisualExtractor(regions=extractor, tags=extractor)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("value", NUMBERS)
def test_vectors_of_an_extractor_affect_only_their_view_and_post(tmp_path, value, stored, workers):
    store = FeatureStore(tmp_path) if stored else None
    posts = sources(GOOD, BAD, GOOD, BAD)
    for _ in range(2):
        found = list(extract_posts(make(value), posts, store=store, workers=workers))
        assert [sorted(one.features) for one in found] == [["regions", "tags"], ["tags"]] * 2
        assert [sorted(reasons(one.problems)) for one in found] == [[], ["regions"]] * 2
        assert "E061" in reasons(found[1].problems)["regions"]
        assert "vectors of the view 'regions' have numbers that are not" in str(found[1].problems)
    if store is not None:
        assert len(store) == 1
        store.close()


@pytest.mark.parametrize("part", ["boxes", "scores"])
def test_other_numbers_are_checked_too(part):
    regions = RegionFeatures(np.ones((2, 2)), np.zeros((2, 4)), ["", ""], [0.0, 1.0])
    assert find_unusable({"regions": regions, "tags": ["a"], "caption": "b"}) == {}
    numbers = np.array(getattr(regions, part), dtype=float)
    numbers.flat[0] = np.nan
    assert part in find_unusable({"other": replace(regions, **{part: numbers})})["other"]


def test_an_extraction_into_a_store_names_them(tmp_path):
    with FeatureStore(tmp_path) as store:
        for stored in (0, 1):
            report = fill_store(make(float("nan")), sources(GOOD, BAD), store)
            assert (report.stored, len(report.failed)) == (stored, 1)
            assert "not finite" in report.failed[0][1]


def test_vectors_of_one_text_affect_only_its_post():
    visual = VisualExtractor(views={"described": Writer()})
    found = list(extract_posts(visual, [PostSource("good"), PostSource("bad"), PostSource("fine")]))
    assert [sorted(one.features) for one in found] == [["described"], [], ["described"]]
    assert "text 'bad'" in reasons(found[1].problems)["described"]


def test_of_several_pictures_only_the_bad_one_is_left_out():
    (found,) = extract_posts(make(float("nan")), [PostSource(pictures=(BAD, GOOD))])
    assert found.features["regions"].pictures.tolist() == [1]
    assert "not finite" in reasons(found.problems)["regions"]


def put_unusable(store: FeatureStore, visual: VisualExtractor, data: bytes) -> None:
    (found,) = VisualExtractor(regions=CountingExtractor()).extract([photo(0)])
    found["regions"].vectors[0, 0] = np.nan
    store.put_many([(picture_key(data), visual.fingerprint, found)])


def test_a_record_with_such_numbers_is_extracted_anew_and_found_by_verify(tmp_path):
    visual = VisualExtractor(regions=CountingExtractor())
    with FeatureStore(tmp_path) as store:
        put_unusable(store, visual, GOOD)
    (damaged,) = find_damage(tmp_path)
    assert "not finite" in damaged.reason
    with FeatureStore(tmp_path) as store:
        (found,) = extract_posts(visual, sources(GOOD), store=store)
        assert found.problems == []
        assert np.isfinite(found.features["regions"].vectors).all()
    assert find_damage(tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*MSVSE-W002")
def test_a_record_that_a_user_names_affects_only_its_post(tmp_path, nlp):
    visual = VisualExtractor(regions=CountingExtractor())
    with FeatureStore(tmp_path) as store:
        list(extract_posts(visual, sources(GOOD), store=store))
        put_unusable(store, visual, BAD)
        docs = [make_doc(nlp, "look", features=picture_key(data)) for data in (GOOD, BAD, GOOD)]
        posts = Reader(Reads(vectors=("regions",)), vision=visual, store=store).read(docs)
    assert [post.status["regions"] for post in posts] == ["used", "unreadable", "used"]
    assert "E192" in reasons(posts[1].problems)["regions"]
    assert picture_key(BAD) in reasons(posts[1].problems)["regions"]
