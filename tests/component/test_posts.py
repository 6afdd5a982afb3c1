"""What a post tells the network: the user's own words win."""

import numpy as np
import pytest

from spacy_msvse import make_doc
from spacy_msvse.component.posts import make_post, needs_picture
from spacy_msvse.doc import picture_source
from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.features import PictureFeatures

VIEWS = ("regions", "tags", "caption", "ocr")


def seen() -> PictureFeatures:
    return PictureFeatures(
        regions=np.ones((2, 3), dtype="float32"),
        boxes=np.asarray([[0, 0, 1, 1], [0, 0, 0.5, 0.5]], dtype="float32"),
        region_labels=["", "cat"],
        region_scores=[0.0, 0.5],
        tags=["cat", "sofa"],
        caption="a picture of a cat",
        texts={"ocr": "meow"},
    )


def test_what_the_extractor_saw_is_used(nlp):
    post = make_post(make_doc(nlp, "look"), VIEWS, seen())
    assert post.texts == {"tags": "cat, sofa", "caption": "a picture of a cat", "ocr": "meow"}
    assert post.regions.shape == (2, 3)
    assert post.boxes[1].tolist() == [0, 0, 0.5, 0.5]
    assert set(post.status.values()) == {"used"}
    assert post.extracted["image_tags"] == ["cat", "sofa"]
    assert post.extracted["image_regions"][1] == ("cat", 0.5, 0.0, 0.0, 0.5, 0.5)


def test_what_the_user_set_wins(nlp):
    doc = make_doc(
        nlp,
        "look",
        tags=["dog"],
        caption="my dog",
        texts={"ocr": "woof"},
        features=np.zeros((1, 3)),
    )
    assert not needs_picture(doc, VIEWS)
    post = make_post(doc, VIEWS, seen())
    assert post.texts == {"tags": "dog", "caption": "my dog", "ocr": "woof"}
    assert not post.regions.any()
    assert "image_tags" not in post.extracted


def test_an_empty_value_of_the_user_is_absent_and_not_filled_in(nlp):
    post = make_post(make_doc(nlp, "look", tags=[], caption=""), VIEWS, seen())
    assert post.status["tags"] == post.status["caption"] == "absent"
    assert post.status["ocr"] == "used"


def test_extracted_words_do_not_count_as_the_users_own(nlp):
    """Annotated twice, the second time with another picture: nothing of the first one stays."""
    doc = make_doc(nlp, "look")
    doc._.image_tags = ["stale"]
    doc._.image_extracted = ["image_tags"]
    assert needs_picture(doc, ["tags"])
    assert make_post(doc, ["tags"], seen()).texts["tags"] == "cat, sofa"


def test_status_tells_absent_unreadable_and_masked_apart(nlp):
    doc = make_doc(nlp, "look", caption="my dog")
    assert make_post(doc, VIEWS).status["regions"] == "absent"
    unreadable = make_post(doc, VIEWS, problem="broken")
    assert unreadable.status["regions"] == "unreadable"
    assert unreadable.status["caption"] == "used"
    masked = make_post(doc, VIEWS, seen(), masked=["regions"])
    assert masked.status["regions"] == "masked"
    assert masked.regions is None
    assert make_post(doc, VIEWS, masked=["regions"]).status["regions"] == "absent"
    doc._.image = "photo.jpg"
    assert make_post(doc, VIEWS, masked=["regions"]).status["regions"] == "masked"


def test_a_picture_that_is_no_path_and_no_bytes_is_a_coded_error(nlp):
    doc = make_doc(nlp, "look")
    doc._.image = np.zeros((4, 4, 3))
    with pytest.raises(MsvseError, match="MSVSE-E008"):
        picture_source(doc)


def test_features_of_a_wrong_shape_are_a_coded_error(nlp):
    doc = make_doc(nlp, "look", features=np.zeros(3))
    with pytest.raises(MsvseError, match="MSVSE-E014"):
        make_post(doc, VIEWS)


def test_boxes_of_the_users_own_regions_are_used(nlp):
    doc = make_doc(
        nlp, "look", features=np.zeros((1, 3)), regions=[("cat", 0.9, 0.1, 0.2, 0.3, 0.4)]
    )
    assert make_post(doc, VIEWS).boxes[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
