"""The network behind a Thinc model: training mode, optimiser hand-over, serialisation."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from thinc.api import Optimizer, PyTorchShim, get_torch_default_device, torch2xp, xp2torch
from thinc.types import FloatsXd
from torch import Tensor

from ..errors import Errors
from ..network.inputs import MsvseInputs, MsvseOutputs, to_device
from ..network.msvse import Msvse, build_network


class NetworkShim(PyTorchShim):
    """Thinc's PyTorch shim, with what it lacks: dropout that reaches the network, evaluation mode
    after a prediction, learning-rate factors, and files that hold no pickle."""

    def __init__(self, learning_rate_factors: Mapping[str, float]) -> None:
        """Set up a shim without a network; `set_network` or `from_bytes` brings it.

        learning_rate_factors (Mapping): Part of a parameter's name to the factor on its learning
            rate. Where several parts fit, their factors multiply; a factor of 0 freezes.
        """
        super().__init__(None)
        self.learning_rate_factors = dict(learning_rate_factors)
        self.tokenizer: Any = None

    @property
    def network(self) -> Msvse | None:
        """The network, None before there is one."""
        return self._model

    def set_network(self, network: Msvse, tokenizer: Any) -> None:
        """Adopt a network.

        network (Msvse): The network.
        tokenizer (PreTrainedTokenizerFast): Its encoder's tokenizer.
        """
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(self.learning_rate_factor(name) > 0)
        self._model = network.to(get_torch_default_device())
        self.tokenizer = tokenizer

    def predict(self, inputs: MsvseInputs) -> MsvseOutputs:  # type: ignore[override]
        """Run the network without gradients, and leave it in evaluation mode."""
        self._model.eval()
        with torch.inference_mode():
            return self._model(to_device(inputs, self.device))

    def begin_update(  # type: ignore[override]
        self, inputs: MsvseInputs
    ) -> tuple[MsvseOutputs, Callable[[Tensor], None]]:
        """Run the network in training mode.

        inputs (MsvseInputs): A batch.
        RETURNS (tuple): The outputs, and a callback that takes the loss and computes gradients.
        """
        self._model.train()
        return self._model(to_device(inputs, self.device)), torch.autograd.backward

    def finish_update(self, optimizer: Optimizer) -> None:
        """Hand every parameter and its gradient to the optimiser."""
        for name, parameter in self._model.named_parameters():
            if parameter.grad is None:
                continue
            weights, gradient = torch2xp(parameter.data), torch2xp(parameter.grad)
            updated, _ = optimizer(
                (self.id, name),
                cast(FloatsXd, weights),
                cast(FloatsXd, gradient),
                lr_scale=self.learning_rate_factor(name),
            )
            parameter.data = xp2torch(updated, device=parameter.device)
            parameter.grad.zero_()

    def learning_rate_factor(self, name: str) -> float:
        """The factor on a parameter's learning rate.

        name (str): The parameter's name.
        RETURNS (float): The factor.
        """
        factor = 1.0
        for part, value in self.learning_rate_factors.items():
            if part in name.split("."):
                factor *= value
        return factor

    def to_bytes(self) -> bytes:
        """Write settings, tokenizer and weights; settings alone before there is a network."""
        message: dict[str, Any] = {"config": None, "tokenizer": {}, "weights": b""}
        if self.network is not None:
            message["config"] = json.dumps(self.network.config.to_dict())
            message["tokenizer"] = tokenizer_to_files(self.tokenizer)
            state = {name: t.contiguous() for name, t in self.network.state_dict().items()}
            message["weights"] = save_tensors(state)
        return srsly.msgpack_dumps(message)

    def from_bytes(self, bytes_data: bytes) -> "NetworkShim":
        """Restore what `to_bytes` wrote, onto the device that Thinc works on.

        RAISES (ValueError): If the weights are incomplete or damaged (MSVSE-E006).
        """
        message = srsly.msgpack_loads(bytes_data)
        if message["config"] is None:
            return self
        try:
            network = build_network(json.loads(message["config"]))
            network.load_state_dict(load_tensors(message["weights"]))
        except (SafetensorError, RuntimeError, KeyError) as error:
            raise ValueError(Errors.E006.format(reason=error)) from error
        self.set_network(network.eval(), tokenizer_from_files(message["tokenizer"]))
        return self


def tokenizer_to_files(tokenizer: Any) -> dict[str, bytes]:
    """Save a tokenizer in memory.

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    RETURNS (dict): File name to content.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def tokenizer_from_files(files: Mapping[str, bytes]) -> Any:
    """Load the tokenizer that `tokenizer_to_files` saved.

    files (Mapping): File name to content.
    RETURNS (PreTrainedTokenizerFast): The tokenizer.
    """
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return AutoTokenizer.from_pretrained(folder)
