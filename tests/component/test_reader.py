"""The content of each view of a post. Views of the user have priority."""

import numpy as np
import pytest

from spacy_msvse import make_doc
from spacy_msvse.component.reader import Reader, given_views, post_source
from spacy_msvse.doc import picture_sources, set_extracted_views
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import Reads
from spacy_msvse.vision.extraction import fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.features import RegionFeatures
from spacy_msvse.vision.store import FeatureStore

from ..tiny import Writer, picture, reasons

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
    (post,) = (reader() if vision else Reader(READS, policy="ignore")).read([doc], masked)
    return post


def test_extracted_views_are_used(nlp):
    post = read(make_doc(nlp, "look", image=picture("PER")))
    assert post.texts == {"tags": "cat, sofa", "caption": "a picture of a cat", "ocr": "meow"}
    assert post.vectors["regions"].vectors.shape == (2, 3)
    assert post.vectors["regions"].boxes[1].tolist() == [0, 0, 0.5, 0.5]
    assert set(post.status.values()) == {"used"}
    assert post.extracted["tags"] == ["cat", "sofa"]
    assert post.extracted["regions"][1] == ("cat", 0.5, 0.0, 0.0, 0.5, 0.5, 0)


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
    assert given_views(doc) == {"caption": "mine", "ocr": "mine"}
    set_extracted_views(doc, {"x": "new"})
    assert doc._.image_tags is None
    assert doc._.image_texts == {"ocr": "mine", "x": "new"}
    set_extracted_views(doc, {})
    assert doc._.image_texts == {"ocr": "mine"}
    assert doc._.image_extracted is None


def test_status_and_reason_differ_for_absent_unreadable_and_masked(nlp):
    doc = make_doc(nlp, "look", caption="my dog")
    assert read(doc).status["regions"] == "absent"
    assert read(doc).problems == []
    broken = make_doc(nlp, "look", image=b"broken", caption="my dog")
    unreadable = read(broken)
    assert unreadable.status["regions"] == "unreadable"
    assert "MSVSE-E020" in reasons(unreadable.problems)["regions"]
    assert unreadable.status["caption"] == "used"
    assert "caption" not in reasons(unreadable.problems)
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


def check_refused(nlp, doc, code: str) -> None:
    """A file of Docs may hold anything. A wrong value costs its post the views, and is named."""
    for vision in (True, False):
        post = read(doc, vision=vision)
        assert set(post.status.values()) == {"unreadable"}
        assert all(code in problem for problem in reasons(post.problems).values())
        assert (post.vectors, post.texts) == ({}, {})
    with pytest.raises(MsvseError, match=code):
        reader("error").read([doc])
    with pytest.raises(MsvseError, match=code):
        post_source(doc)
    with pytest.warns(UserWarning, match=f"MSVSE-W002.*cannot be read: 1.*{code}"):
        posts = reader("warn").read([doc, make_doc(nlp, "look", image=picture("PER"))])
    assert posts[1].status["regions"] == "used"


def test_a_picture_that_is_no_path_and_no_bytes_is_unreadable(nlp):
    doc = make_doc(nlp, "look")
    doc.user_data["._.", "images", None, None] = [1, 2]
    with pytest.raises(MsvseError, match="MSVSE-E035"):
        picture_sources(doc)
    check_refused(nlp, doc, "MSVSE-E035")


BAD_FEATURES = [
    np.zeros(3),
    np.zeros((0, 3)),
    np.zeros((2, 0)),
    np.zeros((1, 2, 3)),
    np.full((1, 3), np.nan),
    [[1.0, 2.0], [3.0]],
    [["a", "b"]],
    [[None, {}]],
    7.0,
]


@pytest.mark.parametrize("features", BAD_FEATURES, ids=str)
def test_features_of_a_wrong_shape_are_refused_or_unreadable(nlp, features):
    with pytest.raises(MsvseError, match="MSVSE-E014"):
        make_doc(nlp, "look", features=features)
    doc = make_doc(nlp, "look")
    doc.user_data["._.", "image_features", None, None] = features
    check_refused(nlp, doc, "MSVSE-E014")


@pytest.mark.parametrize("region", [("cat", 0.9), ("cat", 0.9, "a", "b", "c", "d"), 3])
def test_a_malformed_region_beside_features_is_unreadable(nlp, region):
    doc = make_doc(nlp, "look", features=np.zeros((1, 3)))
    doc.user_data["._.", "image_regions", None, None] = [region]
    check_refused(nlp, doc, "MSVSE-E071")


@pytest.mark.parametrize(
    ("name", "value"),
    [("image_tags", "dog"), ("image_caption", 3), ("image_texts", {"ocr": 3, "tags": "no tag"})],
)
def test_a_wrong_value_in_a_file_is_unreadable(nlp, name, value):
    doc = make_doc(nlp, "look")
    doc.user_data["._.", name, None, None] = value
    check_refused(nlp, doc, "MSVSE-E035")


def described_posts(nlp) -> list:
    """Posts that give views in every form, also views that the network does not read."""
    features, regions = np.ones((1, 3)), [("cat", 0.9, 0.1, 0.2, 0.3, 0.4)]
    posts = [
        {"tags": ["dog", "tree"]},
        {"caption": "my dog"},
        {"texts": {"ocr": "woof", "unread": "here"}},
        {"features": features},
        {"features": features, "regions": regions, "tags": [], "caption": ""},
    ]
    return [make_doc(nlp, "look", image=picture("PER"), **views) for views in posts]


@pytest.mark.parametrize("masked", [(), ("caption", "ocr")])
def test_the_pipeline_finds_everything_that_extract_has_stored(nlp, tmp_path, masked):
    everything, writer = Everything(), Writer()
    vision = VisualExtractor(regions=everything, tags=everything, knowledge=writer)
    reads = Reads(texts=("tags", "knowledge"), joint=("ocr",))
    docs = described_posts(nlp)
    with FeatureStore(tmp_path) as store:
        report = fill_store(vision, map(post_source, docs), store)
        assert not report.failed
        assert len(writer.known) == len(docs)
        pictures = everything.items
        known, writer.known = writer.known, []
        posts = Reader(reads, vision=vision, store=store, policy="error").read(docs, masked)
        assert (everything.items, writer.known) == (pictures, [])
    assert all(post.status["knowledge"] == "used" for post in posts)
    # Without a store, the extractor gets the same views.
    Reader(reads, vision=vision, policy="error").read(docs, masked)
    assert list(map(str, writer.known)) == list(map(str, known))
    assert known[0]["tags"] == ["dog", "tree"]
    assert known[1]["caption"] == "my dog"
    assert known[2]["tags"] == ["cat", "sofa"]
    assert known[2]["unread"] == "here"
    assert posts[2].texts["tags"] == "cat, sofa"
    assert known[4]["regions"].boxes.tolist() == pytest.approx(np.float32([[0.1, 0.2, 0.3, 0.4]]))


class Grid(Everything):
    """An extractor of vectors under another name."""

    fills = ("grid",)

    def extract(self, items, known):
        return [{"grid": features["regions"]} for features in super().extract(items, known)]


def test_a_method_may_read_vectors_under_another_name(nlp):
    ours = Reader(Reads(vectors=("grid",)), vision=VisualExtractor(views={"grid": Grid()}))
    (post,) = ours.read([make_doc(nlp, "look", image=picture("PER"))])
    assert post.vectors["grid"].vectors.shape == (2, 3)
    assert post.status == {"grid": "used"}


def test_a_view_of_another_form_than_the_network_reads_is_a_coded_error(nlp):
    reads = Reads(vectors=("grid",))
    with pytest.raises(MsvseError, match=r"MSVSE-E170.*'grid'.*text.*region vectors"):
        Reader(reads).read([make_doc(nlp, "look", texts={"grid": "a text"})])
    vision = VisualExtractor(views={"grid": Grid()})
    with pytest.raises(MsvseError, match=r"MSVSE-E170.*'grid'.*region vectors.*text"):
        Reader(Reads(texts=("grid",)), vision=vision).read(
            [make_doc(nlp, "look", image=picture("PER"))]
        )


def test_boxes_of_the_users_own_regions_are_used(nlp):
    doc = make_doc(
        nlp, "look", features=np.zeros((1, 3)), regions=[("cat", 0.9, 0.1, 0.2, 0.3, 0.4)]
    )
    boxes = read(doc).vectors["regions"].boxes
    assert boxes[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
