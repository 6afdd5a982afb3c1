"""What goes into the network and what comes out, as dataclasses of tensors.

Letters for sizes: P posts, T tokens, W windows of text (a long post has several), N word pieces,
Q pictures, R regions, D region width, S views, K labels, Y entity types.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from .crf import Lattice

T = TypeVar("T")


@dataclass
class WordPieces:
    """A padded batch of word piece sequences.

    ids (Tensor): int64 of shape (B, N).
    mask (Tensor): bool of shape (B, N), False on padding.
    types (Tensor): int64 of shape (B, N), token type ids; None for encoders without them.
    """

    ids: Tensor
    mask: Tensor
    types: Tensor | None = None

    def rows(self, index: Tensor) -> "WordPieces":
        """The sequences at some rows, cut to the longest of them.

        index (Tensor): int64 of shape (B',).
        RETURNS (WordPieces): The rows, of shape (B', N') with N' <= N.
        """
        mask = self.mask[index]
        width = int(mask.sum(1).max()) if len(index) else 0
        types = None if self.types is None else self.types[index, :width]
        return WordPieces(self.ids[index, :width], mask[:, :width], types)


@dataclass
class Regions:
    """Region vectors of a batch of posts.

    vectors (Tensor): float of shape (P, R, D); one of the regions is the whole picture.
    boxes (Tensor): float of shape (P, R, 4): x1, y1, x2, y2 relative to the picture.
    mask (Tensor): bool of shape (P, R); a row without True is a post without a picture.
    """

    vectors: Tensor
    boxes: Tensor
    mask: Tensor


@dataclass
class Pictures:
    """Pictures whose regions are made by a backbone that trains with the network.

    pixels (Tensor): uint8 of shape (Q, H, W, 3).
    post (Tensor): int64 of shape (Q,): the post that each belongs to. It has as many regions as the
        backbone makes; their vectors in `Regions` are overwritten.
    """

    pixels: Tensor
    post: Tensor


@dataclass
class MsvseInputs:
    """A batch of posts.

    text (WordPieces): Windows of text, of shape (W, N).
    joint (WordPieces): The same windows with the joint views behind the text, of shape (W, N');
        the text stands at the same positions as in `text`. The rows of posts without a joint view
        equal those of `text`.
    window_post (Tensor): int64 of shape (W,): the post each window belongs to.
    token_window (Tensor): int64 of shape (P, T): the window each token is read from.
    token_piece (Tensor): int64 of shape (P, T): the first word piece of each token in that window;
        -1 for a token that no window holds.
    token_mask (Tensor): bool of shape (P, T), False on padding.
    views (dict): View name to its word pieces without special ones, of shape (P, N); an absent
        view is a row without True in its mask.
    regions (Regions): Region vectors; None if no post of the batch has any.
    pictures (Pictures): For a network with a backbone; None if no post needs it.
    """

    text: WordPieces
    joint: WordPieces
    window_post: Tensor
    token_window: Tensor
    token_piece: Tensor
    token_mask: Tensor
    views: dict[str, WordPieces] = field(default_factory=dict)
    regions: Regions | None = None
    pictures: Pictures | None = None


@dataclass
class MsvseTargets:
    """What the posts of a batch should be labelled as.

    allowed (Tensor): bool of shape (P, T, K): the labels each token may have. One for a known
        label, all for a missing one, which is then marginalised.
    types (Tensor): float of shape (P, Y): 1 for each entity type that occurs in the post.
    types_known (Tensor): bool of shape (P, Y): False where missing labels leave open whether the
        type occurs.
    """

    allowed: Tensor
    types: Tensor
    types_known: Tensor


@dataclass
class MsvseOutputs:
    """What the network makes of a batch of posts.

    multimodal (Lattice): Scores of the CRF over the multimodal text representation.
    text (Lattice): Scores of the CRF over the text features; None without the multi-task decoder.
    visual_logits (Tensor): float of shape (P, S, Y): the visual entity classifier's logits by view
        of `prefix_views`; None without the classifier.
    visual_mask (Tensor): bool of shape (P, S): the views that are present.
    """

    multimodal: Lattice
    text: Lattice | None
    visual_logits: Tensor | None
    visual_mask: Tensor


@dataclass
class MsvseLoss:
    """The terms of the loss, each a mean within a post, summed over posts and divided by
    `loss_divisor`; and their weighted sum, which carries the gradient.

    total (Tensor): The weighted sum.
    multimodal (Tensor): Negative log-likelihood a token, multimodal CRF.
    text (Tensor): Negative log-likelihood a token, text CRF.
    tie (Tensor): Kullback-Leibler divergence of the CRFs' marginals, a token.
    visual (Tensor): Binary cross-entropy a present view, visual entity classifier.
    """

    total: Tensor
    multimodal: Tensor
    text: Tensor
    tie: Tensor
    visual: Tensor


def to_device(batch: T, device: torch.device | str) -> T:
    """Move every tensor of a (nested) dataclass, without waiting for the copies to a GPU.

    batch (Any): One of the dataclasses above.
    device (torch.device): Where to.
    RETURNS (Any): A dataclass of the same type.
    """

    to_gpu = torch.device(device).type == "cuda"

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            if to_gpu and value.device.type == "cpu":
                # Only pinned memory is copied while the program goes on.
                value = value.pin_memory()
            return value.to(device, non_blocking=to_gpu)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return type(value)(**{f.name: move(getattr(value, f.name)) for f in fields(value)})
        return value

    return move(batch)
