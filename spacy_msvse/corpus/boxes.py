"""Boxes that annotators drew in pictures, in the XML format of Pascal VOC."""

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from .rows import BadRow

#: (name, score, x1, y1, x2, y2), relative to the picture, like a region of a Doc.
Box = tuple[str, float, float, float, float, float]


def read_boxes(folder: Path, picture: str, bad_rows: list[BadRow]) -> list[Box]:
    """Read the boxes drawn in a picture.

    The name of a box is the name of an entity in the text. Boxes are gold data for scoring
    grounding. Do not use them as regions or in another view: the network would read the answer.

    Args:
        folder (Path): The folder of the files. Each has the name of its picture, but ends in
            `.xml`.
        picture (str): The picture's name.
        bad_rows (list[BadRow]): Boxes that cannot be used are added to it.

    Returns:
        list[Box]: The boxes, with score 1; an empty list if there is no file.
    """
    path = folder / PurePosixPath(picture).with_suffix(".xml").name
    if not path.is_file():
        return []
    try:
        annotation = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        bad_rows.append(BadRow(path, error.position[0], f"the file is not XML ({error})"))
        return []
    size = [annotation.findtext(f"size/{side}", "") for side in ("width", "height")]
    boxes = []
    for number, drawn in enumerate(annotation.iter("object"), start=1):
        name = drawn.findtext("name", "").strip()
        corners = [
            drawn.findtext(f"bndbox/{corner}", "") for corner in ("xmin", "ymin", "xmax", "ymax")
        ]
        try:
            boxes.append((name, 1.0, *_scale(corners, size)))
        except (ValueError, ZeroDivisionError):
            reason = f"object {number}, {name!r}: {corners} is not a box in a picture of {size}"
            bad_rows.append(BadRow(path, 1, reason))
    return boxes


def _scale(corners: list[str], size: list[str]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (
        float(corner) / float(side) for corner, side in zip(corners, [*size, *size], strict=True)
    )
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise ValueError
    return x1, y1, x2, y2
