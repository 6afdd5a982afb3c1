"""Models of transformers: found once, then carried as bytes. Imports torch, so import it late."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL.Image import Resampling

from .base import NetworkExtractor
from .frozen import FrozenSquare, PixelFormat
from .weights import state_digest

# A msgpack message holds no more than 4 GB in one piece.
_LARGEST_FILE = "2GB"

# What a config says beside the model: where it came from and who wrote it.
_PROVENANCE = ("_name_or_path", "transformers_version", "architectures", "torch_dtype")


class PretrainedNetwork(FrozenSquare):
    """A frozen model of transformers.

    model (PreTrainedModel): The model.
    parts (Any): What is saved with it: its image processor first, perhaps its tokenizer.
    precision (str): One of `PRECISIONS`.
    """

    def __init__(self, model: Any, *parts: Any, precision: str) -> None:
        super().__init__(model, pixel_format(parts[0]), precision)
        self.parts = parts


@dataclass(frozen=True)
class PretrainedExtractor(NetworkExtractor):
    """An extractor around a model of transformers. It is saved as the files of a local folder."""

    @abstractmethod
    def _open(self, source: str, saved: Mapping[str, Any]) -> Any:
        """Build the network.

        source (str): A local folder or, at `initialize`, a name on the hub.
        saved (Mapping): The message of `_pack`; empty at `initialize`.
        RETURNS (PretrainedNetwork): The network.
        """

    def _find(self) -> None:
        network = self._open(self.weights, {})
        self._adopt(network, _digest(network))

    def _pack(self, network: Any) -> dict[str, Any]:
        # The hash is saved, since another version of transformers writes other files.
        files = _to_files(network.network, *network.parts)
        return {"digest": self._loaded.digest, "files": files}

    def _unpack(self, message: dict[str, Any]) -> None:
        with _as_folder(message["files"]) as folder:
            self._adopt(self._open(folder, message), message["digest"])


def load_model(auto_class: Any, source: str, **settings: Any) -> Any:
    """Load a model. A name on the hub may download, so it belongs to `initialize` alone.

    auto_class (type): One of transformers' auto classes for models.
    source (str): A local folder or a name on the hub.
    settings (Any): Further arguments of `from_pretrained`.
    RETURNS (PreTrainedModel): The model, its weights as float32.
    RAISES (ValueError): If the source lacks weights that the model has.
    """
    # What the source lacks, transformers draws at random and warns of. We refuse it instead.
    with torch.random.fork_rng(devices=[]), _errors_only():
        model, report = auto_class.from_pretrained(
            source,
            torch_dtype=torch.float32,
            output_loading_info=True,
            **_caution(source),
            **settings,
        )
    untrained = set(report["missing_keys"])
    for name in sorted(untrained):
        owner, pooler, _ = name.rpartition("pooler.")
        if pooler:
            # Many are published without the pooler, and do without it.
            model.get_submodule(owner.rstrip(".")).pooler = None
            untrained.remove(name)
    if untrained:
        raise ValueError(f"they lack {', '.join(sorted(untrained)[:3])}, {len(untrained)} in all")
    return model


def load_part(auto_class: Any, source: str, **settings: Any) -> Any:
    """Load a config, an image processor or a tokenizer.

    auto_class (type): One of transformers' auto classes for these.
    source (str): A local folder or a name on the hub.
    settings (Any): Further arguments of `from_pretrained`.
    RETURNS (Any): What was asked for.
    """
    return auto_class.from_pretrained(source, **_caution(source), **settings)


def load_vision_tower(source: str) -> tuple[Any, Any]:
    """Load the part of a model that sees, and how it wants its pictures.

    source (str): A local folder or a name on the hub: a vision encoder, or a model that has one.
    RETURNS (tuple): A model and an image processor.
    """
    from transformers import AutoConfig, AutoModel

    config = load_part(AutoConfig, source)
    tower = load_model(AutoModel, source, config=getattr(config, "vision_config", config))
    return tower, load_image_processor(source)


def load_image_processor(source: str) -> Any:
    """Load an image processor.

    source (str): A local folder or a name on the hub.
    RETURNS (BaseImageProcessor): The processor.
    """
    from transformers import AutoImageProcessor

    # Only its settings are read, and the fast ones need torchvision.
    return load_part(AutoImageProcessor, source, use_fast=False)


def pixel_format(processor: Any) -> PixelFormat:
    """Read off an image processor what its model was trained on.

    processor (BaseImageProcessor): The processor.
    RETURNS (PixelFormat): Side, mean, standard deviation, resampling.
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
    with TemporaryDirectory() as folder:
        for part in parts:
            shards = {"max_shard_size": _LARGEST_FILE} if isinstance(part, torch.nn.Module) else {}
            part.save_pretrained(folder, **shards)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@contextmanager
def _as_folder(files: Mapping[str, bytes]) -> Iterator[str]:
    """Lay out what `_to_files` saved, as long as the block lasts."""
    # Windows cannot remove a file of weights that is still mapped into memory.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        yield folder


def _digest(network: PretrainedNetwork) -> str:
    """Hash a network and what belongs to it. Where it came from does not count."""
    config = {n: v for n, v in network.network.config.to_dict().items() if n not in _PROVENANCE}
    files = {name: content.decode() for name, content in _to_files(*network.parts).items()}
    return state_digest(network.state_dict(), json.dumps(config, sort_keys=True), files)


@contextmanager
def _errors_only() -> Iterator[None]:
    """Let transformers give no warnings, as long as the block lasts."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _caution(source: str) -> dict[str, Any]:
    """Run no code that comes with a model, and look nowhere beside a folder."""
    return {"trust_remote_code": False, "local_files_only": Path(source).is_dir()}
