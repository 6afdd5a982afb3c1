"""The tags of two extractors."""

import numpy as np
import pytest

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.detected_crops import DetectedCrops
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0
from spacy_msvse.vision.extractors.joined_tags import JoinedTags
from spacy_msvse.vision.extractors.tag_caption import TagCaption

from ..conftest import CountingExtractor, photo


class Words(CountingExtractor):
    """Fills the tags with its name, split into words. No words: it fills nothing."""

    fills: tuple[str, ...] = ("tags",)
    region_dim = 0

    def extract(self, pictures, known):
        self.extracted += len(pictures)
        return [{"tags": self.name.split()} if self.name else {} for _ in pictures]


class PreparingWords(Words):
    """Reads only prepared pictures."""

    def prepare(self, picture):
        return f"{self.name} {picture.width}"

    def extract(self, pictures, known):
        return [{"tags": [one if isinstance(one, str) else self.prepare(one)]} for one in pictures]


def tags_of(*extractors):
    (features,) = JoinedTags(*extractors).extract([photo()], [{}])
    return features.get("tags")


def test_tags_are_those_of_both_in_order_and_without_repeats():
    assert tags_of(Words("people cup"), Words("beach people")) == ["people", "cup", "beach"]
    assert tags_of(Words("people"), Words("")) == ["people"]
    assert tags_of(Words(""), Words("beach")) == ["beach"]
    assert tags_of(Words(""), Words("")) is None


def test_a_text_counts_as_one_tag():
    class OneText(Words):
        def extract(self, pictures, known):
            return [{"tags": self.name} for _ in pictures]

    assert tags_of(OneText("two people"), OneText("a beach")) == ["two people", "a beach"]


def test_the_other_views_are_those_of_the_main_extractor():
    joined = JoinedTags(CountingExtractor("first"), CountingExtractor("second"))
    (features,) = joined.extract([photo()], [{}])
    (own,) = CountingExtractor().extract([photo()], [{}])
    assert joined.fills == ("regions", "tags")
    assert joined.region_dim == 3
    assert joined.levels == (3,)
    assert features["tags"] == own["tags"]
    np.testing.assert_array_equal(features["regions"].vectors, own["regions"].vectors)
    (features,) = JoinedTags(CountingExtractor(), Words("beach")).extract([photo()], [{}])
    assert set(features) == {"tags"}


def test_it_runs_once_for_the_regions_and_the_tags():
    first, main = Words("people"), CountingExtractor()
    visual = VisualExtractor(
        regions=JoinedTags(first, main), tags=JoinedTags(first, main), caption=TagCaption()
    )
    (features,) = visual.extract([photo()])
    assert (first.extracted, main.extracted) == (1, 1)
    assert visual.region_dim == 3
    assert features["caption"] == "a picture of people, 48 wide and 32 high"


def test_each_extractor_prepares_its_own_pictures():
    joined = JoinedTags(PreparingWords("first"), JoinedTags(Words("x"), PreparingWords("second")))
    pictures = [photo(0, (width, 9)) for width in (5, 7)]
    for items in (pictures, [joined.prepare(picture) for picture in pictures]):
        found = joined.extract(items, [{}, {}])
        assert [one["tags"] for one in found] == [
            [f"first {w}", "x", f"second {w}"] for w in (5, 7)
        ]


def test_the_larger_batch_size_counts():
    small, large = Words("a"), Words("b")
    small.batch_size, large.batch_size = 2, 20
    assert JoinedTags(small, large).batch_size == JoinedTags(large, small).batch_size == 20


def test_both_must_fill_the_tags():
    for parts in ((TagCaption(), Words("a")), (Words("a"), TagCaption())):
        with pytest.raises(MsvseError, match=r"E010.*TagCaption.*'tags'"):
            JoinedTags(*parts)


def test_both_must_read_the_same_items():
    texts = Words("a")
    texts.reads = "text"
    with pytest.raises(MsvseError, match=r"E007.*JoinedTags\.first.*reads a picture"):
        JoinedTags(texts, Words("b"))
    with pytest.raises(MsvseError, match=r"E007.*JoinedTags\.first.*reads a text"):
        JoinedTags(Words("b"), texts)
    assert JoinedTags(texts, texts).reads == "text"


def test_a_wrong_result_is_named():
    class Wrong(Words):
        def extract(self, pictures, known):
            return []

    with pytest.raises(MsvseError, match=r"E194.*Wrong"):
        tags_of(Words("a"), Wrong("b"))


def test_files_and_fingerprint_are_those_of_both():
    joined = JoinedTags(Words("one"), Words("two"))
    joined.initialize()
    joined.to("cpu")
    assert joined.to_files() == {"first/name.txt": b"one", "main/name.txt": b"two"}
    joined.from_files(joined.to_files())
    assert (joined.first.restored, joined.main.restored) == (b"one", b"two")
    turned = JoinedTags(Words("two"), Words("one"))
    assert joined.fingerprint != turned.fingerprint


def test_the_default_tags_and_regions_stay(efficientnet):
    """As the README configures it."""
    from spacy import registry

    def build():
        block = {
            "@misc": "spacy-msvse.JoinedTags.v1",
            "first": Words("people"),
            "main": {"@misc": "spacy-msvse.EfficientNetLite0.v1"},
        }
        return VisualExtractor(**registry.resolve({"regions": block, "tags": dict(block)}))

    visual = build()
    visual.initialize()
    assert list(visual.distinct) == ["regions"]
    own = VisualExtractor(regions=EfficientNetLite0(), tags=EfficientNetLite0())
    own.from_files({n.replace("main/", ""): one for n, one in visual.to_files().items()})
    ((joined,), (alone,)) = (one.extract([photo(3)]) for one in (visual, own))
    assert joined["tags"] == ["people", *alone["tags"]]
    np.testing.assert_array_equal(joined["regions"].vectors, alone["regions"].vectors)
    loaded = build()
    loaded.from_files(visual.to_files())
    assert loaded.fingerprint == visual.fingerprint


def test_it_may_be_a_detector():
    crops = DetectedCrops(JoinedTags(Words("people"), CountingExtractor()), CountingExtractor())
    (features,) = crops.extract([photo()], [{}])
    assert features["tags"] == ["people", "48 wide", "32 high"]
