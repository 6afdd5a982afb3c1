import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from spacy_msvse.vision import run as run_module
from spacy_msvse.vision.extract import VisualExtractor
from spacy_msvse.vision.extractors.words import TagCaption
from spacy_msvse.vision.features import PictureFeatures
from spacy_msvse.vision.fill import fill_store
from spacy_msvse.vision.store import FeatureStore

from .conftest import CountingExtractor, PickyExtractor, encode, photo


class Reader:
    """Fills texts, knowing the tags."""

    fills = ("texts",)
    region_dim = 0
    fingerprint = "reader"

    def initialize(self) -> None: ...

    def extract(self, pictures, known):
        return [PictureFeatures(texts={"ocr": "+".join(seen.tags)}) for seen in known]

    def to_bytes(self) -> bytes:
        return b""

    def from_bytes(self, data: bytes) -> None: ...


@pytest.fixture
def visual(counting):
    return VisualExtractor(regions=counting, tags=CountingExtractor(), caption=TagCaption())


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(5):
        (folder / f"{seed}.png").write_bytes(encode(photo(seed)))
    (folder / "bad.png").write_bytes(encode(photo(9))[:60])
    return folder


@pytest.fixture
def picky(root):
    """Fails on one picture of the folder."""
    (root / "wide.png").write_bytes(encode(photo(9, size=(64, 8))))
    return VisualExtractor(tags=PickyExtractor())


@pytest.fixture
def store(tmp_path):
    with FeatureStore(tmp_path / "store") as store:
        yield store


# The extractors of the scales


def test_extractor_must_fill_the_scale_it_is_named_for(counting):
    with pytest.raises(ValueError, match=r"E010.*TagCaption.*fills caption, not.*'regions'"):
        VisualExtractor(regions=TagCaption())
    with pytest.raises(ValueError, match="E010"):
        VisualExtractor(texts=counting)


def test_equal_extractors_run_once(visual, counting):
    features = visual.extract([photo(0), photo(1)])
    assert counting.looked_at == 2
    assert [seen.tags for seen in features] == [["48 wide", "32 high"]] * 2


def test_unequal_extractors_each_run():
    first, second = CountingExtractor("first"), CountingExtractor("second")
    VisualExtractor(regions=first, tags=second).extract([photo()])
    assert (first.looked_at, second.looked_at) == (1, 1)


def test_caption_and_texts_are_built_from_the_tags(visual):
    visual.extractors["texts"] = Reader()
    (features,) = visual.extract([photo()])
    assert features.caption == "a picture of 48 wide and 32 high"
    assert features.texts == {"ocr": "48 wide+32 high"}


def test_only_named_scales_are_filled(counting):
    (features,) = VisualExtractor(tags=counting).extract([photo()])
    assert features == PictureFeatures(tags=["48 wide", "32 high"])


def test_region_dim_is_that_of_the_regions(counting):
    assert VisualExtractor(regions=counting).region_dim == 3
    assert VisualExtractor(tags=counting).region_dim == 0


def test_nothing_named_sees_nothing():
    assert VisualExtractor().extract([photo()]) == [PictureFeatures()]


def test_fingerprint_covers_all_scales():
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
        name(regions=first, shrink_to=None),
    ]
    assert len(set(names)) == len(names)
    assert name(regions=first) == name(regions=CountingExtractor("first"))


def test_state_of_each_distinct_extractor_is_saved_once(visual, counting):
    import srsly

    data = visual.to_bytes()
    assert srsly.msgpack_loads(data) == {"regions": b"counting", "caption": b""}
    visual.from_bytes(data)
    assert counting.restored == b"counting"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80"])
def test_damaged_state_is_refused(visual, data):
    with pytest.raises(ValueError, match="E006"):
        visual.from_bytes(data)


def test_initialize_reaches_each_distinct_extractor(visual, counting):
    visual.initialize()
    assert counting.initialized


def test_to_reaches_extractors_that_know_devices(visual, counting):
    counting.to = lambda device: setattr(counting, "device", device)
    visual.to("cuda:0")
    assert counting.device == "cuda:0"


def test_registry_can_build_it():
    """A config resolves to extractors that have no weights yet."""
    from spacy import registry

    from spacy_msvse.vision.extractors.efficientnet import EfficientNetLite0

    for function in (VisualExtractor, EfficientNetLite0, TagCaption):
        registry.misc(f"test.{function.__name__}.v1", func=function)
    network = {"@misc": "test.EfficientNetLite0.v1", "grid": 2}
    config = {
        "@misc": "test.VisualExtractor.v1",
        "regions": network,
        "tags": dict(network),
        "caption": {"@misc": "test.TagCaption.v1"},
    }
    visual = registry.resolve({"vision": config})["vision"]
    assert list(visual.distinct) == ["regions", "caption"]
    assert visual.region_dim == 1280


# Sources


def test_each_source_has_features_or_a_problem_or_neither(visual, root):
    sources = ["0.png", None, "bad.png", (root / "1.png").read_bytes(), "missing.png", "../x.png"]
    found = list(visual.extract_sources(sources, image_root=root, batch_size=4))
    assert [features is not None for features, _ in found] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    problems = [problem for _, problem in found]
    assert problems[:2] == [None, None]
    assert "E020" in problems[2]
    assert "bad.png" in problems[2]
    assert problems[3] is None
    assert "missing.png" in problems[4]
    assert "E021" in problems[5]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_identical_pictures_are_looked_at_once(visual, counting, root, store, stored, batch_size):
    (root / "copy.png").write_bytes((root / "0.png").read_bytes())
    sources = ["0.png", "1.png", "copy.png", "0.png", "2.png"]
    found = list(
        visual.extract_sources(
            sources, image_root=root, store=store if stored else None, batch_size=batch_size
        )
    )
    assert counting.looked_at == 3
    assert np.array_equal(found[0][0].regions, found[2][0].regions)
    assert not np.array_equal(found[0][0].regions, found[1][0].regions)


def test_features_of_identical_pictures_can_be_changed_apart(visual, root):
    for batch_size in (1, 2):
        first, second = visual.extract_sources(
            ["0.png"] * 2, image_root=root, batch_size=batch_size
        )
        first[0].tags = ["mine"]
        assert second[0].tags == ["48 wide", "32 high"]


def test_stored_picture_is_neither_decoded_nor_looked_at(visual, root, store, monkeypatch):
    sources = ["0.png", "1.png"]
    fresh = list(visual.extract_sources(sources, image_root=root, store=store))

    def fail(*args, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(run_module, "decode_picture", fail)
    monkeypatch.setattr(visual, "extract_prepared", fail)
    stored = list(visual.extract_sources(sources, image_root=root, store=store))
    for (before, _), (after, problem) in zip(fresh, stored, strict=True):
        assert problem is None
        assert np.array_equal(before.regions, after.regions)
        assert (before.tags, before.caption) == (after.tags, after.caption)


def test_renamed_picture_is_still_stored(visual, counting, root, store):
    list(visual.extract_sources(["0.png"], image_root=root, store=store))
    (root / "0.png").rename(root / "renamed.png")
    ((features, _),) = visual.extract_sources(["renamed.png"], image_root=root, store=store)
    assert features is not None
    assert counting.looked_at == 1


def test_other_extractor_is_not_served_from_the_store(visual, root, store):
    list(visual.extract_sources(["0.png"], image_root=root, store=store))
    other = CountingExtractor("other")
    list(VisualExtractor(regions=other).extract_sources(["0.png"], image_root=root, store=store))
    assert other.looked_at == 1
    assert len(store) == 2


def test_readonly_store_is_read_and_left_alone(visual, counting, root, store):
    list(visual.extract_sources(["0.png"], image_root=root, store=store))
    reader = FeatureStore(store.path, readonly=True)
    found = list(visual.extract_sources(["0.png", "1.png"] * 2, image_root=root, store=reader))
    assert all(features is not None for features, _ in found)
    assert counting.looked_at == 2
    assert len(store) == 1


def test_no_more_pictures_are_decoded_than_a_batch_holds(visual, root, monkeypatch):
    sizes = []
    extract = visual.extract_prepared
    monkeypatch.setattr(visual, "extract_prepared", lambda p: sizes.append(len(p)) or extract(p))
    stream = visual.extract_sources(
        (f"{seed}.png" for seed in range(5)), image_root=root, batch_size=2
    )
    next(stream)
    assert sizes == [2]
    list(stream)
    assert sizes == [2, 2, 1]


def test_large_jpegs_are_shrunk_while_decoding(counting):
    data = encode(Image.new("RGB", (2200, 2100)), "JPEG")
    for shrink_to, tags in ((1024, ["1100 wide", "1050 high"]), (None, ["2200 wide", "2100 high"])):
        visual = VisualExtractor(tags=counting, shrink_to=shrink_to)
        ((features, _),) = visual.extract_sources([data])
        assert features.tags == tags


# Preparing and failing


def test_extractor_gets_what_it_prepared(visual, counting, root, monkeypatch):
    counting.prepare = lambda picture: picture.resize((8, 4))
    for features in (
        visual.extract([photo()])[0],
        next(visual.extract_sources([encode(photo())]))[0],
    ):
        assert features.tags == ["8 wide", "4 high"]


def test_preparing_changes_no_features(efficientnet):
    picture = photo(size=(300, 200))
    (given,) = efficientnet.extract([picture], [PictureFeatures()])
    (prepared,) = efficientnet.extract([efficientnet.prepare(picture)], [PictureFeatures()])
    assert np.array_equal(given.regions, prepared.regions)


def test_caption_of_tags_holds_no_picture():
    assert VisualExtractor(caption=TagCaption()).prepare(photo()) == {"caption": None}


def test_picture_that_the_extractor_fails_on_is_a_problem_of_its_own(visual, root, picky):
    found = list(picky.extract_sources(["0.png", "wide.png", "1.png"], image_root=root))
    assert [features is not None for features, _ in found] == [True, False, True]
    assert "E061] The extractor failed on picture 'wide.png': too wide." in found[1][1]


def test_extractor_that_fails_on_all_pictures_says_so_itself(picky, root):
    with pytest.raises(RuntimeError, match="too wide"):
        list(picky.extract_sources(["wide.png"], image_root=root))


def test_extractor_that_the_store_has_seen_at_work_may_fail_on_all(picky, root, store):
    list(picky.extract_sources(["0.png"], image_root=root, store=store))
    ((features, problem),) = picky.extract_sources(["wide.png"], image_root=root, store=store)
    assert features is None
    assert "E061" in problem


def test_offline_extractors_end_to_end(efficientnet, root, store):
    visual = VisualExtractor(regions=efficientnet, tags=efficientnet, caption=TagCaption())
    report = fill_store(["0.png", "1.png"], visual, store, root)
    assert report.extracted == 2
    ((features, _),) = visual.extract_sources(["0.png"], image_root=root, store=store)
    assert features.regions.shape == (17, 1280)
    (fresh,) = visual.extract([photo(0)])
    assert np.allclose(features.regions, fresh.regions, atol=1e-2)


# Imports


@pytest.mark.parametrize(
    "module",
    [
        "features",
        "picture",
        "extractors.words",
        "extractors.efficientnet",
        "store",
        "extract",
        "fill",
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
