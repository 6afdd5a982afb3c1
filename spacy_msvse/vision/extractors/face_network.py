"""MTCNN: three small networks that find faces, one after the other. Imports torch.

Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks (IEEE Signal Processing Letters 23(10), 2016). The layers are stated in the paper. Names of
layers and the thresholds are those of facenet-pytorch, so that its weights can be loaded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_area, nms, roi_align

from .frozen import Frozen, without_weights

#: Width of the last hidden layer of the third network.
WIDTH = 256

#: The first network reads windows of this size, in steps of `_STEP`.
_WINDOW, _STEP = 12, 2
#: Sizes of the windows that the second and the third network read.
_SIDES = (24, 48)
#: Ratio of two sizes of the picture in the pyramid of the first network.
_FACTOR = 0.709
#: Minimum probabilities of the first and the second network.
_MIN_SCORES = (0.6, 0.7)
#: Boxes with more overlap are one box: within a size of the picture, and afterwards.
_SAME_SIZE_OVERLAP, _OVERLAP = 0.5, 0.7
#: Maximum number of boxes that a network gets. Pictures of noise, or wrong weights, have many.
_MOST = 512


@dataclass
class Faces:
    """The faces of one picture, the largest first.

    Attributes:
        vectors (np.ndarray): float32 of shape (N, WIDTH).
        boxes (np.ndarray): float32 of shape (N, 4), relative to the picture.
        scores (list): N probabilities.
    """

    vectors: np.ndarray
    boxes: np.ndarray
    scores: list[float]


class FaceNetwork(Frozen):
    """The three networks, frozen.

    Args:
        weights (dict): Their state, by the names that facenet-pytorch's MTCNN gives them.
        min_score (float): Minimum probability of the third network.
        min_face (int): Side of the smallest face, in pixels of the resized picture.
        max_size (int): Maximum length of the longer side. Larger pictures are shrunk.

    Raises:
        RuntimeError: If the weights are those of another network.
    """

    def __init__(
        self, weights: dict[str, Tensor], *, min_score: float, min_face: int, max_size: int
    ) -> None:
        network = without_weights(_Cascade)
        # The last layer of the third network finds eyes, nose and mouth, which are not used.
        used = {n: one for n, one in weights.items() if not n.startswith("onet.dense6_3.")}
        network.load_state_dict(used, assign=True)
        super().__init__(network)
        self.min_score, self.min_face, self.max_size = min_score, min_face, max_size

    def fit(self, picture: Image) -> Image:
        """Shrink a picture to at most `max_size`.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: The smaller picture; a copy if it is small enough.
        """
        scale = min(1.0, self.max_size / max(picture.size))
        width, height = (max(1, round(side * scale)) for side in picture.size)
        return picture.resize((width, height), Resampling.BILINEAR)

    def to_pixels(self, picture: Image) -> Tensor:
        """Shrink and normalise a picture.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Tensor: float32 of shape (1, 3, H, W), on the device of the network.
        """
        pixels = torch.from_numpy(np.array(self.fit(picture))).to(self.device)
        return (pixels.permute(2, 0, 1)[None].float() - 127.5) / 128

    def compute(self, pixels: Tensor) -> Faces:
        """Find the faces of one picture.

        Args:
            pixels (Tensor): float32 of shape (1, 3, H, W).

        Returns:
            Faces: The faces.
        """
        boxes, scores = self._propose(pixels)
        vectors = pixels.new_zeros(len(boxes), WIDTH)
        stages = (self.network.rnet, self.network.onet)
        for stage, side, least in zip(
            stages, _SIDES, (_MIN_SCORES[1], self.min_score), strict=True
        ):
            squares = _square(boxes)
            windows = roi_align(pixels, [squares], side, aligned=True)
            vectors, scores, moves = stage(windows)
            kept = torch.nonzero(scores >= least).flatten()
            boxes = _move(squares[kept], moves[kept])
            vectors, scores = vectors[kept], scores[kept]
            best = nms(boxes, scores, _OVERLAP)[:_MOST]
            boxes, vectors, scores = boxes[best], vectors[best], scores[best]
        return _sort(pixels, vectors, boxes, scores)

    def _propose(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and probabilities by the first network, which reads the picture in many sizes."""
        found = [(pixels.new_zeros(0, 4), pixels.new_zeros(0))]
        for size in self._sizes(pixels.shape[2], pixels.shape[3]):
            _, (scores,), (moves,) = self.network.pnet(
                functional.interpolate(pixels, size, mode="area")
            )
            rows, columns = torch.nonzero(scores >= _MIN_SCORES[0], as_tuple=True)
            scores, moves = scores[rows, columns], moves[:, rows, columns].T
            scores, best = scores.topk(min(len(scores), _MOST))
            corners = _STEP * torch.stack([columns, rows], dim=1)[best]
            windows = torch.cat([corners, corners + _WINDOW], dim=1).float()
            boxes = _move(windows * _scale(pixels, size), moves[best])
            best = nms(boxes, scores, _SAME_SIZE_OVERLAP)
            found.append((boxes[best], scores[best]))
        boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        best = nms(boxes, scores, _OVERLAP)[:_MOST]
        return boxes[best], scores[best]

    def _sizes(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Sizes of the picture in which the first network reads it, the largest first."""
        scale = _WINDOW / self.min_face
        while min(height, width) * scale >= _WINDOW:
            yield ceil(height * scale), ceil(width * scale)
            scale *= _FACTOR


class _Cascade(nn.Module):
    """The three networks: of proposals, of refinement, and of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet = _Stage([(10, 3, 2), (16, 3, 0), (32, 3, 0)], None)
        self.rnet = _Stage([(28, 3, 3), (48, 3, 3), (64, 2, 0)], (576, 128))
        self.onet = _Stage([(32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)], (1152, WIDTH))


class _Stage(nn.Module):
    """One network: convolutions, possibly a dense layer, and two heads.

    Args:
        layers (Sequence): Of each convolution: channels, size of the kernel, and size of the
            following pooling or 0.
        dense (tuple): Widths of input and output of the dense layer; None if the network is
            convolutional throughout, so that it reads pictures of any size.
    """

    def __init__(self, layers: Sequence[tuple[int, int, int]], dense: tuple[int, int] | None):
        super().__init__()
        self.pools = [pool for _, _, pool in layers]
        self.dense = len(layers) + 1 if dense else None
        width, head = 3, len(layers) + 1
        for number, (channels, kernel, _) in enumerate(layers, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(width, channels, kernel))
            self.add_module(f"prelu{number}", nn.PReLU(channels))
            width = channels
        if dense:
            self.add_module(f"dense{head}", nn.Linear(*dense))
            self.add_module(f"prelu{head}", nn.PReLU(dense[1]))
            width, head = dense[1], head + 1
        self.heads = [f"{'dense' if dense else 'conv'}{head}_{number}" for number in (1, 2)]
        for name, outputs in zip(self.heads, (2, 4), strict=True):
            self.add_module(
                name, nn.Linear(width, outputs) if dense else nn.Conv2d(width, outputs, 1)
            )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last hidden layer, the probability of a face, and the four edges of its box.

        Args:
            pixels (Tensor): float32 of shape (B, 3, H, W).

        Returns:
            tuple: Of shapes (B, D), (B,) and (B, 4); of a convolutional network (B, D, h, w),
                (B, h, w) and (B, 4, h, w). An edge is relative to that of the window, in sizes of
                the window.
        """
        layer: Any = self.get_submodule
        hidden = pixels
        for number, pool in enumerate(self.pools, start=1):
            hidden = layer(f"prelu{number}")(layer(f"conv{number}")(hidden))
            if pool:
                hidden = functional.max_pool2d(hidden, pool, stride=2, ceil_mode=True)
        if self.dense:
            # The published weights expect columns before rows before channels.
            hidden = layer(f"dense{self.dense}")(hidden.permute(0, 3, 2, 1).flatten(1))
            hidden = layer(f"prelu{self.dense}")(hidden)
        classes, edges = (layer(name)(hidden) for name in self.heads)
        return hidden, classes.softmax(dim=1)[:, 1], edges


def _scale(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels of the picture for each pixel of its copy of another size: for x, y, x, y."""
    height, width = pixels.shape[2] / size[0], pixels.shape[3] / size[1]
    return pixels.new_tensor([width, height, width, height])


def _move(boxes: Tensor, moves: Tensor) -> Tensor:
    """Move the edges of boxes by shares of their sizes."""
    return boxes + moves * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def _square(boxes: Tensor) -> Tensor:
    """The squares around the centres of boxes, with the longer side of each."""
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.cat([centres - half, centres + half], dim=1)


def _sort(pixels: Tensor, vectors: Tensor, boxes: Tensor, scores: Tensor) -> Faces:
    """The faces with relative boxes, the largest first. Boxes inside of another are left out."""
    height, width = pixels.shape[2:]
    boxes = (boxes / boxes.new_tensor([width, height, width, height])).clamp(0, 1)
    areas = box_area(boxes)
    kept: list[int] = []
    for row in scores.argsort(descending=True, stable=True).tolist():
        # A face of no size lies outside of the picture.
        if areas[row] > 0 and not _inside(boxes[row], boxes[kept]).any():
            kept.append(row)
    kept.sort(key=lambda row: -float(areas[row]))
    return Faces(
        vectors[kept].cpu().numpy(), boxes[kept].cpu().numpy(), scores[kept].cpu().tolist()
    )


def _inside(box: Tensor, others: Tensor) -> Tensor:
    """Whether a box and each of the others share most of the smaller one."""
    sides = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])
    smaller = torch.minimum(box_area(box[None]), box_area(others))
    return sides.clamp(min=0).prod(dim=1) > _OVERLAP * smaller
