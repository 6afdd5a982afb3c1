"""Actors of Ray that decode pictures and extract their features, for the command `extract`."""

from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ..vision.extractor import VisualExtractor
from ..vision.features import Features
from ..vision.picture import PictureError
from .cluster import check_cluster, find_error, require_ray


class PictureActors:
    """Actors that each have a copy of the extractors, with the weights of this process.

    A picture that ends its actor, by a crash or for lack of memory, is an error of its own: another
    actor takes the place of the ended one. Ray must run.

    Args:
        extractor (VisualExtractor): The extractors, with their weights.
        vision (dict): The section [vision] that they were made of.
        actors (int): The number of actors.
        num_gpus (float): GPUs for each actor.
        code (Path): A file with registered functions, which is imported first.

    Raises:
        MsvseError: If the cluster is too small (MSVSE-E282), or if an actor cannot be started
            (MSVSE-E286).
    """

    def __init__(
        self,
        extractor: VisualExtractor,
        vision: dict[str, Any],
        *,
        actors: int = 1,
        num_gpus: float = 0,
        code: Path | None = None,
    ) -> None:
        self._ray = require_ray()
        check_cluster(actors, {"CPU": actors, "GPU": actors * num_gpus})
        self.lanes = actors
        make = self._ray.remote(num_cpus=1, num_gpus=num_gpus, max_restarts=0)(_PictureActor)
        files = self._ray.put(extractor.to_files())
        path = None if code is None else str(code.absolute())
        self._start = lambda: make.remote(vision, files, "cuda" if num_gpus else "cpu", path)
        self._free: SimpleQueue[Any] = SimpleQueue()
        started = [self._start() for _ in range(actors)]
        try:
            self._ray.get([actor.name_views.remote() for actor in started])
        except self._ray.exceptions.RayError as error:
            raise find_error(error) from error
        for actor in started:
            self._free.put(actor)

    def read(self, pictures: Sequence[tuple[bytes, str]]) -> list[Features | PictureError]:
        """Extract the features of a batch in the next free actor.

        Args:
            pictures (Sequence): Encoded content and name of each picture.

        Returns:
            list: The features of each picture, or why it cannot be decoded.

        Raises:
            RuntimeError: If the batch ends the process of its actor.
        """
        actor = self._free.get()
        try:
            found: list[Features | PictureError] = self._ray.get(actor.read.remote(pictures))
        except self._ray.exceptions.RayActorError as error:
            actor = self._start()
            raise RuntimeError("it ended the process of its actor") from error
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from error
        finally:
            self._free.put(actor)
        return found

    def close(self) -> None:
        """End the actors."""
        for _ in range(self.lanes):
            self._ray.kill(self._free.get())


class _PictureActor:
    """Runs in a process of Ray, with one thread on a CPU."""

    def __init__(
        self, vision: dict[str, Any], files: dict[str, bytes], device: str, code: str | None
    ) -> None:
        import torch

        from ..component.loading import load_code
        from ..corpus.sources import make_extractor

        torch.set_num_threads(1)
        load_code(None if code is None else Path(code))
        self.extractor = make_extractor(vision)
        self.extractor.from_files(files)
        self.extractor.to(device)

    def name_views(self) -> list[str]:
        """The views that it fills. An answer says that it has started."""
        return sorted(self.extractor.extractors)

    def read(self, pictures: Sequence[tuple[bytes, str]]) -> list[Features | PictureError]:
        """As `PictureActors.read`."""
        from ..vision.picture_reader import read_pictures

        return read_pictures(self.extractor, pictures)
