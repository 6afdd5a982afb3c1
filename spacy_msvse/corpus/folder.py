"""Posts in a folder: each text is a file, and its picture has the same name."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import MsvseError
from .rows import Row, check_text_file


def read_folder(path: Path) -> Iterator[Row]:
    """Read a folder of posts, sorted by name. `NAME.txt` is the text of a post, and `NAME.jpg`,
    `NAME.png` or a picture in another format is its picture. A text without a picture file is a
    post without a picture. Other files and subfolders are ignored.

    Args:
        path (Path): The folder.

    Yields:
        Row: "text", "image" and "meta" with the name. A row has a problem if a picture has no text,
            if the text is not text in UTF-8, or if several pictures share the name.
    """
    from PIL import Image

    from ..vision.decoding import FORMATS, HEIF_ENDINGS

    # Pillow also registers PDF, video and other formats.
    suffixes = {s for s, name in Image.registered_extensions().items() if name in FORMATS}
    suffixes.update(HEIF_ENDINGS)
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
    values: dict[str, Any] = {"meta": {"name": name}}
    if name != path.stem:
        return Row(path, 1, values, "the name is not in UTF-8")
    if len(pictures) == 1:
        values["image"] = pictures[0]
    problem = None
    try:
        if path.exists():
            check_text_file(path)
        values["text"] = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except FileNotFoundError:
        problem = f"the picture {pictures[0]!r} has no text"
    except MsvseError as error:
        problem = str(error).rstrip(".")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"the text cannot be read ({error})"
    if len(pictures) > 1:
        problem = f"several pictures have its name: {', '.join(pictures)}"
    return Row(path, 1, values, problem)
