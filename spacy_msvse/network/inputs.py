"""Inputs, targets, outputs and losses of a network, as dataclasses of tensors.

Letters for sizes: P posts, T tokens, W windows of text (a long post has several), N word pieces,
Q pictures, R regions, D region width, K labels, Y entity types, E entities.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from .spans import SpanDistribution

T = TypeVar("T")


@dataclass
class WordPieces:
    """A padded batch of word piece sequences.

    Attributes:
        ids (Tensor): int64 of shape (B, N).
        mask (Tensor): bool of shape (B, N), False on padding.
        token_types (Tensor): int64 of shape (B, N), token type ids; None for encoders without them.
    """

    ids: Tensor
    mask: Tensor
    token_types: Tensor | None = None

    def rows(self, index: Tensor) -> "WordPieces":
        """Select sequences, and cut them to the longest of them.

        Args:
            index (Tensor): int64 of shape (B',).

        Returns:
            WordPieces: The rows, of shape (B', N') with N' <= N.
        """
        mask = self.mask[index]
        width = int(mask.sum(1).max()) if len(index) else 0
        types = None if self.token_types is None else self.token_types[index, :width]
        return WordPieces(self.ids[index, :width], mask[:, :width], types)


@dataclass
class Regions:
    """Region vectors of a batch of posts.

    Attributes:
        vectors (Tensor): float of shape (P, R, D).
        boxes (Tensor): float of shape (P, R, 4): x1, y1, x2, y2, relative to the region's picture.
        mask (Tensor): bool of shape (P, R). The row of a post without regions is False everywhere.
        pictures (Tensor): int64 of shape (P, R): the number of each region's picture within the
            post. The regions of a picture follow each other, in the order of the pictures. 0 for
            all regions if it is not given.
    """

    vectors: Tensor
    boxes: Tensor
    mask: Tensor
    pictures: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.pictures is None:
            self.pictures = torch.zeros_like(self.mask, dtype=torch.long)

    def places(self) -> Tensor:
        """The place of each region within its picture, from 0: int64 of shape (P, R)."""
        columns = torch.arange(self.mask.shape[1], device=self.mask.device)
        columns = columns.expand_as(self.pictures)
        starts = torch.ones_like(self.mask)
        starts[:, 1:] = self.pictures[:, 1:] != self.pictures[:, :-1]
        return columns - (columns * starts).cummax(dim=1).values

    def same_picture(self) -> Tensor:
        """Whether two regions are of the same picture: bool of shape (P, R, R)."""
        return self.pictures.unsqueeze(2) == self.pictures.unsqueeze(1)


@dataclass
class Pictures:
    """Pictures whose region vectors are computed by a backbone that trains with the network.

    Attributes:
        pixels (Tensor): uint8 of shape (Q, H, W, 3).
        post (Tensor): int64 of shape (Q,): the post of each picture.
        start (Tensor): int64 of shape (Q,): the column in `Regions` of the first region of each
            picture. The backbone's vectors replace those from there on.
    """

    pixels: Tensor
    post: Tensor
    start: Tensor


@dataclass
class Inputs:
    """A batch of posts. Views are dictionaries by name.

    Attributes:
        text (WordPieces): Windows of text, of shape (W, N).
        joint (WordPieces): The same windows with the joint views after the text, of shape (W, N').
            The text is at the same positions as in `text`. The row of a post without a joint view
            equals its row in `text`.
        window_post (Tensor): int64 of shape (W,): the post of each window.
        token_window (Tensor): int64 of shape (P, T): the window that each token is read from.
        token_piece (Tensor): int64 of shape (P, T): the first word piece of each token in that
            window; -1 for a token that is in no window.
        token_mask (Tensor): bool of shape (P, T), False on padding.
        joint_spans (dict): Joint view to int64 of shape (W, 2): its first column in `joint` and the
            column after its last. Both are equal where it is absent.
        texts (dict): Textual view to its word pieces without special ones, of shape (P, N). The row
            of an absent view is False in its mask.
        vectors (dict): View to its region vectors. A view that no post of the batch has may be
            missing.
        pictures (dict): View to the pictures of which a backbone computes its vectors.
        queries (WordPieces): The texts that the network puts before the text, with their special
            pieces, of shape (queries, N); None if it reads none.
    """

    text: WordPieces
    joint: WordPieces
    window_post: Tensor
    token_window: Tensor
    token_piece: Tensor
    token_mask: Tensor
    joint_spans: dict[str, Tensor] = field(default_factory=dict)
    texts: dict[str, WordPieces] = field(default_factory=dict)
    vectors: dict[str, Regions] = field(default_factory=dict)
    pictures: dict[str, Pictures] = field(default_factory=dict)
    queries: WordPieces | None = None

    def present(self, view: str) -> Tensor:
        """Which posts have a view, in any form.

        Args:
            view (str): Name of the view.

        Returns:
            Tensor: bool of shape (P,).
        """
        found = self.token_mask.new_zeros(len(self.token_mask))
        if view in self.texts:
            found |= self.texts[view].mask.any(dim=1)
        if view in self.vectors:
            found |= self.vectors[view].mask.any(dim=1)
        if view in self.joint_spans:
            first, end = self.joint_spans[view].unbind(dim=1)
            found[self.window_post[end > first]] = True
        return found


@dataclass
class Targets:
    """Gold labels of a batch of posts. Labels are in the order of `bio_labels`: O, then B and I of
    each type.

    Attributes:
        allowed (Tensor): bool of shape (P, T, K): the labels that each token may have. One for a
            known label, all for a missing one, which is then marginalised.
        entity_types (Tensor): float of shape (P, Y): 1 for each entity type that occurs in the
            post.
        types_known (Tensor): bool of shape (P, Y): False if it is not known whether the type
            occurs, because of missing labels.
        boxes (Tensor): float of shape (P, G, 4): boxes that annotators drew around what an entity
            names, relative to their picture; None if the posts have none.
        box_types (Tensor): int64 of shape (P, G): the entity type of each box, -1 for padding.
        box_pictures (Tensor): int64 of shape (P, G): the number of each box's picture.
    """

    allowed: Tensor
    entity_types: Tensor
    types_known: Tensor
    boxes: Tensor | None = None
    box_types: Tensor | None = None
    box_pictures: Tensor | None = None


@dataclass
class Outputs:
    """Outputs of a network for a batch of posts.

    Attributes:
        answer (SpanDistribution): Scores of the entities, such as the lattice of a CRF.
        others (dict): Further scores by name, such as those of a second CRF.
        view_types (dict): View to the logits of the entity types that it shows, float of shape (P,
            Y).
        present (dict): View to bool of shape (P,): the posts that have the view.
        attention (dict): View to float of shape (P, T, R): the attention of each token to each
            vector of the view. Empty outside of `Network.recording_attention`.
        extra (dict): Further tensors by name, which the loss of the method needs.
    """

    answer: SpanDistribution
    others: dict[str, SpanDistribution] = field(default_factory=dict)
    view_types: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, Tensor] = field(default_factory=dict)
    attention: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Loss:
    """Loss of a batch. Each term is a mean within a post, summed over posts and divided by
    `NetworkConfig.loss_divisor`.

    Attributes:
        total (Tensor): The weighted sum of the terms, a scalar to differentiate.
        terms (dict): Name to unweighted term, a scalar.
    """

    total: Tensor
    terms: dict[str, Tensor]


def to_device(batch: T, device: torch.device | str) -> T:
    """Move every tensor of a (nested) dataclass, without waiting for the copies to a GPU.

    Args:
        batch (Any): An instance of a dataclass of this module.
        device (torch.device): The device.

    Returns:
        Any: A dataclass of the same type.
    """

    to_gpu = torch.device(device).type == "cuda"

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            if to_gpu and value.device.type == "cpu":
                # Only copies from pinned memory run in the background.
                value = value.pin_memory()
            return value.to(device, non_blocking=to_gpu)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return type(value)(**{f.name: move(getattr(value, f.name)) for f in fields(value)})
        return value

    moved: T = move(batch)
    return moved
