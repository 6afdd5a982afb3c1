"""The network behind a Thinc model: training mode, precision, optimiser, files."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from thinc.api import Optimizer, PyTorchShim, get_torch_default_device, torch2xp
from thinc.types import FloatsXd
from torch import Tensor, nn

from ..errors import Errors, MsvseError
from ..network.base import Network
from ..network.inputs import Inputs, Outputs, to_device
from ..network.pretrained import LOCAL, build_for_weights
from ..settings import setting_path, suggest, wrong_setting
from ..util import (
    as_folder,
    first_line,
    join_files,
    pack_files,
    save_files,
    select_files,
    unpack_files,
)
from .optimizer import NetworkOptimizer, name_parts, parameter_factors
from .precision import Precision, choose_precision
from .rounding import restore, shorten

if TYPE_CHECKING:
    from .encode import PieceEncoder

#: Parts that a network may lack, since their factors are defaults.
OPTIONAL_PARTS = {"encoder", "backbone", "crf"}

CONFIG_FILE, WEIGHTS_FILE, TOKENIZER = "network.json", "network.safetensors", "tokenizer"


class NetworkShim(PyTorchShim):
    """Thinc's PyTorch shim with corrections.

    The optimiser clips, decays and averages as torch users expect; bfloat16 is supported; a
    prediction leaves the network in evaluation mode; no file is a pickle.
    """

    def __init__(
        self,
        method: type[Network],
        learning_rate_factors: Mapping[str, float] | None = None,
        *,
        precision: Precision = "float32",
    ) -> None:
        """Create a shim without a network; `set_network` or `from_files` adds it.

        Args:
            method (type): The class of the network.
            learning_rate_factors (Mapping): Part of a parameter's name to the factor on its
                learning rate. If several parts fit, their factors multiply; 0 freezes.
            precision (str): "float32", "bfloat16" or "auto"; by autocast, in training and in
                prediction.
        """
        super().__init__(None)
        self.method = method
        self.learning_rate_factors = dict(learning_rate_factors or {})
        self._precision: Precision = precision
        self.tokenizer: Any = None
        #: Computes regions and trains with the network. Its extractor saves it.
        self.backbone: nn.Module | None = None
        #: Made when it is first needed.
        self.piece_encoder: PieceEncoder | None = None
        #: The norm of the gradients of the last update; None if there were no gradients.
        self.gradient_norm: float | None = None
        self._optimizer: NetworkOptimizer | None = None

    @property
    def network(self) -> Network | None:
        """The network, None before there is one."""
        network: Network | None = self._model
        return network

    @property
    def precision(self) -> str:
        """The precision of the matrix products: "float32" or "bfloat16"."""
        device = get_torch_default_device() if self.network is None else self.device
        return choose_precision(self._precision, device)

    def set_network(self, network: Network, tokenizer: Any) -> None:
        """Set the network and its tokenizer.

        Args:
            network (Network): The network.
            tokenizer (PreTrainedTokenizerBase): Its encoder's tokenizer.
        """
        self._model = network.to(get_torch_default_device())
        self.tokenizer = tokenizer
        self.piece_encoder = None
        self._optimizer = None
        factors = self.factors()
        self._check_factors(factors)
        for name, factor in factors.items():
            network.get_parameter(name).requires_grad_(factor > 0)

    def predict(self, inputs: Inputs) -> Outputs:  # type: ignore[override]
        """Run the network without gradients, and leave it in evaluation mode."""
        self._model.eval()
        with torch.inference_mode(), self._autocast():
            outputs: Outputs = self._model(to_device(inputs, self.device))
        return outputs

    def begin_update(  # type: ignore[override]
        self, inputs: Inputs
    ) -> tuple[Outputs, Callable[[Tensor], None]]:
        """Run the network in training mode.

        Args:
            inputs (Inputs): A batch.

        Returns:
            tuple: The outputs, and a callback that takes the loss and computes gradients.
        """
        self._model.train()
        with self._autocast():
            outputs = self._model(to_device(inputs, self.device))

        def backprop(loss: Tensor) -> None:
            loss.backward()

        return outputs, backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """Update the network by the accumulated gradients, unless they are not finite.

        Args:
            optimizer (Optimizer): The optimiser of the config, whose settings are read at every
                step.
        """
        if self._optimizer is None or self._optimizer.settings is not optimizer:
            parameters = dict(self._model.named_parameters())
            self._optimizer = NetworkOptimizer(optimizer, parameters, self.factors())
            if optimizer.averages is not None:
                # These arrays share the memory of the averages, so they follow later updates.
                for name, average in self._optimizer.averages.items():
                    optimizer.averages[(self.id, name)] = cast(FloatsXd, torch2xp(average))
        self.gradient_norm = self._optimizer.step()

    @contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Use the averages of an optimiser in this context, as spaCy does to evaluate and to save.

        Args:
            params (Mapping): Shim id and parameter's name to its average.
        """
        kept = {}
        if self._model is not None:
            for name, parameter in self._model.named_parameters():
                if (self.id, name) in params:
                    kept[parameter] = parameter.data
                    average = params[(self.id, name)]
                    parameter.data = torch.as_tensor(average, device=parameter.device)
        try:
            yield
        finally:
            for parameter, weights in kept.items():
                parameter.data = weights

    def factors(self) -> dict[str, float]:
        """The factor on the learning rate of every parameter; 0 for parameters that never train."""
        assert self.network is not None
        return parameter_factors(self.network, self.learning_rate_factors)

    def _check_factors(self, factors: Mapping[str, float]) -> None:
        """Refuse a part that no parameter has, and a network of which no part trains."""
        setting = "learning_rate_factors"
        known = {part for name in factors for part in name_parts(name)}
        for part in self.learning_rate_factors.keys() - known - OPTIONAL_PARTS:
            choices = sorted(name for name in known if not name.isdecimal())
            names = {"part": part, "nearest": suggest(part, choices)}
            path = setting_path(setting)
            raise MsvseError(Errors.E180.format(setting=path, choices=", ".join(choices), **names))
        if not any(factors.values()):
            expected = "above 0 for at least one part"
            raise wrong_setting(setting, self.learning_rate_factors, expected)

    def _autocast(self) -> torch.autocast:
        type_ = getattr(torch, self.precision)
        return torch.autocast(self.device.type, dtype=type_, enabled=type_ != torch.float32)

    def __getstate__(self) -> dict[str, Any]:
        # An optimiser contains generators, which cannot be copied. A copy does not need it.
        return {**self.__dict__, "_optimizer": None, "piece_encoder": None}

    def to_files(self) -> dict[str, bytes]:
        """Save method, settings, weights and tokenizer in memory. Nothing is rounded.

        Returns:
            dict: File name to content; empty before there is a network.
        """
        if self.network is None:
            return {}
        settings = {"method": self.method.__name__, "config": self.network.config.to_dict()}
        weights = {
            name: tensor
            for name, tensor in self.network.state_dict().items()
            if not name.startswith("backbone.")
        }
        return {
            CONFIG_FILE: json.dumps(settings).encode("utf8"),
            WEIGHTS_FILE: save_tensors(shorten(weights)),
            **join_files({TOKENIZER: save_files(self.tokenizer.save_pretrained)}),
        }

    def from_files(
        self,
        files: Mapping[str, bytes],
        backbone: nn.Module | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Restore the result of `to_files`, on the device of Thinc.

        Args:
            files (Mapping): File name to content.
            backbone (nn.Module): Computes regions and trains with the network.
            given (Mapping): Settings of the method in the config. They replace the saved ones.

        Returns:
            dict: The saved values of the settings that `given` changed.

        Raises:
            MsvseError: If files are missing or damaged, or of another method (MSVSE-E006), or if
                the weights do not fit settings that were changed (MSVSE-E027). For settings that
                are unknown (MSVSE-E015) or out of range (MSVSE-E007), an encoder family that is not
                supported (MSVSE-E002), or adapters without the package peft (MSVSE-E016).
        """
        from transformers import AutoTokenizer

        self.backbone = backbone
        if CONFIG_FILE not in files:
            return {}
        try:
            settings = json.loads(files[CONFIG_FILE])
            if settings["method"] != self.method.__name__:
                reason = f"they are of the method {settings['method']}, not {self.method.__name__}"
                raise MsvseError(Errors.E006.format(reason=reason))
            saved = self.method.Config.from_dict(settings["config"]).to_dict()
            weights = load_tensors(files[WEIGHTS_FILE])
            with as_folder(select_files(files, TOKENIZER)) as folder:
                tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        except MsvseError as error:
            if error.code != "E007":
                raise
            raise MsvseError(Errors.E006.format(reason=first_line(error))) from error
        except Exception as error:  # json, safetensors and transformers have their own
            raise MsvseError(Errors.E006.format(reason=first_line(error))) from error
        config = self.method.Config.from_dict({**saved, **(given or {})}).to_dict()
        changed = [name for name in config if config[name] != saved[name]]
        try:
            network = build_for_weights(self.method, config)
            network.load_state_dict(restore(weights, network), assign=True)
        except Exception as error:  # torch, transformers and peft have their own
            if isinstance(error, MsvseError) and (changed or error.code != "E007"):
                raise
            if changed:
                values = ", ".join(f"{name} (saved: {saved[name]!r})" for name in changed)
                raise MsvseError(Errors.E027.format(settings=values)) from error
            raise MsvseError(Errors.E006.format(reason=first_line(error))) from error
        network.backbone = backbone
        self.set_network(network.eval(), tokenizer)
        return {name: saved[name] for name in changed}

    def to_bytes(self) -> bytes:
        """Save the files of `to_files` in one msgpack message, for Thinc."""
        return pack_files(self.to_files())

    def from_bytes(self, bytes_data: bytes) -> "NetworkShim":
        """Restore the result of `to_bytes`.

        Args:
            bytes_data (bytes): The message.

        Returns:
            NetworkShim: This shim.

        Raises:
            MsvseError: If the message is damaged (MSVSE-E006), or for the reasons of `from_files`.
        """
        self.from_files(unpack_files(bytes_data), self.backbone)
        return self
