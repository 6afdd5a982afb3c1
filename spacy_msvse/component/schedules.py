"""Learning rate schedules for [training.optimizer]."""

from collections.abc import Iterator
from itertools import count
from typing import Annotated

from pydantic import Field

from ..settings import checked

#: A learning rate.
Rate = Annotated[float, Field(gt=0, le=100)]
#: A number of steps.
Steps = Annotated[int, Field(ge=0, le=10**9)]
#: A variable of a config that is not filled in.
Variable = Annotated[
    str,
    Field(pattern=r"^\$\{.+\}$", description="a variable such as ${training.max_steps}"),
]


@checked("training.optimizer.learn_rate")
def warmup_linear(
    initial_rate: Rate, warmup_steps: Steps, total_steps: Steps | Variable | None = None
) -> Iterator[float]:
    """Make rates that rise linearly in the warmup, and then fall linearly to 0 at the last step.

    With a total, the rates are those of Thinc's `warmup_linear.v1`. Without one, they stay at
    `initial_rate` after the warmup.

    spaCy resolves the block [training.optimizer] alone in `nlp.create_optimizer`,
    `nlp.resume_training` and `nlp.initialize`. A variable such as `${training.max_steps}` is then
    only a text. It counts as no total: the length of such a training is not in the config.

    Args:
        initial_rate (float): The highest rate.
        warmup_steps (int): The number of steps in which the rate rises from 0.
        total_steps (int): The step at which the rate is 0. Defaults to None: there is no such step.
            0 means the same, as in [training].

    Returns:
        Iterator: The rate of each step.

    Raises:
        MsvseError: For a value out of range, and for a text that is not a variable (MSVSE-E007).
    """
    if isinstance(total_steps, str):
        total_steps = None
    return _rates(initial_rate, warmup_steps, total_steps or None)


def _rates(initial_rate: float, warmup_steps: int, total_steps: int | None) -> Iterator[float]:
    for step in count():
        if step < warmup_steps:
            factor = step / max(1, warmup_steps)
        elif total_steps is None:
            factor = 1.0
        else:
            factor = max(0.0, (total_steps - step) / max(1.0, total_steps - warmup_steps))
        yield factor * initial_rate
