"""The network behind a Thinc model: training mode, precision, optimiser, serialisation."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from thinc.api import Optimizer, PyTorchShim, get_torch_default_device, torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import Errors, MsvseError
from ..network.encoders.lora import LORA_PARAMETER
from ..network.inputs import MsvseInputs, MsvseOutputs, to_device
from ..network.msvse import Msvse, build_network
from .optimizer import NetworkOptimizer

#: What the network may compute in. The CRFs and the weights stay in full precision.
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


#: `no_init_weights` changes torch for the whole process, and two at once would not change it back.
ONE_AT_A_TIME = Lock()


class NetworkShim(PyTorchShim):
    """Thinc's PyTorch shim, with what it lacks: an optimiser that clips, decays and averages as one
    expects, a loss that is scaled and unscaled once, bfloat16, evaluation mode after a prediction,
    and files that hold no pickle."""

    def __init__(
        self,
        learning_rate_factors: Mapping[str, float] | None = None,
        *,
        layer_decay: float = 1.0,
        precision: str = "float32",
        grad_scaler_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Set up a shim without a network; `set_network` or `from_bytes` brings it.

        learning_rate_factors (Mapping): Part of a parameter's name to the factor on its learning
            rate. Where several parts fit, their factors multiply; a factor of 0 freezes.
        layer_decay (float): A further factor for every encoder layer below the last.
        precision (str): One of `PRECISIONS`; by autocast, in training and in prediction.
        grad_scaler_config (Mapping): Settings of `torch.amp.GradScaler`, which float16 needs.
        RAISES (ValueError): For an unknown precision (MSVSE-E007).
        """
        if precision not in PRECISIONS:
            expected = "one of " + ", ".join(PRECISIONS)
            raise MsvseError(
                Errors.E007.format(setting="precision", value=precision, expected=expected)
            )
        super().__init__(None)
        self.learning_rate_factors = dict(learning_rate_factors or {})
        self.layer_decay = layer_decay
        self.precision = PRECISIONS[precision]
        self.scaler: torch.amp.GradScaler | None = None
        if self.precision == torch.float16:
            device = get_torch_default_device().type
            self.scaler = torch.amp.GradScaler(device, **(grad_scaler_config or {}))
        self.tokenizer: Any = None
        #: What makes the regions and trains with the network; its extractor owns and saves it.
        self.backbone: nn.Module | None = None
        self._optimizer: NetworkOptimizer | None = None

    @property
    def network(self) -> Msvse | None:
        """The network, None before there is one."""
        return self._model

    def set_network(self, network: Msvse, tokenizer: Any) -> None:
        """Adopt a network.

        network (Msvse): The network.
        tokenizer (PreTrainedTokenizerBase): Its encoder's tokenizer.
        """
        self._model = network.to(get_torch_default_device())
        self.tokenizer = tokenizer
        self._optimizer = None
        self.train_from_layer(0)

    def train_from_layer(self, lowest: int) -> None:
        """Freeze the encoder's layers below one, and thaw the others.

        lowest (int): The number of the lowest layer that trains: 0 for all of them and the
            embeddings, one more than there are for none.
        """
        depths = self._depths()
        for name, factor in self.factors().items():
            parameter = self._model.get_parameter(name)
            parameter.requires_grad_(factor > 0 and depths.get(name, lowest) >= lowest)

    def predict(self, inputs: MsvseInputs) -> MsvseOutputs:  # type: ignore[override]
        """Run the network without gradients, and leave it in evaluation mode."""
        self._model.eval()
        with torch.inference_mode(), self._autocast():
            return self._model(to_device(inputs, self.device))

    def begin_update(  # type: ignore[override]
        self, inputs: MsvseInputs
    ) -> tuple[MsvseOutputs, Callable[[Tensor], None]]:
        """Run the network in training mode.

        inputs (MsvseInputs): A batch.
        RETURNS (tuple): The outputs, and a callback that takes the loss and computes gradients.
        """
        self._model.train()
        with self._autocast():
            outputs = self._model(to_device(inputs, self.device))

        def backprop(loss: Tensor) -> None:
            # Scaled here and unscaled in the optimiser's step: once, however many batches add up.
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()

        return outputs, backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """Update the network by the gradients that have added up.

        optimizer (Optimizer): The optimiser of the config, whose settings are read at every step.
        """
        if self._optimizer is None or self._optimizer.settings is not optimizer:
            parameters = dict(self._model.named_parameters())
            self._optimizer = NetworkOptimizer(optimizer, parameters, self.factors())
            if optimizer.averages is not None:
                # Views of the same memory: what is averaged later is seen here too.
                for name, average in self._optimizer.averages.items():
                    optimizer.averages[(self.id, name)] = torch2xp(average)  # type: ignore[assignment]
        self._optimizer.step(self.scaler)

    @contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Use the averages of an optimiser for a while, as spaCy does to evaluate and to save.

        params (Mapping): Shim id and parameter's name to its average.
        """
        kept = {}
        if self._model is not None:
            for name, parameter in self._model.named_parameters():
                if (self.id, name) in params:
                    kept[parameter] = parameter.data
                    average = xp2torch(params[(self.id, name)], device=parameter.device)
                    parameter.data = average
        try:
            yield
        finally:
            for parameter, weights in kept.items():
                parameter.data = weights

    def factors(self) -> dict[str, float]:
        """The factor on the learning rate of every parameter, by name; 0 for what never trains."""
        assert self.network is not None
        depths = self._depths()
        # Weights of a BatchNorm belong to its statistics, and those of a backbone stand still.
        normalised = {
            f"{owner}.{name}"
            for owner, module in self.network.named_modules()
            if isinstance(module, nn.BatchNorm2d)
            for name, _ in module.named_parameters()
        }
        factors = {}
        for name, _ in self.network.named_parameters():
            # What a backbone calls its own parts concerns nobody: CLIP has an `encoder` too.
            parts = ["backbone"] if name.startswith("backbone.") else name.split(".")
            factor = 1.0
            for part, value in self.learning_rate_factors.items():
                factor *= value if part in parts else 1.0
            if name in depths:
                factor *= self.layer_decay ** (self.network.encoder.num_layers - depths[name])
                if self.network.config.lora is not None and LORA_PARAMETER not in name:
                    factor = 0.0
            factors[name] = 0.0 if name in normalised else factor
        return factors

    def _depths(self) -> dict[str, int]:
        """The encoder layer that each of the encoder's parameters belongs to."""
        assert self.network is not None
        return {f"encoder.{name}": depth for name, depth in self.network.encoder.depths()}

    def _autocast(self) -> torch.autocast:
        reduced = self.precision != torch.float32
        return torch.autocast(self.device.type, dtype=self.precision, enabled=reduced)

    def __getstate__(self) -> dict[str, Any]:
        # An optimiser holds the generators of its schedules, and no copy of the network needs it.
        return {**self.__dict__, "_optimizer": None}

    def to_bytes(self) -> bytes:
        """Write settings, tokenizer and weights; settings alone before there is a network."""
        message: dict[str, Any] = {"config": None, "tokenizer": {}, "weights": b""}
        if self.network is not None:
            message["config"] = json.dumps(self.network.config.to_dict())
            message["tokenizer"] = tokenizer_to_files(self.tokenizer)
            state = {
                name: tensor.contiguous()
                for name, tensor in self.network.state_dict().items()
                if not name.startswith("backbone.")
            }
            message["weights"] = save_tensors(state)
        return srsly.msgpack_dumps(message)

    def from_bytes(self, bytes_data: bytes) -> "NetworkShim":
        """Restore what `to_bytes` wrote, onto the device that Thinc works on.

        RAISES (ValueError): If the weights are incomplete or damaged (MSVSE-E006).
        """
        from transformers.modeling_utils import no_init_weights

        message = srsly.msgpack_loads(bytes_data)
        if message["config"] is None:
            return self
        try:
            # To draw random weights would take as long as to read the ones that replace them.
            with ONE_AT_A_TIME, no_init_weights():
                network = build_network(json.loads(message["config"]))
            # Adopted, not copied.
            network.load_state_dict(load_tensors(message["weights"]), assign=True)
            network.backbone = self.backbone
        except (SafetensorError, RuntimeError, KeyError) as error:
            raise MsvseError(Errors.E006.format(reason=error)) from error
        self.set_network(network.eval(), tokenizer_from_files(message["tokenizer"]))
        return self


def tokenizer_to_files(tokenizer: Any) -> dict[str, bytes]:
    """Save a tokenizer in memory.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    RETURNS (dict): File name to content.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def tokenizer_from_files(files: Mapping[str, bytes]) -> Any:
    """Load the tokenizer that `tokenizer_to_files` saved.

    files (Mapping): File name to content.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    """
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return AutoTokenizer.from_pretrained(folder)
