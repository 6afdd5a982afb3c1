"""Models of transformers, found once and saved with the pipeline. Imports torch."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Resampling

from ...util import as_folder, save_files
from .base import NetworkExtractor
from .frozen import FrozenSquare, PixelFormat
from .weights import state_digest
from .weights_error import WeightsError

# A pipeline as bytes is a msgpack message, which holds no more than 4 GB in one piece.
_LARGEST_FILE = "2GB"

# Entries of a config that are not about the model: where it came from and who wrote it.
_PROVENANCE = ("_name_or_path", "transformers_version", "architectures", "torch_dtype", "dtype")


class PretrainedNetwork(FrozenSquare):
    """A frozen model of transformers.

    Args:
        model (PreTrainedModel): The model.
        parts (Any): The parts saved with it: its image processor, then its tokenizer if it has one.
        precision (str): "float32", "float16" or "bfloat16".
    """

    def __init__(self, model: Any, *parts: Any, precision: str) -> None:
        super().__init__(model, pixel_format(parts[0]), precision)
        self.parts = parts


@dataclass(frozen=True)
class PretrainedExtractor(NetworkExtractor):
    """Base of the extractors with a model of transformers. It is saved as files of a folder."""

    @abstractmethod
    def _open(self, source: str, saved: Mapping[str, Any]) -> Any:
        """Build the network.

        Args:
            source (str): A local folder or, at `initialize`, a name on the hub.
            saved (Mapping): The settings that `_save` returned; empty at `initialize`.

        Returns:
            PretrainedNetwork: The network.
        """

    def _find(self) -> None:
        network = self._open(self.weights, {})
        self._adopt(network, _digest(network))

    def _save(self, network: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        # The hash is saved, since another version of transformers writes other files.
        files = _to_files(network.network, *network.parts)
        return {"digest": self._loaded.digest}, files

    def _restore(self, settings: dict[str, Any], files: Mapping[str, bytes]) -> None:
        with as_folder(files) as folder:
            self._adopt(self._open(folder, settings), settings["digest"])


def load_model(auto_class: Any, source: str, **settings: Any) -> Any:
    """Load a model. A name on the hub may be downloaded, so only `initialize` may give one.

    Args:
        auto_class (type): One of transformers' auto classes for models.
        source (str): A local folder or a name on the hub.
        settings (Any): Further arguments of `from_pretrained`.

    Returns:
        PreTrainedModel: The model, its weights as float32.

    Raises:
        WeightsError: If the source lacks weights that the model has (MSVSE-E171).
        OSError: If transformers finds no model in the source.
    """
    # transformers draws random values for missing weights. Here missing weights are an error.
    with torch.random.fork_rng(devices=[]), _quiet():
        model, report = auto_class.from_pretrained(
            source,
            torch_dtype=torch.float32,
            output_loading_info=True,
            weights_only=True,  # of a pickle, only tensors are read
            **_caution(source),
            **settings,
        )
    untrained = set(report["missing_keys"])
    for name in sorted(untrained):
        owner, pooler, _ = name.rpartition("pooler.")
        if pooler:
            # Many models are published without the pooler, and need none.
            model.get_submodule(owner.rstrip(".")).pooler = None
            untrained.remove(name)
    if untrained:
        reason = f"they lack {', '.join(sorted(untrained)[:3])}, {len(untrained)} in all"
        raise WeightsError(source, reason)
    return model


def load_part(auto_class: Any, source: str, **settings: Any) -> Any:
    """Load a config, an image processor or a tokenizer.

    Args:
        auto_class (type): One of transformers' auto classes for these.
        source (str): A local folder or a name on the hub.
        settings (Any): Further arguments of `from_pretrained`.

    Returns:
        Any: The config, image processor or tokenizer.
    """
    return auto_class.from_pretrained(source, **_caution(source), **settings)


def load_vision_tower(source: str) -> tuple[Any, Any]:
    """Load the vision encoder of a model, and its image processor.

    Args:
        source (str): A local folder or a name on the hub: a vision encoder, or a model that has
            one.

    Returns:
        tuple: A model and an image processor.

    Raises:
        WeightsError: If the source lacks weights that the model has (MSVSE-E171).
    """
    from transformers import AutoConfig, AutoModel

    config = load_part(AutoConfig, source)
    tower = load_model(AutoModel, source, config=getattr(config, "vision_config", config))
    return tower, load_image_processor(source)


def load_image_processor(source: str) -> Any:
    """Load an image processor.

    Args:
        source (str): A local folder or a name on the hub.

    Returns:
        BaseImageProcessor: The processor.
    """
    from transformers import AutoImageProcessor

    # Only its settings are read, and the fast ones need torchvision.
    with _quiet():
        return load_part(AutoImageProcessor, source, use_fast=False)


def pixel_format(processor: Any) -> PixelFormat:
    """Read from an image processor the pixels that its model was trained on.

    Args:
        processor (BaseImageProcessor): The processor.

    Returns:
        PixelFormat: Side, mean, standard deviation, resampling.
    """
    cropped = getattr(processor, "do_center_crop", False)
    size = processor.crop_size if cropped else processor.size
    side = size.get("height") or size["shortest_edge"]
    normalised = processor.do_normalize
    white = 1 / processor.rescale_factor
    return PixelFormat(
        side=side,
        mean=tuple(white * value for value in (processor.image_mean if normalised else (0, 0, 0))),
        std=tuple(white * value for value in (processor.image_std if normalised else (1, 1, 1))),
        resampling=Resampling(processor.resample),
    )


def _to_files(*parts: Any) -> dict[str, bytes]:
    """Save in memory what has a method `save_pretrained`. The weights are safetensors."""

    def save(part: Any, folder: str) -> None:
        shards = {"max_shard_size": _LARGEST_FILE} if isinstance(part, torch.nn.Module) else {}
        part.save_pretrained(folder, **shards)

    with _quiet():
        return save_files(*(partial(save, part) for part in parts))


def _digest(network: PretrainedNetwork) -> str:
    """Hash a network and its parts, without their provenance."""
    config = {n: v for n, v in network.network.config.to_dict().items() if n not in _PROVENANCE}
    files = {name: content.decode() for name, content in _to_files(*network.parts).items()}
    return state_digest(network.state_dict(), json.dumps(config, sort_keys=True), files)


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off the warnings and progress bars of transformers for the block."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # its functions have no types
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _caution(source: str) -> dict[str, Any]:
    """Arguments that run no code of a model, and download nothing if the source is a folder."""
    return {"trust_remote_code": False, "local_files_only": Path(source).is_dir()}
