import pytest
import torch

from spacy_msvse.vision.extractors.zero_shot_tags import ZeroShotTags

from ..conftest import photo
from ..models import CLASSES


def initialised(source, **settings):
    extractor = ZeroShotTags(weights=source, **{"labels": CLASSES, **settings})
    extractor.initialize()
    return extractor


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_scores_are_those_of_the_whole_model(kind, saved):
    from transformers import AutoModel, AutoTokenizer

    network = initialised(saved(kind)).network
    pixels = network.to_pixels([photo(1), photo(2)])
    model, tokenizer = (auto.from_pretrained(saved(kind)) for auto in (AutoModel, AutoTokenizer))
    texts = tokenizer(
        [f"a photo of a {label}." for label in CLASSES],
        padding="max_length",
        max_length=24,
        return_tensors="pt",
    )
    with torch.inference_mode():
        logits = model.eval()(**texts, pixel_values=pixels).logits_per_image
    expected = logits.sigmoid() if kind == "siglip" else logits.softmax(dim=-1)
    assert torch.allclose(network(pixels), expected, atol=1e-5)


def test_tags_are_the_users_labels_the_likeliest_first(saved):
    extractor = initialised(saved("clip"), min_score=0.0)
    (features,) = extractor.extract([photo(1)], [])
    network = extractor.network
    (scores,) = network(network.to_pixels([photo(1)]))
    assert features["tags"] == [CLASSES[row] for row in scores.argsort(descending=True)]


def test_number_and_probability_of_tags_are_limited(saved):
    two = initialised(saved("clip"), top_k=2, min_score=0.0).extract([photo(1)], [])
    none = initialised(saved("siglip"), min_score=1.0).extract([photo(1)], [])
    assert len(two[0]["tags"]) == 2
    assert none[0]["tags"] == []


def test_the_text_encoder_is_not_kept(saved):
    extractor = initialised(saved("clip"))
    assert not any("text_model" in name for name in extractor.network.state_dict())
    other = ZeroShotTags(labels=CLASSES)
    other.from_files(extractor.to_files())
    assert other.extract([photo(1)], []) == extractor.extract([photo(1)], [])


@pytest.mark.parametrize("settings", [{"labels": ["dog"]}, {"prompt": "{label}"}])
def test_other_labels_than_the_saved_ones_are_refused(saved, settings):
    data = initialised(saved("clip")).to_files()
    other = ZeroShotTags(**{"labels": CLASSES, **settings})
    with pytest.raises(ValueError, match=r"E051.* ZeroShotTags "):
        other.from_files(data)


def test_fingerprint_follows_labels_and_prompt(saved):
    names = [
        initialised(saved("clip"), **settings).fingerprint
        for settings in ({}, {"labels": ("dog", "car")}, {"prompt": "{label}"})
    ]
    assert len(set(names)) == 3


def test_model_without_text_encoder_is_refused(saved):
    with pytest.raises(ValueError, match="E011"):
        initialised(saved("vit"))
