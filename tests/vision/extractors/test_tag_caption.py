import pytest

from spacy_msvse.vision.extractors.tag_caption import TagCaption, caption_from_tags


@pytest.mark.parametrize(
    ("tags", "caption"),
    [
        ([], ""),
        (["cup"], "a picture of cup"),
        (["cup", "tray"], "a picture of cup and tray"),
        (("cup", "tray", "table"), "a picture of cup, tray and table"),
    ],
)
def test_caption_names_all_tags(tags, caption):
    assert caption_from_tags(tags) == caption


def test_no_tags_no_caption():
    known = [{"tags": ["cup"]}, {"tags": []}, {}]
    assert TagCaption().extract([], known) == [{"caption": "a picture of cup"}, {}, {}]


def test_tag_captions_are_equal_and_save_nothing():
    assert TagCaption() == TagCaption()
    assert TagCaption().to_files() == {}
    assert TagCaption().region_dim == 0
