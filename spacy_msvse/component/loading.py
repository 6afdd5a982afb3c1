"""Load pipelines and the code of users. Each failure is a coded error."""

from collections.abc import Iterator
from configparser import Error as ConfigFileError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import spacy
import torch
from confection import ConfigValidationError
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.util import get_model_meta, get_package_path, import_file, is_package
from thinc.util import gpu_is_available

from ..errors import Errors, MsvseError
from ..util import first_line, is_lfs_pointer
from ..vision.store import FeatureStore
from . import components

#: What spaCy, confection and the standard library raise for a config or a pipeline that they cannot
#: use.
_LOADING_ERRORS = (ValueError, LookupError, TypeError, AttributeError, OSError, ImportError)


@dataclass(frozen=True)
class NamedPipeline:
    """Loads a pipeline in the process that needs it. Other processes get only its name.

    Attributes:
        model (str): Its name or folder.
        code (Path): A file with registered functions, which is imported first.
        gpu_id (int): The number of the GPU, or -1 for the CPU.
        min_confidence (float): Entities with a lower confidence are left out. None for the limit of
            the pipeline.
        features (Path): A feature store that the pipeline reads and fills; None for none.
    """

    model: str
    code: Path | None = None
    gpu_id: int = -1
    min_confidence: float | None = None
    features: Path | None = None

    def __call__(self) -> Language:
        """Load the pipeline.

        Returns:
            Language: The pipeline.

        Raises:
            MsvseError: As `load_pipeline` does.
        """
        nlp = load_pipeline(self.model, code=self.code, gpu_id=self.gpu_id)
        for _, component in components(nlp):
            if self.min_confidence is not None:
                component.min_confidence = self.min_confidence
            if self.features is not None:
                component.feature_store = FeatureStore(self.features)
        return nlp


def load_code(path: Path | None) -> None:
    """Import a file with registered functions.

    Args:
        path (Path): The file; None for none.

    Raises:
        MsvseError: If it cannot be imported (MSVSE-E153).
    """
    if path is None:
        return
    try:
        import_file("python_code", path)
    except Exception as error:  # whatever the code of a user raises
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise MsvseError(Errors.E153.format(path=path, reason=reason)) from error


def check_gpu(gpu_id: int) -> None:
    """Check that there is a GPU, if one is needed.

    Args:
        gpu_id (int): The number of the GPU, or -1 for the CPU.

    Raises:
        MsvseError: If there is none, or none of this number (MSVSE-E163).
    """
    if gpu_id < 0:
        return
    if not gpu_is_available():
        reason = "CuPy or PyTorch finds no GPU"
    elif gpu_id >= (count := torch.cuda.device_count()):
        reason = f"there are {count}, and the first one is 0"
    else:
        return
    raise MsvseError(Errors.E163.format(gpu_id=gpu_id, reason=reason))


def use_gpu(gpu_id: int) -> None:
    """Choose the GPU, or the CPU.

    Args:
        gpu_id (int): The number of the GPU, or -1 for the CPU.

    Raises:
        MsvseError: If the GPU cannot be used (MSVSE-E163).
    """
    check_gpu(gpu_id)
    try:
        setup_gpu(gpu_id, silent=True)
    except Exception as error:  # of CuPy, for a number that does not exist
        raise MsvseError(Errors.E163.format(gpu_id=gpu_id, reason=first_line(error))) from error


def load_pipeline(
    model: str, *, code: Path | None = None, gpu_id: int = -1, store: FeatureStore | None = None
) -> Language:
    """Load a trained pipeline.

    Args:
        model (str): Its name or folder.
        code (Path): A file with registered functions, which is imported first.
        gpu_id (int): The number of the GPU, or -1 for the CPU.
        store (FeatureStore): A feature store that the pipeline reads, and fills if it may.

    Returns:
        Language: The pipeline.

    Raises:
        MsvseError: If there is no such pipeline (MSVSE-E076), if it cannot be loaded (MSVSE-E152,
            MSVSE-E006, MSVSE-E130), and for the code and the GPU (MSVSE-E153, MSVSE-E163).
    """
    load_code(code)
    folder = find_folder(model)
    use_gpu(gpu_id)
    with coded_loading_errors(folder, name=model):
        nlp = spacy.load(model)
    if store is not None:
        for _, component in components(nlp):
            component.feature_store = store
    return nlp


def find_folder(model: str) -> Path:
    """The folder of a pipeline.

    Args:
        model (str): The folder, or the name of an installed package.

    Returns:
        Path: The folder with its config.

    Raises:
        MsvseError: If it is neither (MSVSE-E076).
    """
    if is_package(model):
        package = get_package_path(model)
        meta = get_model_meta(package)
        return package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
    if not model or not Path(model).is_dir():
        raise MsvseError(Errors.E076.format(model=model))
    return Path(model)


@contextmanager
def coded_loading_errors(path: Path, *, name: str | None = None) -> Iterator[None]:
    """Turn the errors of spaCy and of the config system into coded errors.

    Args:
        path (Path): The config, or the folder of the pipeline, that is being loaded.
        name (str): Its name in messages. Defaults to None: the path.

    Raises:
        MsvseError: If it cannot be loaded (MSVSE-E152), or if it has a file that is a pointer of
            Git LFS (MSVSE-E130).
    """
    try:
        yield
    except (*_LOADING_ERRORS, ConfigFileError) as error:
        files = path.rglob("*") if path.is_dir() else [path]
        pointer = next(filter(is_lfs_pointer, files), None)
        if pointer is not None:
            raise MsvseError(Errors.E130.format(path=pointer)) from error
        if isinstance(error, MsvseError):
            raise
        reason = _describe(error)
        raise MsvseError(Errors.E152.format(path=name or path, reason=reason)) from error


def _describe(error: Exception) -> str:
    if isinstance(error, ConfigValidationError) and error.errors:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors)
        return "; ".join(problems).rstrip(".")
    line = first_line(error)
    return f"{type(error).__name__}: {line}" if isinstance(error, LookupError) else line
