import pytest
import torch

from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.tag_caption import TagCaption
from spacy_msvse.vision.extractors.torchvision_detector import TorchvisionDetector
from spacy_msvse.vision.extractors.transformers_caption import TransformersCaption

from ..conftest import photo
from ..models import CLASSES

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


def initialised(source, **settings):
    extractor = TransformersCaption(weights=source, **settings)
    extractor.initialize()
    return extractor


def test_captions_are_those_of_the_model(saved):
    from transformers import AutoTokenizer, BlipForConditionalGeneration

    extractor = initialised(saved("blip"), max_length=6)
    network = BlipForConditionalGeneration.from_pretrained(saved("blip")).eval()
    pixels = extractor.network.to_pixels([photo(1)])
    with torch.inference_mode():
        pieces = network.generate(pixel_values=pixels, max_new_tokens=6)
    expected = AutoTokenizer.from_pretrained(saved("blip")).decode(
        pieces[0], skip_special_tokens=True
    )
    (features,) = extractor.extract([photo(1)], [])
    assert features["caption"] == expected != ""


@pytest.mark.parametrize("length", [2, 5])
def test_length_of_captions_is_limited(saved, length):
    (features,) = initialised(saved("blip"), max_length=length).extract([photo(1)], [])
    assert len(features["caption"].split()) == length


def test_encoder_and_decoder_of_any_kind_write_captions(tmp_path):
    """Such as a ViT with GPT-2."""
    from transformers import GPT2Config, VisionEncoderDecoderModel, ViTConfig, ViTImageProcessor
    from transformers.models.vision_encoder_decoder import VisionEncoderDecoderConfig

    from ..models import SEES, SIZES, WORDS, save_tokenizer

    decoder = GPT2Config(
        n_embd=SIZES["hidden_size"], n_layer=2, n_head=2, vocab_size=len(WORDS), n_positions=32
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**SEES), decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 0, 3
    torch.manual_seed(0)
    VisionEncoderDecoderModel(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    extractor = initialised(str(tmp_path), max_length=4)
    (features,) = extractor.extract([photo(1)], [])
    other = TransformersCaption(max_length=4)
    other.from_files(extractor.to_files())
    assert other.extract([photo(1)], []) == [features]


def test_model_that_generates_no_text_is_refused(saved):
    with pytest.raises(ValueError, match="E011"):
        initialised(saved("clip"))


def test_detector_and_captioner_work_side_by_side(saved):
    small = {"architecture": MOBILE, "classes": CLASSES, "min_size": 64, "min_score": 0.25}

    def build(weights="elsewhere"):
        detector = [TorchvisionDetector(weights=weights or saved(MOBILE), **small) for _ in "12"]
        return VisualExtractor(
            regions=detector[0],
            tags=detector[1],
            caption=TransformersCaption(weights=weights or saved("blip"), max_length=4),
        )

    visual = build(weights="")
    visual.initialize()
    assert list(visual.distinct) == ["regions", "caption"]
    assert visual.region_dim == 1024
    pictures = [photo(1), photo(2, (100, 60))]
    seen = visual.extract(pictures)
    for features in seen:
        assert features["regions"].vectors.shape == (len(features["regions"].labels), 1024)
        assert set(features["tags"]) <= set(features["regions"].labels)
        assert features["caption"]
    other = build()
    other.from_files(visual.to_files())
    assert other.fingerprint == visual.fingerprint
    assert [f["caption"] for f in other.extract(pictures)] == [f["caption"] for f in seen]


def test_captions_of_the_tags_still_work_offline(saved):
    detector = TorchvisionDetector(
        weights=saved(MOBILE), architecture=MOBILE, classes=CLASSES, min_size=64, min_score=0.25
    )
    visual = VisualExtractor(tags=detector, caption=TagCaption())
    visual.initialize()
    (features,) = visual.extract([photo(1)])
    assert features["caption"].startswith(f"a picture of {features['tags'][0]}")
