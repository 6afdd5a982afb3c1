"""The extractors of a pipeline: which run, in which order, under which name, saved how."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extraction import extract_posts
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0
from spacy_msvse.vision.extractors.tag_caption import TagCaption
from spacy_msvse.vision.features import RegionFeatures, check_result

from .conftest import CountingExtractor, encode, photo, sources


class TagsAgain:
    """Fills a view of its own from the tags."""

    fills = ("ocr",)
    region_dim = 0
    fingerprint = "tags again"

    def initialize(self) -> None: ...

    def extract(self, items, known):
        return [{"ocr": "+".join(features["tags"])} for features in known]

    def to_files(self) -> dict[str, bytes]:
        return {}

    def from_files(self, files) -> None: ...


class TextReader(TagsAgain):
    """Fills a view from the text."""

    fills = ("knowledge",)
    reads = "text"


class SecondCaption(TagsAgain):
    fills = ("second_caption",)


VIEW_OF_ONES_OWN = """
[vision]
@misc = "spacy-msvse.VisualExtractor.v1"

[vision.views]

[vision.views.text_in_picture]
@misc = "spacy-msvse.RapidOcr.v1"
"""


@pytest.fixture
def visual(counting):
    return VisualExtractor(regions=counting, tags=CountingExtractor(), caption=TagCaption())


def test_extractor_must_fill_the_view_it_is_named_for(counting):
    with pytest.raises(ValueError, match=r"E010.*TagCaption.*fills caption, not.*'regions'"):
        VisualExtractor(regions=TagCaption())
    with pytest.raises(ValueError, match=r"E010.*'ocr'"):
        VisualExtractor(ocr=counting)


def test_extractor_must_read_something_known():
    extractor = TextReader()
    extractor.reads = "sound"
    with pytest.raises(ValueError, match=r"E007.*reads.*'sound'.*picture, text, post"):
        VisualExtractor(knowledge=extractor)


def test_equal_extractors_run_once(visual, counting):
    found = visual.extract([photo(0), photo(1)])
    assert counting.extracted == 2
    assert [features["tags"] for features in found] == [["48 wide", "32 high"]] * 2


def test_unequal_extractors_each_run():
    first, second = CountingExtractor("first"), CountingExtractor("second")
    VisualExtractor(regions=first, tags=second).extract([photo()])
    assert (first.extracted, second.extracted) == (1, 1)


def test_caption_and_further_views_can_be_built_from_the_tags(counting):
    visual = VisualExtractor(tags=counting, caption=TagCaption(), ocr=TagsAgain())
    (features,) = visual.extract([photo()])
    assert features["caption"] == "a picture of 48 wide and 32 high"
    assert features["ocr"] == "48 wide+32 high"


def test_only_named_views_are_filled(counting):
    (features,) = VisualExtractor(tags=counting).extract([photo()])
    assert features == {"tags": ["48 wide", "32 high"]}


def test_region_dim_is_that_of_the_regions(counting):
    assert VisualExtractor(regions=counting).region_dim == 3
    assert VisualExtractor(tags=counting).region_dim == 0


def test_without_extractors_nothing_is_filled():
    assert VisualExtractor().extract([photo()]) == [{}]


def test_region_vectors_have_the_precision_of_a_store(visual):
    (features,) = visual.extract([photo()])
    vectors = features["regions"].vectors
    assert np.array_equal(vectors, vectors.astype(np.float16).astype(np.float32))


def test_fingerprint_covers_all_picture_readers():
    def name(**extractors):
        return VisualExtractor(**extractors).fingerprint

    first, second = CountingExtractor("first"), CountingExtractor("second")
    names = [
        name(),
        name(regions=first),
        name(regions=second),
        name(tags=first),
        name(regions=first, tags=first),
        name(regions=first, tags=first, caption=TagCaption()),
        name(regions=first, tags=first, ocr=TagsAgain()),
        name(regions=first, shrink_to=None),
    ]
    assert len(set(names)) == len(names)
    assert name(regions=first) == name(regions=CountingExtractor("first"))
    assert name(regions=first) == name(regions=first, knowledge=TextReader())


def test_a_store_has_each_reader_of_texts_under_its_own_fingerprint(counting):
    visual = VisualExtractor(regions=counting, knowledge=TextReader())
    assert visual.fingerprints == {visual.fingerprint, "tags again"}


def test_a_reader_of_posts_is_another_beside_other_picture_readers(counting):
    reader = TextReader()
    reader.reads = "post"
    names = {
        VisualExtractor(tags=tags, knowledge=reader).reader_fingerprint("knowledge")
        for tags in (None, counting, CountingExtractor("other"))
    }
    assert len(names) == 3


def test_files_of_each_distinct_extractor_are_saved_once(visual, counting):
    files = visual.to_files()
    assert files == {"regions/name.txt": b"counting"}
    visual.from_files(files)
    assert counting.restored == b"counting"


def test_initialize_reaches_each_distinct_extractor(visual, counting):
    visual.initialize()
    assert counting.initialized


def test_to_reaches_extractors_that_know_devices(visual, counting):
    counting.to = lambda device: setattr(counting, "device", device)
    visual.to("cuda:0")
    assert counting.device == "cuda:0"


def test_preparing_changes_no_features(efficientnet):
    picture = photo(size=(300, 200))
    (given,) = efficientnet.extract([picture], [{}])
    (prepared,) = efficientnet.extract([efficientnet.prepare(picture)], [{}])
    assert np.array_equal(given["regions"].vectors, prepared["regions"].vectors)


def test_caption_of_tags_keeps_no_picture_in_memory():
    assert VisualExtractor(caption=TagCaption()).prepare(photo()) == {"caption": None}


def test_registry_can_build_it():
    """A config resolves to extractors that have no weights yet, also for a view of the user."""
    from spacy import registry

    network = {"@misc": "spacy-msvse.EfficientNetLite0.v1", "grid": 2}
    config = {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "regions": network,
        "tags": dict(network),
        "caption": {"@misc": "spacy-msvse.TagCaption.v1"},
        "ocr": {"@misc": "spacy-msvse.RapidOcr.v1"},
        "views": {"second_caption": {"@misc": "tests.SecondCaption.v1"}},
    }
    registry.misc("tests.SecondCaption.v1", func=SecondCaption)
    visual = registry.resolve({"vision": config})["vision"]
    assert list(visual.distinct) == ["regions", "caption", "ocr", "second_caption"]
    assert visual.extractors["tags"] == EfficientNetLite0(grid=2)
    assert visual.region_dim == 1280


def test_a_config_with_a_further_view_can_be_filled_and_written():
    from confection import Config
    from spacy import registry

    block = Config().from_str(VIEW_OF_ONES_OWN)
    filled = registry.fill(block)
    assert filled["vision"]["views"]["text_in_picture"]["min_score"] == 0.85
    again = Config().from_str(Config(filled).to_str())
    with pytest.raises(ValueError, match=r"E010.*RapidOcr.*fills ocr, not.*'text_in_picture'"):
        registry.resolve(again)


@pytest.mark.parametrize(
    "module",
    [
        "features",
        "guard",
        "picture",
        "extractors.tag_caption",
        "extractors.efficientnet_lite0",
        "extractors.rapid_ocr",
        "store",
        "extractor",
        "extraction",
        "upkeep",
    ],
)
def test_import_brings_neither_spacy_nor_torch(module):
    code = (
        f"import sys, spacy_msvse.vision.{module}; "
        "print({m.split('.')[0] for m in sys.modules} & {'spacy', 'thinc', 'torch', 'torchvision'})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_large_jpegs_are_shrunk_while_they_are_decoded(counting):
    data = encode(Image.new("RGB", (2200, 2100)), "JPEG")
    for shrink_to, tags in ((1024, ["1100 wide", "1050 high"]), (None, ["2200 wide", "2100 high"])):
        visual = VisualExtractor(tags=counting, shrink_to=shrink_to)
        (found,) = extract_posts(visual, sources(data))
        assert found.features["tags"] == tags


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        [],
        [None],
        [{"regions": "red"}] * 2,
        [{"tags": [1, 2]}],
        [{"tags": None}],
        [{3: "red"}],
        [{"regions": RegionFeatures(np.ones(3), np.zeros((1, 4)))}],
        [{"regions": RegionFeatures(np.ones((1, 3)), np.zeros((2, 4)))}],
        [{"regions": RegionFeatures(np.ones((0, 3)), np.zeros((0, 4)))}],
        [{"regions": RegionFeatures(np.ones((1, 3)), np.zeros((1, 4)), labels=["a", "b"])}],
    ],
    ids=repr,
)
def test_a_result_of_another_form_is_a_coded_error(result):
    """The extractor may be a user's own."""

    class Own:
        fills = ("regions", "tags")

    with pytest.raises(MsvseError, match=r"MSVSE-E194.*Own"):
        check_result(Own(), result, 1)


def test_the_result_of_an_extractor_is_checked_where_it_is_called():
    class Own:
        fills = ("tags",)
        region_dim = 0
        fingerprint = "own"

        def extract(self, pictures, known):
            return None

    with pytest.raises(MsvseError, match="MSVSE-E194"):
        VisualExtractor(tags=Own()).extract([Image.new("RGB", (2, 2))])
