import pytest
from spacy_msvse.vision.extractors.words import TagCaption, caption_from_tags

from spacy_msvse.vision.features import PictureFeatures


@pytest.mark.parametrize(
    ("tags", "caption"),
    [
        ([], ""),
        (["cup"], "a picture of cup"),
        (["cup", "tray"], "a picture of cup and tray"),
        (("cup", "tray", "table"), "a picture of cup, tray and table"),
    ],
)
def test_caption_says_what_the_tags_say(tags, caption):
    assert caption_from_tags(tags) == caption


def test_no_tags_no_caption():
    known = [PictureFeatures(tags=["cup"]), PictureFeatures(tags=[]), PictureFeatures()]
    captions = [features.caption for features in TagCaption().extract([], known)]
    assert captions == ["a picture of cup", None, None]


def test_tag_captions_are_equal_and_carry_nothing():
    assert TagCaption() == TagCaption()
    assert TagCaption().to_bytes() == b""
    assert TagCaption().region_dim == 0
