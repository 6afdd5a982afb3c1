"""Load posts, and the parts of pipelines that only the commands need. Each failure is a coded
error."""

from pathlib import Path

import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import is_package

from ..component.loading import (
    check_gpu,
    coded_loading_errors,
    find_folder,
    load_code,
    load_pipeline,
    use_gpu,
)
from ..corpus.reader import Corpus
from ..errors import Errors, MsvseError
from ..util import first_line

__all__ = [
    "check_gpu",
    "coded_loading_errors",
    "find_folder",
    "find_writable_folder",
    "load_code",
    "load_examples",
    "load_pipeline",
    "make_blank",
    "use_gpu",
]


def find_writable_folder(model: str, output: Path | None) -> Path:
    """The folder of a pipeline that is changed, or copied to an output.

    Args:
        model (str): The folder, or the name of an installed package.
        output (Path): The folder of the copy; None for none.

    Returns:
        Path: The folder of the pipeline.

    Raises:
        MsvseError: If there is no such pipeline (MSVSE-E076), or if it is an installed package and
            there is no output (MSVSE-E164).
    """
    folder = find_folder(model)
    if output is None and is_package(model):
        raise MsvseError(Errors.E164.format(model=model))
    return folder


def load_examples(path: Path, nlp: Language, image_root: str | Path | None = None) -> list[Example]:
    """Read all posts of a corpus.

    Args:
        path (Path): A `.spacy` file, or a folder of such files.
        nlp (Language): The pipeline that will read them.
        image_root (Path): The only folder to read pictures from.

    Returns:
        list: At least one example.

    Raises:
        MsvseError: If there are no such files (MSVSE-E033, MSVSE-E042, MSVSE-E130), if one cannot
            be read (MSVSE-E042), or if they have no posts (MSVSE-E154).
    """
    try:
        examples = list(Corpus(path, image_root=image_root)(nlp))
    except MsvseError:
        raise
    except Exception as error:  # of zlib or msgpack, or a missing key
        raise MsvseError(Errors.E042.format(path=path, reason=first_line(error))) from error
    if not examples:
        raise MsvseError(Errors.E154.format(path=path))
    return examples


def make_blank(language: str) -> Language:
    """Make a pipeline without components.

    Args:
        language (str): The code of its language.

    Returns:
        Language: The pipeline.

    Raises:
        MsvseError: If spaCy does not know the language, or if a package is missing that its
            tokenizer needs (MSVSE-E160).
    """
    try:
        return spacy.blank(language)
    except (ImportError, ValueError, OSError) as error:
        reason = first_line(error)
        raise MsvseError(Errors.E160.format(language=language, reason=reason)) from error
