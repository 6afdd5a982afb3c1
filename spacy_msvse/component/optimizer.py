"""The optimiser of `[training.optimizer]`, computed by torch, and the learning rate of each part.

Thinc would update one tensor after the other on one thread, clip each by its own norm and decay
biases too. Its settings are kept; torch does the arithmetic.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from thinc.api import Optimizer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..errors import Warnings
from ..network.base import Network
from ..network.encoders.lora import LORA_PARAMETER

#: So many updates in a row at a learning rate of 0 give a warning.
MANY_UPDATES = 3

#: Limits how slowly averages follow the weights, as in Thinc.
MAX_AVERAGE_DECAY = 0.9999


def parameter_factors(network: Network, factors: Mapping[str, float]) -> dict[str, float]:
    """The factor on the learning rate of each parameter.

    Args:
        network (Network): The network.
        factors (Mapping): Part of a parameter's name, such as "encoder" or "crf", to a factor. If
            several parts fit, their factors multiply; 0 freezes.

    Returns:
        dict: Parameter name to factor; 0 for parameters that never train: those of a BatchNorm, and
            the encoder's own below low-rank adapters.
    """
    # The statistics of a backbone's BatchNorm are constant, so its weights are not trained either.
    normalised = {
        f"{owner}.{name}"
        for owner, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for name, _ in module.named_parameters()
    }
    rates = {}
    for name, _ in network.named_parameters():
        parts = name_parts(name)
        factor = 1.0
        for part, value in factors.items():
            factor *= value if part in parts else 1.0
        adapted = network.config.lora is not None and name.startswith("encoder.")
        if adapted and LORA_PARAMETER not in name:
            factor = 0.0
        rates[name] = 0.0 if name in normalised else factor
    return rates


def name_parts(name: str) -> list[str]:
    """The parts of a parameter's name that a factor can name.

    Args:
        name (str): Such as "encoder.model.embeddings.norm.weight".

    Returns:
        list: The parts. A backbone counts as a whole: CLIP has a part named "encoder" too.
    """
    return ["backbone"] if name.startswith("backbone.") else name.split(".")


class NetworkOptimizer:
    """Updates a network by the settings of a Thinc optimiser: Adam, RAdam or SGD, the learning rate
    and its schedule, L2, clipping, averages.

    The norm of all gradients together is clipped. L2 does not apply to biases, normalisation
    layers and other vectors. As in Thinc, `L2_is_weight_decay` subtracts it from the weights,
    scaled by the learning rate.
    """

    def __init__(
        self,
        settings: Optimizer,
        parameters: Mapping[str, nn.Parameter],
        factors: Mapping[str, float],
    ) -> None:
        """Set up the state of all parameters.

        Args:
            settings (Optimizer): Thinc's optimiser; its values are read at every step.
            parameters (Mapping): Name to parameter.
            factors (Mapping): Name to the factor on the parameter's learning rate; 0 leaves it out.
        """
        self.settings = settings
        self.parameters = {name: p for name, p in parameters.items() if factors[name] > 0}
        self.averages: dict[str, Tensor] = {}
        if settings.averages is not None:
            self.averages = {name: p.detach().clone() for name, p in self.parameters.items()}
        self._updates = self._updates_at_rate_0 = 0
        self._optimizer = self._make_optimizer(factors)

    def step(self) -> float | None:
        """Update the parameters by their gradients, and clear the gradients. Gradients that are not
        finite are cleared without an update.

        Returns:
            float: The norm of all gradients together; None if there are none.
        """
        if all(parameter.grad is None for parameter in self.parameters.values()):
            return None
        limit = self.settings.grad_clip or math.inf
        norm = float(clip_grad_norm_(list(self.parameters.values()), limit))
        if math.isfinite(norm):
            self._updates += 1
            self._read_settings()
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self.averages and math.isfinite(norm):
            self._average()
        return norm

    def _make_optimizer(self, factors: Mapping[str, float]) -> torch.optim.Optimizer:
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            groups.setdefault((factors[name], parameter.ndim > 1), []).append(parameter)
        settings: Any = [
            {"params": group, "factor": factor, "decays": decays}
            for (factor, decays), group in groups.items()
        ]
        decoupled = self.settings.L2_is_weight_decay
        if self.settings.use_radam:
            return torch.optim.RAdam(settings, decoupled_weight_decay=decoupled)
        if self.settings.b1 == 0:
            return torch.optim.SGD(settings, lr=0.0)
        adam = torch.optim.AdamW if decoupled else torch.optim.Adam
        devices = {parameter.device.type for parameter in self.parameters.values()}
        return adam(settings, fused=devices <= {"cpu", "cuda"})

    def _read_settings(self) -> None:
        """Copy Thinc's settings, any of which may follow a schedule."""
        settings = self.settings
        self._updates_at_rate_0 = 0 if settings.learn_rate else self._updates_at_rate_0 + 1
        if self._updates_at_rate_0 == MANY_UPDATES:
            warnings.warn(Warnings.W051.format(count=MANY_UPDATES), stacklevel=2)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learn_rate * group["factor"]
            group["weight_decay"] = settings.L2 if group["decays"] else 0.0
            if "betas" in group:
                group["betas"] = (settings.b1, settings.b2)
                # Torch adds epsilon after the correction of the second moment, Thinc before it.
                group["eps"] = settings.eps / (1 - settings.b2**self._updates) ** 0.5

    def _average(self) -> None:
        decay = min((1 + self._updates) / (10 + self._updates), MAX_AVERAGE_DECAY)
        average = get_ema_multi_avg_fn(decay)
        with torch.no_grad():
            average(list(self.averages.values()), list(self.parameters.values()), self._updates)
