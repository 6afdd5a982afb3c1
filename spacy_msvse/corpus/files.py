"""Checks of the files of posts, before they are read."""

import warnings
from pathlib import Path

from spacy.training.corpus import FILE_TYPE, walk_corpus

from ..errors import Errors, MsvseError
from ..util import is_lfs_pointer


def check_corpus(path: str | Path) -> list[Path]:
    """Check that there are `.spacy` files. Their content is not read.

    Args:
        path (Path): A `.spacy` file, or a folder of such files.

    Returns:
        list: The files.

    Raises:
        MsvseError: If there is nothing at the path (MSVSE-E033), if it is no such file and no
            folder with one (MSVSE-E042), or if a file is a pointer of Git LFS (MSVSE-E130).
    """
    path = Path(path)
    if not path.exists():
        raise MsvseError(Errors.E033.format(path=path))
    if path.is_file() and path.suffix != FILE_TYPE:
        raise MsvseError(Errors.E042.format(path=path, reason=f"it is not a {FILE_TYPE} file"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spaCy's, for a folder without such files
        files: list[Path] = walk_corpus(path, FILE_TYPE)
    if not files:
        reason = f"the folder has no {FILE_TYPE} file"
        raise MsvseError(Errors.E042.format(path=path, reason=reason))
    for file in files:
        if is_lfs_pointer(file):
            raise MsvseError(Errors.E130.format(path=file))
    return files
