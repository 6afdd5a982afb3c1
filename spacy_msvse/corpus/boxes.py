"""Boxes that annotators drew in pictures: relative to the picture, from XML of Pascal VOC."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from ..errors import MsvseError
from ..util import with_slashes
from .rows import BadRow, check_text_file

#: (name, score, x1, y1, x2, y2), relative to the picture. Where a post has several pictures, the
#: number of the picture follows, from 0, like in a region of a Doc.
Box = tuple[str, float, float, float, float, float]


def read_boxes(folder: Path, picture: str, bad_rows: list[BadRow]) -> list[Box] | None:
    """Read the boxes drawn in a picture.

    The name of a box is the name of an entity in the text. Boxes are gold data for scoring
    grounding. Do not use them as regions or in another view: the network would read the answer.

    Args:
        folder (Path): The folder of the files. Each has the name of its picture, but ends in
            `.xml`.
        picture (str): The picture's name.
        bad_rows (list[BadRow]): Boxes that cannot be used are added to it.

    Returns:
        list[Box]: The boxes, with score 1; None if there is no file.
    """
    path = folder / f"{PurePosixPath(with_slashes(picture)).stem}.xml"
    try:
        path.stat()
        check_text_file(path, any_encoding=True)
        annotation = ElementTree.parse(path).getroot()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ElementTree.ParseError as error:
        bad_rows.append(BadRow(path, error.position[0], f"the file is not XML ({error})"))
        return []
    # An unknown or a misspelt encoding; a name that no file can have.
    except (OSError, ValueError, LookupError, RecursionError) as error:
        reason = str(error).rstrip(".")
        if not isinstance(error, MsvseError):
            reason = f"the file cannot be read as XML ({reason})"
        bad_rows.append(BadRow(path, 1, reason))
        return []
    size = [annotation.findtext(f"size/{side}", "") for side in ("width", "height")]
    boxes = []
    for number, drawn in enumerate(annotation.iter("object"), start=1):
        name = drawn.findtext("name", "").strip()
        corners = [
            drawn.findtext(f"bndbox/{corner}", "") for corner in ("xmin", "ymin", "xmax", "ymax")
        ]
        try:
            boxes.append(make_box(name, corners, size))
        except (ValueError, OverflowError):
            reason = f"object {number}, {name!r}: {corners} is not a box in a picture of {size}"
            bad_rows.append(BadRow(path, 1, reason))
    return boxes


def make_box(
    name: str, corners: Sequence[str | float], size: Sequence[str | float], *, clip: bool = False
) -> Box:
    """Make a box relative to its picture.

    Args:
        name (str): The name of the box.
        corners (Sequence): x1, y1, x2 and y2 in pixels, as numbers or text.
        size (Sequence): Width and height of the picture in pixels, as numbers or text.
        clip (bool): Whether the part of the box outside of the picture is cut off, instead of
            failing.

    Returns:
        Box: The box, with score 1.

    Raises:
        ValueError: If this is not a box in the picture.
    """
    sides = [float(side) for side in (*size, *size)]
    if not all(sides):
        raise ValueError
    x1, y1, x2, y2 = (float(corner) / side for corner, side in zip(corners, sides, strict=True))
    if clip:
        x1, y1, x2, y2 = (min(1.0, max(0.0, place)) for place in (x1, y1, x2, y2))
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise ValueError
    return name, 1.0, x1, y1, x2, y2
