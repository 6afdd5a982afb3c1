"""Calibration: one temperature for the whole lattice, so that an entity of probability p is right
with probability p."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .crf import Lattice

#: A temperature lies between 1 / LIMIT and LIMIT: entities that are all wrong would ask for more.
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


def log_loss(
    batches: Sequence[Judged],
    temperature: float | Tensor,
    targets: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """How far the tempered probabilities of the entities are from which of them are right.

    batches (Sequence[Judged]): The entities, one at least.
    temperature (float or Tensor): A positive scalar.
    targets (tuple): The probability that a wrong one should have, and a right one.
    RETURNS (Tensor): Mean cross-entropy an entity, a scalar of float64.
    """
    losses = []
    of_wrong, of_right = targets
    for batch in batches:
        lattice = batch.lattice.tempered(temperature)
        log_right = lattice.span_log_probabilities(*batch.entities.T).clamp(max=-1e-12)
        log_wrong = torch.log(-torch.expm1(log_right))
        target = torch.where(batch.right, log_right.new_tensor(of_right), of_wrong)
        losses.append(-(target * log_right + (1 - target) * log_wrong))
    return torch.cat(losses).mean()


def fit_temperature(batches: Sequence[Judged]) -> float:
    """Find the temperature of the least log loss, to the targets of Platt (1999): some entities
    that are all right, or all but one, do not show that the next one is certain.

    batches (Sequence[Judged]): Entities of posts that the network was not trained on.
    RETURNS (float): The temperature, between 1 / LIMIT and LIMIT.
    """
    right = sum(int(batch.right.sum()) for batch in batches)
    wrong = sum(len(batch.right) for batch in batches) - right
    targets = 1 / (wrong + 2), (right + 1) / (right + 2)
    position = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([position], max_iter=50, line_search_fn="strong_wolfe")

    def temperature() -> Tensor:
        return LIMIT ** torch.tanh(position)

    def closure() -> float:
        optimizer.zero_grad()
        loss = log_loss(batches, temperature(), targets)
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    return float(temperature().detach())


def is_limit(temperature: float) -> bool:
    """RETURNS (bool): Whether entities asked for a temperature beyond the limits."""
    return not _MARGIN / LIMIT < temperature < LIMIT / _MARGIN
