"""The training posts that are nearest to a post, by text or by picture."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Width of the vector of a text: its word pieces, counted in so many buckets.
BUCKETS = 1024

#: A training post that is as near as this is the post itself, or a copy.
SAME = 1 - 1e-3


class PostIndex(nn.Module):
    """Texts and pictures of the training posts. It is saved with the weights, and not trained.

    A text is compared by the words in it, the rare ones more than the frequent ones; a picture by
    the mean of its region vectors. Both by the cosine.
    """

    texts: Tensor
    pictures: Tensor
    frequencies: Tensor

    def __init__(self, region_dim: int) -> None:
        super().__init__()
        self.register_buffer("texts", torch.zeros(0, BUCKETS, dtype=torch.half))
        self.register_buffer("pictures", torch.zeros(0, region_dim, dtype=torch.half))
        self.register_buffer("frequencies", torch.zeros(BUCKETS))

    def __len__(self) -> int:
        return len(self.texts)

    @torch.no_grad()
    def fill(self, texts: Tensor, pictures: Tensor) -> None:
        """Replace the posts.

        Args:
            texts (Tensor): Counts of word pieces, as `count_pieces` returns them, of shape (N,
                BUCKETS).
            pictures (Tensor): Mean region vectors, float of shape (N, D).
        """
        self.frequencies = (texts != 0).sum(dim=0).float()
        self.texts, self.pictures = texts.half(), pictures.half()

    @torch.no_grad()
    def nearest(self, texts: Tensor, pictures: Tensor, k: int) -> list[tuple[Tensor, Tensor]]:
        """Find the nearest posts by text, and the nearest by picture. A post that equals the given
        one is left out.

        Args:
            texts (Tensor): Counts of word pieces, of shape (P, BUCKETS).
            pictures (Tensor): Mean region vectors, float of shape (P, D).
            k (int): How many posts.

        Returns:
            list: For text and picture: mean region vectors of the posts, the nearest first, float
                of shape (P, k', D), and their similarities of shape (P, k') with k' <= k.
        """
        weights = (1 + len(self) / (1 + self.frequencies)).log()
        pairs = [
            (texts.to(weights) * weights, self.texts.float() * weights),
            (pictures.float(), self.pictures.float()),
        ]
        found = []
        for own, others in pairs:
            own, others = functional.normalize(own, dim=1), functional.normalize(others, dim=1)
            scores = own @ others.T
            scores = scores.masked_fill(scores > SAME, -2.0)
            similarity, index = scores.topk(min(k, len(self)), dim=1)
            found.append((self.pictures[index].to(pictures.dtype), similarity))
        return found

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        # A saved index has any number of posts.
        for name in ("texts", "pictures"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.empty_like(saved))
        super()._load_from_state_dict(state_dict, prefix, *args)


def count_pieces(ids: Tensor, mask: Tensor, owners: Tensor, posts: int) -> Tensor:
    """Count the word pieces of posts in buckets, with a sign, so that pieces of one bucket differ.

    Args:
        ids (Tensor): int64 of shape (W, N): ids of word pieces.
        mask (Tensor): bool of shape (W, N).
        owners (Tensor): int64 of shape (W,): the post of each row.
        posts (int): Number of posts P.

    Returns:
        Tensor: float of shape (P, BUCKETS).
    """
    mixed = ids * 2654435761 % 4294967296  # a multiplicative hash of 32 bits
    bucket, sign = mixed // 1024 % BUCKETS, (mixed // (1024 * BUCKETS) % 2) * 2 - 1
    counts = torch.zeros(posts, BUCKETS, device=ids.device)
    rows = owners[:, None].expand_as(ids)
    return counts.index_put((rows, bucket), (sign * mask).float(), accumulate=True)
