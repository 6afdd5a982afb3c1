"""Captions written by a model of transformers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from PIL.Image import Image
from pydantic import Field
from torch import Tensor

from ...settings import Name
from ..features import Features
from .base import BatchSize, Precision
from .pretrained import (
    PretrainedExtractor,
    PretrainedNetwork,
    load_image_processor,
    load_model,
    load_part,
)


@dataclass(frozen=True)
class TransformersCaption(PretrainedExtractor):
    """An extractor of captions: BLIP, or another model that describes pictures without a question.

    The picture is squeezed to the square that the model was trained on.

    Attributes:
        weights (str): A name on the hub, fetched by `initialize`, or a local folder.
        batch_size (int): Number of pictures in a batch of the network.
        max_length (int): Maximum number of word pieces of a caption.
        beams (int): Beams of the search; 1 takes the likeliest word at each step.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "Salesforce/blip-image-captioning-base"
    batch_size: BatchSize = 8
    max_length: Annotated[int, Field(ge=1, le=512)] = 20
    beams: Annotated[int, Field(ge=1, le=64)] = 1
    precision: Precision = "float32"

    fills = ("caption",)
    region_dim = 0

    def _open(self, source: str, saved: Mapping[str, Any]) -> "CaptionNetwork":
        from transformers import AutoModelForImageTextToText, AutoTokenizer

        model = load_model(AutoModelForImageTextToText, source)
        processor, tokenizer = load_image_processor(source), load_part(AutoTokenizer, source)
        return CaptionNetwork(model, processor, tokenizer, self.precision)

    def _extract(self, network: "CaptionNetwork", pictures: Sequence[Image]) -> Iterator[Features]:
        for caption in network(network.to_pixels(pictures), self.max_length, self.beams):
            yield {"caption": caption} if caption else {}


class CaptionNetwork(PretrainedNetwork):
    """A frozen captioner.

    Args:
        model (PreTrainedModel): The model.
        processor (BaseImageProcessor): Its image processor.
        tokenizer (PreTrainedTokenizerBase): Its tokenizer.
        precision (str): "float32", "float16" or "bfloat16".
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, precision: str) -> None:
        super().__init__(model, processor, tokenizer, precision=precision)
        self.tokenizer = tokenizer

    def compute(self, pixels: Tensor, max_length: int, beams: int) -> list[str]:
        """Describe pictures.

        Args:
            pixels (Tensor): float32 of shape (B, 3, side, side).
            max_length (int): Maximum number of word pieces of a caption.
            beams (int): Beams of the search.

        Returns:
            list: Captions.
        """
        pieces = self.network.generate(
            pixel_values=pixels, max_new_tokens=max_length, num_beams=beams, do_sample=False
        )
        captions = self.tokenizer.batch_decode(pieces, skip_special_tokens=True)
        return [caption.strip() for caption in captions]
