"""All short spans of posts as candidates for entities, and what they are by the gold labels."""

import torch
from torch import Tensor


def list_spans(mask: Tensor, max_tokens: int) -> Tensor:
    """All spans of at most so many tokens.

    Args:
        mask (Tensor): bool of shape (P, T), the tokens of each post before all padding.
        max_tokens (int): The greatest length of a span.

    Returns:
        Tensor: int64 of shape (S, 3): post, first token, token after the last; ordered by them.
    """
    lengths = mask.sum(dim=1)
    starts = torch.arange(mask.shape[1], device=mask.device)
    sizes = torch.arange(1, max_tokens + 1, device=mask.device)
    ends = starts[:, None] + sizes[None, :]
    post, start, size = (ends[None] <= lengths[:, None, None]).nonzero().unbind(dim=1)
    return torch.stack([post, start, start + size + 1], dim=1)


def span_means(vectors: Tensor, spans: Tensor) -> Tensor:
    """The mean of the vectors of each span.

    Args:
        vectors (Tensor): float of shape (P, T, d).
        spans (Tensor): int64 of shape (S, 3).

    Returns:
        Tensor: float of shape (S, d).
    """
    total = torch.nn.functional.pad(vectors.cumsum(dim=1), (0, 0, 1, 0))
    post, start, end = spans.unbind(dim=1)
    return (total[post, end] - total[post, start]) / (end - start).unsqueeze(1)


def span_choices(allowed: Tensor, mask: Tensor, spans: Tensor) -> Tensor:
    """The choices that the gold labels leave for each span: an entity of a type, or no entity.

    Args:
        allowed (Tensor): bool of shape (P, T, K): the allowed labels, in the order of `bio_labels`.
        mask (Tensor): bool of shape (P, T).
        spans (Tensor): int64 of shape (S, 3).

    Returns:
        Tensor: bool of shape (S, Y + 1), the last column for no entity. A span of which the gold
            labels are known has one choice; one of which they say nothing has all.
    """
    # Padding, and one token more after the last, are outside of all entities.
    outside = torch.zeros_like(allowed[:1, :1])
    outside[..., 0] = True
    allowed = torch.where(mask.unsqueeze(2), allowed, outside)
    allowed = torch.cat([allowed, outside.expand(len(allowed), 1, -1)], dim=1)
    post, start, end = spans.unbind(dim=1)

    def runs(labels: Tensor) -> Tensor:
        """Whether each span has B and then I of a type, where these labels are true."""
        begins, insides = labels[..., 1::2], labels[..., 2::2]
        breaks = (~insides).cumsum(dim=1)
        return begins[post, start] & (breaks[post, end - 1] == breaks[post, start])

    going_on = allowed[..., 2::2][post, end]
    others = allowed.sum(dim=2)[post, end].unsqueeze(1) - going_on.int()
    possible = runs(allowed) & (others > 0)
    certain = runs(allowed & (allowed.sum(dim=2, keepdim=True) == 1)) & ~going_on
    return torch.cat([possible, ~certain.any(dim=1, keepdim=True)], dim=1)
