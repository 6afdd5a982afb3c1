"""Tags from the user's own labels, by models that compare pictures with texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL.Image import Image
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from ...errors import Errors, MsvseError
from ...settings import Name, Names, Share
from ..features import Features
from .base import BatchSize, Precision, likeliest
from .pretrained import (
    PretrainedExtractor,
    PretrainedNetwork,
    load_model,
    load_part,
    load_vision_tower,
)
from .transformers_encoder import pool_whole
from .weights import to_safetensors

#: The file of the encoded prompts.
_TEXTS_FILE = "texts.safetensors"

#: The text that is encoded for a label.
Prompt = Annotated[str, Field(pattern=r"\{label\}", description="a text with {label} in it")]


@dataclass(frozen=True)
class ZeroShotTags(PretrainedExtractor):
    """An extractor of tags: those of the user's labels that CLIP or SigLIP finds in the picture.

    `initialize` encodes the labels once. After it only the vision encoder is kept. The picture is
    squeezed to the square that the model was trained on.

    Attributes:
        weights (str): A name on the hub, fetched by `initialize`, or a local folder: a model with a
            text encoder, a vision encoder and a tokenizer.
        batch_size (int): Number of pictures in a batch of the network.
        labels (tuple): The possible tags.
        prompt (str): The text that is encoded for a label; {label} is replaced by the label.
        top_k (int): Maximum number of tags of a picture.
        min_score (float): Minimum probability of a tag. With CLIP, the probabilities of all labels
            sum to 1; with SigLIP, each label has an independent probability.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "openai/clip-vit-base-patch32"
    batch_size: BatchSize = 16
    labels: Annotated[Names, Field(min_length=1, description="a list of distinct labels")] = ()
    prompt: Prompt = "a photo of a {label}."
    top_k: Annotated[int, Field(ge=1, le=1000)] = 5
    min_score: Share = 0.1
    precision: Precision = "float32"

    fills = ("tags",)
    region_dim = 0

    def _open(self, source: str, saved: Mapping[str, Any]) -> "ZeroShotNetwork":
        prompts = [self.prompt.replace("{label}", label) for label in self.labels]
        if not saved:
            texts = _encode_prompts(source, prompts)
        elif saved["prompts"] == prompts:
            texts = load_file(Path(source) / _TEXTS_FILE)
        else:
            names = {"extractor": type(self).__name__, "weights": self.weights}
            raise MsvseError(Errors.E051.format(**names))
        return ZeroShotNetwork(*load_vision_tower(source), prompts, texts, self.precision)

    def _save(self, network: "ZeroShotNetwork") -> tuple[dict[str, Any], dict[str, bytes]]:
        settings, files = super()._save(network)
        files[_TEXTS_FILE] = to_safetensors(network.texts)
        return {**settings, "prompts": network.prompts}, files

    def _extract(self, network: "ZeroShotNetwork", pictures: Sequence[Image]) -> Iterator[Features]:
        probabilities = network(network.to_pixels(pictures))
        for scores in probabilities.cpu().numpy():
            yield {"tags": likeliest(scores, self.labels, self.top_k, self.min_score)}


class ZeroShotNetwork(PretrainedNetwork):
    """The frozen vision encoder of CLIP or SigLIP, and the encoded prompts.

    Args:
        tower (PreTrainedModel): The vision encoder.
        processor (BaseImageProcessor): Its image processor.
        prompts (list): The prompts.
        texts (dict): The encoded prompts: `labels` (L, P), `scale`, and where the model has them
            `projection` (P, D) and `bias`.
        precision (str): "float32", "float16" or "bfloat16".
    """

    def __init__(
        self,
        tower: Any,
        processor: Any,
        prompts: list[str],
        texts: dict[str, Tensor],
        precision: str,
    ) -> None:
        super().__init__(tower, processor, precision=precision)
        self.prompts = prompts
        for name, tensor in texts.items():
            self.register_buffer(f"text_{name}", tensor.float())

    @property
    def texts(self) -> dict[str, Tensor]:
        """The encoded prompts, by name."""
        return {
            name.removeprefix("text_"): tensor for name, tensor in self.named_buffers(recurse=False)
        }

    def compute(self, pixels: Tensor) -> Tensor:
        """Compute the probability of each label.

        Args:
            pixels (Tensor): float32 of shape (B, 3, side, side).

        Returns:
            Tensor: Probabilities (B, L).
        """
        texts = self.texts
        vectors = pool_whole(self.network(pixel_values=pixels))
        if "projection" in texts:
            vectors = (vectors @ texts["projection"].T).float()
        logits = (normalize(vectors, dim=-1) @ texts["labels"].T).float() * texts["scale"]
        if "bias" in texts:  # the model was trained on single pairs
            return (logits + texts["bias"]).sigmoid()
        return logits.softmax(dim=-1)


def _encode_prompts(source: str, prompts: list[str]) -> dict[str, Tensor]:
    """Encode prompts with the text encoder.

    Returns:
        dict: `labels`, the unit vector of each prompt (L, P); `scale`, the factor on a cosine;
            where the model has them `projection` (P, D), from vectors of pictures to those of
            texts, and `bias`, the constant of a logit.
    """
    from transformers import AutoModel, AutoTokenizer

    model = load_model(AutoModel, source).eval()
    tokenizer = load_part(AutoTokenizer, source)
    # Padded as in training: some models have no padding mask.
    length = model.config.text_config.max_position_embeddings
    inputs = tokenizer(
        prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    with torch.inference_mode():
        found = model.get_text_features(**inputs)
        # From transformers 5 on it returns an object.
        vectors = found if isinstance(found, Tensor) else found.pooler_output
        labels = normalize(vectors, dim=-1)
        texts = {"labels": labels, "scale": model.logit_scale.exp()}
    if hasattr(model, "visual_projection"):
        texts["projection"] = model.visual_projection.weight
    if hasattr(model, "logit_bias"):
        texts["bias"] = model.logit_bias
    return {name: tensor.detach().clone() for name, tensor in texts.items()}
