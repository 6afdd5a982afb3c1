"""Learning rate schedules for [training.optimizer]."""

import re
from collections.abc import Iterator
from itertools import count

from ..errors import Errors, MsvseError

#: A variable of a config that is not filled in, such as `${training.max_steps}`.
VARIABLE = re.compile(r"\$\{.+\}")


def warmup_linear(
    initial_rate: float, warmup_steps: int, total_steps: int | str | None = None
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
        MsvseError: If the total is a text that is not a variable (MSVSE-E150).
    """
    if isinstance(total_steps, str):
        if not VARIABLE.fullmatch(total_steps):
            expected = "a whole number, null, or a variable such as ${training.max_steps}"
            raise MsvseError(
                Errors.E150.format(setting="total_steps", value=total_steps, expected=expected)
            )
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
