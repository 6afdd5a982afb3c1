"""Distributions over the entities of a batch of posts: the interface, and lists of scored spans."""

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

Self = TypeVar("Self", bound="SpanDistribution")


class SpanDistribution(Protocol):
    """A distribution over the entities of each post of a batch.

    An entity is a row of int64: post, first token, token after the last, and index of its type.
    """

    def best_entities(self) -> Tensor:
        """The best entities of each post.

        Returns:
            Tensor: int64 of shape (E, 4), ordered by post and first token.
        """
        ...

    def span_log_probabilities(self, entities: Tensor) -> Tensor:
        """Log-probability of each entity: exactly these tokens, exactly this type.

        Args:
            entities (Tensor): int64 of shape (E, 4).

        Returns:
            Tensor: float of shape (E,).
        """
        ...

    def tempered(self: Self, temperature: float | Tensor) -> Self:
        """Divide all scores by a temperature. The best entities stay the same.

        Args:
            temperature (float or Tensor): A positive scalar, or one for each post, of shape (P,);
                above 1, probabilities become more even.

        Returns:
            SpanDistribution: The tempered distribution.
        """
        ...

    def double(self: Self) -> Self:
        """Copy the scores in double precision, detached from the network.

        Returns:
            SpanDistribution: The copy; in main memory if the device has no double precision.
        """
        ...


@runtime_checkable
class RatesAbsence(Protocol):
    """A distribution that also says how sure it is where it finds no entity."""

    def absence_log_probabilities(self, entities: Tensor, posts: int) -> Tensor:
        """The least certain place without an entity.

        Args:
            entities (Tensor): int64 of shape (E, 4): the best entities.
            posts (int): Number of posts.

        Returns:
            Tensor: float of shape (P,): for each post the lowest log-probability, over all places
                without one of the entities, that there is no entity. 0 if there is no such place.
        """
        ...


@dataclass
class ScoredSpans:
    """Candidate spans, each with a score for every type and for being no entity.

    The best entities are chosen in order of probability. A candidate that overlaps a chosen one is
    dropped.

    Attributes:
        spans (Tensor): int64 of shape (S, 3): post, first token, token after the last. No span
            occurs twice.
        scores (Tensor): float of shape (S, Y + 1): unnormalised scores, the last one for no entity.
    """

    spans: Tensor
    scores: Tensor

    def best_entities(self) -> Tensor:
        """The best entities: the most probable candidates without overlap.

        Returns:
            Tensor: int64 of shape (E, 4).
        """
        probabilities = self.scores.softmax(dim=1)
        best, labels = probabilities.max(dim=1)
        none = self.scores.shape[1] - 1
        order = torch.argsort(best, descending=True, stable=True)
        rows, types = self.spans.tolist(), labels.tolist()
        taken: set[tuple[int, int]] = set()
        entities = []
        for index in order.tolist():
            post, start, end = rows[index]
            tokens = {(post, token) for token in range(start, end)}
            if types[index] != none and taken.isdisjoint(tokens):
                taken |= tokens
                entities.append((post, start, end, types[index]))
        return torch.tensor(sorted(entities), dtype=torch.long, device=self.spans.device).view(
            -1, 4
        )

    def span_log_probabilities(self, entities: Tensor) -> Tensor:
        """Log-probability of each entity: -inf for one that is no candidate.

        Args:
            entities (Tensor): int64 of shape (E, 4).

        Returns:
            Tensor: float of shape (E,).
        """
        log_probabilities = self.scores.log_softmax(dim=1)
        row_of = {tuple(span): row for row, span in enumerate(self.spans.tolist())}
        found = [row_of.get((post, start, end)) for post, start, end, _ in entities.tolist()]
        entities = entities.to(log_probabilities.device)
        rows = torch.tensor([row or 0 for row in found], dtype=torch.long, device=entities.device)
        missing = torch.tensor([row is None for row in found], device=entities.device)
        if not len(rows):
            return log_probabilities.new_zeros(0)
        return log_probabilities[rows, entities[:, 3]].masked_fill(missing, -torch.inf)

    def absence_log_probabilities(self, entities: Tensor, posts: int) -> Tensor:
        """The least certain candidate that is not one of the entities.

        Args:
            entities (Tensor): int64 of shape (E, 4): the best entities.
            posts (int): Number of posts.

        Returns:
            Tensor: float of shape (P,): for each post the lowest log-probability that such a
                candidate is no entity; 0 if there is none.
        """
        found = {(post, start, end) for post, start, end, _ in entities.tolist()}
        others = [row for row, span in enumerate(self.spans.tolist()) if tuple(span) not in found]
        absent = self.scores.log_softmax(dim=1)[others, -1]
        lowest = absent.new_zeros(posts)
        return lowest.scatter_reduce(0, self.spans[others, 0], absent, "amin")

    def tempered(self, temperature: float | Tensor) -> "ScoredSpans":
        """Divide all scores by a temperature.

        Args:
            temperature (float or Tensor): A positive scalar, or one for each post, of shape (P,).

        Returns:
            ScoredSpans: The tempered spans.
        """
        own = torch.as_tensor(temperature, dtype=self.scores.dtype, device=self.scores.device)
        return replace(self, scores=self.scores / (own[self.spans[:, :1]] if own.ndim else own))

    def double(self) -> "ScoredSpans":
        """Copy the scores in double precision, detached from the network.

        Returns:
            ScoredSpans: The copy.
        """
        device = double_device(self.spans.device)
        scores = self.scores.detach().to(device, torch.double, copy=True)
        return ScoredSpans(self.spans.to(device, copy=True), scores)


def double_device(device: torch.device) -> torch.device:
    """The nearest device with double precision.

    Args:
        device (torch.device): A device.

    Returns:
        torch.device: The CPU for Apple's GPU, which has no double precision; else the same device.
    """
    return torch.device("cpu") if device.type == "mps" else device
