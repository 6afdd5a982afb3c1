"""The content of each view of a post. Views of the user have priority."""

import numpy as np
import pytest

from spacy_msvse import make_doc
from spacy_msvse.component.reader import Reader
from spacy_msvse.doc import given_view, picture_source, set_extracted_views
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import Reads
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.features import RegionFeatures

from ..tiny import picture

READS = Reads(vectors=("regions",), texts=("tags", "caption", "ocr"), joint=("caption",))


class Everything:
    """An extractor of all views that counts the items that it extracts."""

    fills = ("regions", "tags", "caption", "ocr")
    region_dim = 3
    fingerprint = "everything"

    def __init__(self):
        self.items = 0

    def initialize(self):
        """Nothing to load."""

    def extract(self, items, known):
        self.items += len(items)
        boxes = np.asarray([[0, 0, 1, 1], [0, 0, 0.5, 0.5]], dtype="float32")
        vectors = np.ones((2, 3), dtype="float32")
        regions = RegionFeatures(vectors, boxes, labels=["", "cat"], scores=[0.0, 0.5])
        values = {"tags": ["cat", "sofa"], "caption": "a picture of a cat", "ocr": "meow"}
        return [{"regions": regions, **values} for _ in items]

    def to_files(self):
        return {}

    def from_files(self, files):
        """Nothing to restore."""


def reader(policy="ignore") -> Reader:
    extractor = Everything()
    vision = VisualExtractor(regions=extractor, tags=extractor, caption=extractor, ocr=extractor)
    return Reader(READS, vision=vision, policy=policy)


def read(doc, masked=(), vision=True):
    (post,) = (reader() if vision else Reader(READS)).read([doc], masked)
    return post


def test_extracted_views_are_used(nlp):
    post = read(make_doc(nlp, "look", image=picture("PER")))
    assert post.texts == {"tags": "cat, sofa", "caption": "a picture of a cat", "ocr": "meow"}
    assert post.vectors["regions"].vectors.shape == (2, 3)
    assert post.vectors["regions"].boxes[1].tolist() == [0, 0, 0.5, 0.5]
    assert set(post.status.values()) == {"used"}
    assert post.extracted["tags"] == ["cat", "sofa"]
    assert post.extracted["regions"][1] == ("cat", 0.5, 0.0, 0.0, 0.5, 0.5)


def test_views_of_the_user_come_first_and_need_no_extraction(nlp):
    doc = make_doc(
        nlp,
        "look",
        image=picture("PER"),
        tags=["dog"],
        caption="my dog",
        texts={"ocr": "woof"},
        features=np.zeros((1, 3)),
    )
    ours = reader()
    (post,) = ours.read([doc])
    assert post.texts == {"tags": "dog", "caption": "my dog", "ocr": "woof"}
    assert not post.vectors["regions"].vectors.any()
    assert post.extracted == {}
    assert ours.vision.extractors["regions"].items == 0


def test_an_empty_view_of_the_user_is_absent_and_not_extracted(nlp):
    post = read(make_doc(nlp, "look", image=picture("PER"), tags=[], caption=""))
    assert post.status["tags"] == post.status["caption"] == "absent"
    assert post.status["ocr"] == "used"


def test_extracted_views_on_a_doc_do_not_count_as_given(nlp):
    """Annotated twice, the second time with other features: nothing of the first pass remains."""
    doc = make_doc(nlp, "look", caption="mine", texts={"ocr": "mine"})
    set_extracted_views(doc, {"tags": ["stale"], "caption": "stale", "ocr": "stale", "x": "stale"})
    assert doc._.image_extracted == ["tags", "x"]
    assert doc._.image_texts == {"ocr": "mine", "x": "stale"}
    assert [given_view(doc, view) for view in ("tags", "caption", "ocr", "x")] == (
        [None, "mine", "mine", None]
    )
    set_extracted_views(doc, {"x": "new"})
    assert doc._.image_tags is None
    assert doc._.image_texts == {"ocr": "mine", "x": "new"}
    set_extracted_views(doc, {})
    assert doc._.image_texts == {"ocr": "mine"}
    assert doc._.image_extracted is None


def test_status_and_reason_differ_for_absent_unreadable_and_masked(nlp):
    doc = make_doc(nlp, "look", caption="my dog")
    assert read(doc).status["regions"] == "absent"
    assert read(doc).problems == {}
    broken = make_doc(nlp, "look", image=b"broken", caption="my dog")
    unreadable = read(broken)
    assert unreadable.status["regions"] == "unreadable"
    assert "MSVSE-E020" in unreadable.problems["regions"]
    assert unreadable.status["caption"] == "used"
    assert "caption" not in unreadable.problems
    seen = make_doc(nlp, "look", image=picture("PER"))
    masked = read(seen, masked=["regions"])
    assert masked.status["regions"] == "masked"
    assert masked.vectors == {}
    assert read(doc, masked=["regions"]).status["regions"] == "absent"
    assert read(seen, masked=["regions"], vision=False).status["regions"] == "masked"


def test_a_post_without_views_keeps_its_text_and_says_masked(nlp):
    post = read(make_doc(nlp, "look", image=picture("PER"))).without(["regions", "caption"])
    assert post.vectors == {}
    assert set(post.texts) == {"tags", "ocr"}
    assert post.status["regions"] == post.status["caption"] == "masked"


def test_a_picture_that_is_no_path_and_no_bytes_is_a_coded_error(nlp):
    doc = make_doc(nlp, "look")
    doc.user_data["._.", "image", None, None] = np.zeros((4, 4, 3))
    with pytest.raises(MsvseError, match="MSVSE-E035"):
        picture_source(doc)


def test_features_of_a_wrong_shape_are_a_coded_error(nlp):
    with pytest.raises(MsvseError, match="MSVSE-E014"):
        read(make_doc(nlp, "look", features=np.zeros(3)))


def test_boxes_of_the_users_own_regions_are_used(nlp):
    doc = make_doc(
        nlp, "look", features=np.zeros((1, 3)), regions=[("cat", 0.9, 0.1, 0.2, 0.3, 0.4)]
    )
    boxes = read(doc).vectors["regions"].boxes
    assert boxes[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
