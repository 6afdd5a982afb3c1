"""Posts as a folder: each text a file, and the picture of the same name beside it."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from .rows import Row


def read_folder(path: Path) -> Iterator[Row]:
    """Read a folder of posts, in the order of their names: `NAME.txt` is the text, `NAME.jpg`,
    `NAME.png` or another picture beside it the picture. A text alone is a post without a picture.
    Other files, and folders inside, are passed over.

    path (Path): The folder.
    YIELDS (Row): "text", "image" and, under "meta", the name. A picture without a text, a text in
        another encoding and pictures that share a name are problems.
    """
    from PIL import Image

    from ..vision.picture import FORMATS

    # Pillow has names for PDF, video and others, too.
    suffixes = {s for s, name in Image.registered_extensions().items() if name in FORMATS}
    pictures: dict[str, list[str]] = defaultdict(list)
    texts = set()
    for file in path.iterdir():
        if file.suffix.lower() == ".txt":
            texts.add(file.stem)
        elif file.suffix.lower() in suffixes:
            pictures[file.stem].append(file.name)
    for name in sorted(texts | pictures.keys()):
        yield _read_row(path / f"{name}.txt", sorted(pictures[name]))


def _read_row(path: Path, pictures: list[str]) -> Row:
    name = os.fsencode(path.stem).decode("utf-8", "replace")
    values: dict = {"meta": {"name": name}}
    if name != path.stem:
        return Row(path, 1, values, "the name is not in UTF-8")
    if len(pictures) == 1:
        values["image"] = pictures[0]
    problem = None
    try:
        values["text"] = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except FileNotFoundError:
        problem = f"there is no text beside the picture {pictures[0]!r}"
    except (OSError, UnicodeDecodeError) as error:
        problem = f"the text cannot be read ({error})"
    if len(pictures) > 1:
        problem = f"several pictures have its name: {', '.join(pictures)}"
    return Row(path, 1, values, problem)
