"""Objects that texts describe as regions: the best box of each text."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from PIL.Image import Image
from pydantic import Field
from torch import Tensor

from ...settings import Name, Names, Share
from ..features import Features, RegionFeatures
from .base import BatchSize, Precision
from .pretrained import (
    PretrainedExtractor,
    PretrainedNetwork,
    load_image_processor,
    load_model,
    load_part,
)
from .weights_error import WeightsError

#: The models of transformers that this extractor can run.
MODELS = ("owlvit", "owlv2")


@dataclass(frozen=True)
class ZeroShotDetector(PretrainedExtractor):
    """An extractor of regions: the best box for each query by OWL-ViT or OWLv2.

    A query is a text, such as the name of an entity type. UMGF reads one crop for each type. The
    label of a region is its query. A query without a good box gives no region. The picture is
    squeezed to the square of the model; OWLv2 was trained on pictures that are padded to it. The
    vectors are those that the model compares with the texts; `DetectedCrops` has those of another
    network.

    Attributes:
        weights (str): A name on the hub, fetched by `initialize`, or a local folder.
        batch_size (int): Number of pictures in a batch of the network.
        queries (tuple): The texts.
        min_score (float): Minimum probability that a box shows what its query says.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "google/owlvit-base-patch32"
    batch_size: BatchSize = 4
    queries: Annotated[
        Names, Field(min_length=1, max_length=1000, description="a list of distinct texts")
    ] = ("person", "location", "organization", "miscellaneous")
    min_score: Share = 0.1
    precision: Precision = "float32"

    fills = ("regions",)

    @property
    def region_dim(self) -> int:
        """Width of a region vector.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return int(self.network.network.config.text_config.hidden_size)

    def _open(self, source: str, saved: Mapping[str, Any]) -> "ZeroShotDetectorNetwork":
        from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoTokenizer

        kind = load_part(AutoConfig, source).model_type
        if kind not in MODELS:
            raise WeightsError(source, f"they are of the kind '{kind}', not {' or '.join(MODELS)}")
        return ZeroShotDetectorNetwork(
            load_model(AutoModelForZeroShotObjectDetection, source),
            load_image_processor(source),
            load_part(AutoTokenizer, source),
            self.queries,
            self.precision,
        )

    def _extract(
        self, network: "ZeroShotDetectorNetwork", pictures: Sequence[Image]
    ) -> Iterator[Features]:
        for vectors, boxes, scores in zip(*network(network.to_pixels(pictures)), strict=True):
            kept = np.flatnonzero(scores >= self.min_score)
            regions = RegionFeatures(
                vectors[kept],
                boxes[kept],
                labels=[self.queries[row] for row in kept],
                scores=scores[kept].tolist(),
            )
            yield {"regions": regions} if len(kept) else {}


class ZeroShotDetectorNetwork(PretrainedNetwork):
    """A frozen OWL-ViT or OWLv2.

    Args:
        model (PreTrainedModel): The model.
        processor (BaseImageProcessor): Its image processor.
        tokenizer (PreTrainedTokenizerBase): Its tokenizer.
        queries (Sequence[str]): The queries.
        precision (str): "float32", "float16" or "bfloat16".
    """

    input_ids: Tensor
    attention_mask: Tensor

    def __init__(
        self, model: Any, processor: Any, tokenizer: Any, queries: Sequence[str], precision: str
    ) -> None:
        super().__init__(model, processor, tokenizer, precision=precision)
        # Padded as in training.
        length = model.config.text_config.max_position_embeddings
        # A call changes a tokenizer, and this one is saved.
        pieces = deepcopy(tokenizer)(
            list(queries),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        for name in ("input_ids", "attention_mask"):
            self.register_buffer(name, pieces[name], persistent=False)

    def compute(self, pixels: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the best box of each of Q queries.

        Args:
            pixels (Tensor): float32 of shape (B, 3, side, side).

        Returns:
            tuple: Vectors (B, Q, D), relative boxes (B, Q, 4) and probabilities (B, Q).
        """
        from torchvision.ops import box_convert

        count = len(pixels)
        found = self.network(
            input_ids=self.input_ids.repeat(count, 1),
            attention_mask=self.attention_mask.repeat(count, 1),
            pixel_values=pixels,
        )
        scores, best = found.logits.float().sigmoid().max(dim=1)
        boxes = box_convert(found.pred_boxes.float(), "cxcywh", "xyxy").clamp(0, 1)
        posts = torch.arange(count, device=best.device).unsqueeze(1)
        vectors = found.class_embeds.float()[posts, best]
        return vectors.cpu().numpy(), boxes[posts, best].cpu().numpy(), scores.cpu().numpy()
