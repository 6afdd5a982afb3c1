"""Calibration: one temperature for the whole lattice, so that an entity of probability p is right
with probability p."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .crf import Lattice

#: A temperature lies between 1 / LIMIT and LIMIT: entities that are all right would ask for 0.
LIMIT = 10.0

#: How near to a limit is at it.
_MARGIN = 1.1


@dataclass
class Judged:
    """The entities found in some sequences, and which of them are right.

    lattice (Lattice): The scores that they were found by, in double precision: single precision
        cannot tell 1 - p from 0 where p is near 1.
    entities (Tensor): int64 of shape (E, 4): sequence, first and last token, and type of each.
    right (Tensor): bool of shape (E,).
    """

    lattice: Lattice
    entities: Tensor
    right: Tensor


def log_loss(batches: Sequence[Judged], temperature: float | Tensor) -> Tensor:
    """How far the tempered probabilities of the entities are from which of them are right.

    batches (Sequence[Judged]): The entities, one at least.
    temperature (float or Tensor): A positive scalar.
    RETURNS (Tensor): Mean negative log-likelihood an entity, a scalar of float64.
    """
    losses = []
    for batch in batches:
        lattice = batch.lattice.tempered(temperature)
        log_right = lattice.span_log_probabilities(*batch.entities.T).clamp(max=-1e-12)
        log_wrong = torch.log(-torch.expm1(log_right))
        losses.append(-torch.where(batch.right, log_right, log_wrong))
    return torch.cat(losses).mean()


def fit_temperature(batches: Sequence[Judged]) -> float:
    """Find the temperature of the least log loss.

    batches (Sequence[Judged]): Entities of posts that the network was not trained on.
    RETURNS (float): The temperature, between 1 / LIMIT and LIMIT.
    """
    position = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([position], max_iter=50, line_search_fn="strong_wolfe")

    def temperature() -> Tensor:
        return LIMIT ** torch.tanh(position)

    def closure() -> float:
        optimizer.zero_grad()
        loss = log_loss(batches, temperature())
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    return float(temperature().detach())


def is_limit(temperature: float) -> bool:
    """RETURNS (bool): Whether entities asked for a temperature beyond the limits."""
    return not _MARGIN / LIMIT < temperature < LIMIT / _MARGIN
