"""Detected objects as regions, and their names as tags."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from PIL.Image import Image, Resampling
from pydantic import Field
from torch import Tensor

from ...settings import Name, Share
from ..features import Features, RegionFeatures
from .base import BatchSize, Classes, Most, NetworkExtractor, Precision
from .frozen import Frozen, without_weights
from .weights import (
    find_torchvision_weights,
    name_classes,
    torchvision_categories,
)

#: Detectors of torchvision whose box head gives one vector for each box.
Architecture = Literal[
    "fasterrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)

#: Sides of a batch are multiples of this.
_DIVISOR = 32


@dataclass(frozen=True)
class TorchvisionDetector(NetworkExtractor):
    """An extractor of regions and tags: a detector of torchvision, frozen.

    The regions are the whole picture and the best detections. Their vectors are those of the
    detector's box head. The tags are the names of the detected classes. Pictures keep their aspect
    ratio, so only pictures of the same padded size are in one batch. Masks are not computed.

    Attributes:
        weights (str): The name of the weights in torchvision, fetched by `initialize`, or a .pt,
            .pth or .safetensors file with the state of such a detector, with any number of classes.
        batch_size (int): Number of pictures in a batch of the network.
        architecture (str): One of `ARCHITECTURES`.
        classes (tuple): The names of the classes, without the background. None uses the
            names of COCO's classes, on which torchvision's weights were trained.
        max_regions (int): Maximum number of detections in a picture, besides the whole picture.
        min_score (float): Detections with this score or less are left out.
        tags (int): Maximum number of tags of a picture.
        min_size (int): The shorter side of a picture in pixels, inside the network. None uses the
            value of the architecture: 320 for the one with `320` in its name, else 800. The longer
            side is limited in proportion.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "DEFAULT"
    batch_size: BatchSize = 4
    architecture: Architecture = "fasterrcnn_resnet50_fpn_v2"
    classes: Classes | None = None
    max_regions: Most = 16
    min_score: Share = 0.3
    tags: Most = 5
    min_size: Annotated[int, Field(ge=_DIVISOR, le=4096)] | None = None
    precision: Precision = "float32"

    fills = ("regions", "tags")
    region_dim = 1024

    def _find(self) -> None:
        weights = without_masks(find_torchvision_weights(self.architecture, self.weights))
        _, *usual = torchvision_categories(self.architecture)  # the first is the background
        count = _count_classes(weights) - 1
        self._load(weights, name_classes(self.weights, count, self.classes, usual))

    def _build(self, weights: dict[str, Any]) -> "DetectorNetwork":
        return DetectorNetwork(
            self.architecture,
            weights,
            max_regions=self.max_regions,
            min_score=self.min_score,
            min_size=self.min_size,
            precision=self.precision,
        )

    def _batches(self, pictures: Sequence[Image]) -> Iterator[Sequence[int]]:
        # Padding changes features at the edge, so it must not depend on the rest of the batch.
        alike: dict[tuple[int, int], list[int]] = {}
        for row, picture in enumerate(pictures):
            alike.setdefault(self.network.padded_size(picture.size), []).append(row)
        for rows in alike.values():
            for start in range(0, len(rows), self.batch_size):
                yield rows[start : start + self.batch_size]

    def _extract(self, network: "DetectorNetwork", pictures: Sequence[Image]) -> Iterator[Features]:
        for detections in network(network.to_pixels(pictures)):
            names = [self._loaded.categories[index - 1] for index in detections.labels]
            regions = RegionFeatures(
                detections.vectors,
                detections.boxes,
                labels=["", *names],
                scores=[1.0, *detections.scores],
            )
            yield {"regions": regions, "tags": list(dict.fromkeys(names))[: self.tags]}


@dataclass
class Detections:
    """The detections of one picture.

    Attributes:
        vectors (np.ndarray): float32 of shape (1 + N, 1024), the whole picture first.
        boxes (np.ndarray): float32 of shape (1 + N, 4), relative to the picture.
        labels (list): N class numbers; 0 would be the background.
        scores (list): N probabilities, the best first.
    """

    vectors: np.ndarray
    boxes: np.ndarray
    labels: list[int]
    scores: list[float]


class DetectorNetwork(Frozen):
    """A frozen detector that also returns the vectors of its detections.

    Args:
        architecture (str): One of `ARCHITECTURES`.
        weights (dict): Its state, without the mask head.
        max_regions (int): Maximum number of detections in a picture.
        min_score (float): Detections with this score or less are left out.
        min_size (int): The shorter side of a picture; None for the value of the architecture.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        RuntimeError: If the weights are those of another network.
    """

    def __init__(
        self,
        architecture: str,
        weights: dict[str, Tensor],
        *,
        max_regions: int,
        min_score: float,
        min_size: int | None,
        precision: str,
    ) -> None:
        network = _build(architecture, _count_classes(weights))
        network.load_state_dict(weights, assign=True)
        super().__init__(network, precision)
        network.roi_heads.detections_per_img = max_regions
        network.roi_heads.score_thresh = min_score
        (usual_size,), limit = network.transform.min_size, network.transform.max_size
        self.min_size = min_size or usual_size
        self.max_size = round(limit * self.min_size / usual_size)
        self._settle_scales()

    def fitted_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height inside the network.

        Args:
            size (tuple): Width and height of a picture, in pixels.

        Returns:
            tuple: The same aspect ratio, as large as `min_size` and its limit allow.
        """
        scale = min(self.min_size / min(size), self.max_size / max(size))
        width, height = (max(1, round(side * scale)) for side in size)
        return width, height

    def padded_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the batch that a picture fits into.

        Args:
            size (tuple): Width and height of a picture, in pixels.

        Returns:
            tuple: Multiples of 32.
        """
        width, height = (-(-side // _DIVISOR) * _DIVISOR for side in self.fitted_size(size))
        return width, height

    def fit(self, picture: Image) -> Image:
        """Resize a picture to its fitted size.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: The resized picture; a copy if it has that size.
        """
        return picture.resize(self.fitted_size(picture.size), Resampling.BILINEAR)

    def to_pixels(self, pictures: Sequence[Image]) -> list[Tensor]:
        """Resize pictures.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size.

        Returns:
            list: uint8 tensors of shape (3, H, W), on the device of the network.
        """
        resized = [np.array(self.fit(picture)) for picture in pictures]
        return [torch.from_numpy(pixels).to(self.device).permute(2, 0, 1) for pixels in resized]

    def compute(self, pictures: list[Tensor]) -> list[Detections]:
        """Detect objects, and pool the box head's vectors from the same feature maps.

        Args:
            pictures (list): uint8 tensors of shape (3, H, W), of their fitted size.

        Returns:
            list: Detections in each picture.
        """
        from torchvision.models.detection.image_list import ImageList

        transform, heads = self.network.transform, self.network.roi_heads
        images = [transform.normalize(picture.float() / 255) for picture in pictures]
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        batch = ImageList(transform.batch_images(images, _DIVISOR), sizes)
        features = self.network.backbone(batch.tensors)
        proposals, _ = self.network.rpn(batch, features)
        found, _ = heads(features, proposals, sizes)
        edges = [batch.tensors.new_tensor([[w, h, w, h]]) for h, w in sizes]
        whole = batch.tensors.new_tensor([[0, 0, 1, 1]])
        boxes = [
            torch.cat([whole * edge, one["boxes"].float()])
            for edge, one in zip(edges, found, strict=True)
        ]
        vectors = heads.box_head(heads.box_roi_pool(features, boxes, sizes)).float()
        counts = [len(rows) for rows in boxes]
        return [
            Detections(
                vectors=rows.cpu().numpy(),
                boxes=(box / edge).clamp(0, 1).cpu().numpy(),
                labels=one["labels"].tolist(),
                scores=one["scores"].float().tolist(),
            )
            for rows, box, edge, one in zip(vectors.split(counts), boxes, edges, found, strict=True)
        ]

    def _settle_scales(self) -> None:
        """Run the pooling on a square first.

        The pooling computes the scales of its feature maps once, from its first input. From a thin
        picture, it would compute wrong scales for all later pictures.
        """
        side = 2 * _DIVISOR
        with torch.inference_mode():
            features = self.network.backbone(torch.zeros(1, 3, side, side))
            self.network.roi_heads.box_roi_pool(features, [torch.zeros(1, 4)], [(side, side)])


def without_masks(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the mask head, which is not used.

    Args:
        weights (dict): The state of a detector.

    Returns:
        dict: The state without the mask head.
    """
    return {n: tensor for n, tensor in weights.items() if not n.startswith("roi_heads.mask_")}


def _build(architecture: str, classes: int) -> Any:
    from torchvision.models import get_model

    settings = {"weights": None, "weights_backbone": None, "num_classes": classes}
    network = without_weights(get_model, architecture, **settings)
    # Anchors are no part of the state.
    anchors = network.rpn.anchor_generator
    anchors.cell_anchors = [
        anchors.generate_anchors(sizes, ratios)
        for sizes, ratios in zip(anchors.sizes, anchors.aspect_ratios, strict=True)
    ]
    heads = network.roi_heads
    heads.mask_roi_pool = heads.mask_head = heads.mask_predictor = None
    return network


def _count_classes(weights: dict[str, Tensor]) -> int:
    """The classes of a detector, the background included."""
    return len(weights["roi_heads.box_predictor.cls_score.bias"])
