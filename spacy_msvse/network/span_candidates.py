"""All short spans of posts as candidates for entities, and their gold types."""

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


def span_types(allowed: Tensor, mask: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """The gold type of each span.

    Args:
        allowed (Tensor): bool of shape (P, T, K): the allowed labels, in the order of `bio_labels`.
        mask (Tensor): bool of shape (P, T).
        spans (Tensor): int64 of shape (S, 3).

    Returns:
        tuple: int64 of shape (S,), the type, or the number of types for no entity; and bool of
            shape (S,), False if a label that decides it is missing.
    """
    num_types = (allowed.shape[2] - 1) // 2
    known = (allowed.sum(dim=2) == 1) | ~mask
    labels = allowed.int().argmax(dim=2).masked_fill(~mask, 0)
    # One token more, without an entity, stands after the last.
    labels = torch.nn.functional.pad(labels, (0, 1))
    known = torch.nn.functional.pad(known, (0, 1), value=True)
    post, start, end = spans.unbind(dim=1)
    first = labels[post, start]
    types = (first - 1) // 2
    inside = first + 1
    # From the first token, the span goes on while the labels are I of the same type.
    positions = torch.arange(labels.shape[1], device=spans.device)
    within = (positions > start[:, None]) & (positions < end[:, None])
    goes_on = ((labels[post] == inside[:, None]) | ~within).all(dim=1)
    ends = labels[post, end] != inside
    is_entity = (first % 2 == 1) & goes_on & ends
    touched = within | (positions == start[:, None]) | (positions == end[:, None])
    decided = (known[post] | ~touched).all(dim=1)
    return torch.where(is_entity, types, num_types), decided
