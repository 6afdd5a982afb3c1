"""The content of a page about one post, taken from its Doc."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from operator import itemgetter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..doc import USED, picture_sources
from ..errors import Errors, MsvseError
from ..evaluation.mistakes import Mistake, find_mistakes
from ..util import with_slashes
from ..vision.picture import PictureError, open_picture
from .colours import Colours

if TYPE_CHECKING:
    from ..component.analysis import PictureEffect, Reading

#: The longer side of a picture on the page, in pixels.
PICTURE_SIDE = 800


@dataclass(frozen=True)
class ShownPicture:
    """A picture on the page, or the reason why it is not shown.

    Attributes:
        number (int): Its place in `doc._.images`, from 1.
        name (str): The name of the file, without its folder; "" for a picture given as bytes.
        uri (str): The picture as a `data:` URI, encoded again without its metadata.
        width (int): Width in pixels.
        height (int): Height in pixels.
        problem (str): Why the picture cannot be read. It does not contain a folder, since pages may
            be published.
    """

    name: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""
    number: int = 1


@dataclass(frozen=True)
class ShownRegion:
    """A region. Its box is in per cent of the picture's width and height.

    Attributes:
        number (int): Its place in `doc._.image_regions`, from 1.
        label (str): Its label.
        score (float): Confidence in the label.
        left (float): Left edge of the box, in per cent.
        top (float): Upper edge of the box, in per cent.
        width (float): Width of the box, in per cent.
        height (float): Height of the box, in per cent.
        picture (int): The number of its picture, from 1.
    """

    number: int
    label: str
    score: float
    left: float
    top: float
    width: float
    height: float
    picture: int


@dataclass(frozen=True)
class ShownEffect:
    """The effect of the picture on an entity.

    Attributes:
        words (str): The entity's words.
        readings (tuple): The reading with the views, and the reading without them.
        attention (dict): View to its share of the words' attention.
        regions (list): Number, region, number of its picture from 1, and share, the largest share
            first. The region is None if the Doc does not have it.
        without_each (list): The reading without each of several pictures.
    """

    words: str
    readings: tuple["Reading", "Reading"]
    attention: dict[str, float]
    regions: list[tuple[int, ShownRegion | None, int, float]]
    without_each: list["Reading"]


@dataclass(frozen=True)
class ShownGold:
    """The gold annotation of a post beside the prediction.

    Attributes:
        pieces (list): The text in pieces, each with its gold entity or None.
        mistakes (list): The wrong and missed entities.
        annotated (bool): Whether there is gold annotation.
    """

    pieces: list[tuple[str, Span | None]]
    mistakes: list[Mistake]
    annotated: bool


@dataclass(frozen=True)
class ShownPost:
    """A post on the page.

    Attributes:
        doc (Doc): The post.
        pieces (list): The text in pieces, each with its entity or None.
        pictures (list): The pictures.
        regions (list): The regions that have a label.
        unnamed (int): The number of regions without a label, such as the cells of a grid.
        effects (list): The effects of the picture; None if they are not to be shown, or if only the
            text was read.
        views (str): The views that were read, as a phrase.
        gold (ShownGold): The gold annotation; None if it is not to be shown.
    """

    doc: Doc
    pieces: list[tuple[str, Span | None]]
    pictures: list[ShownPicture]
    regions: list[ShownRegion]
    unnamed: int
    effects: list[ShownEffect] | None
    views: str
    gold: ShownGold | None = None


def show_post(
    doc: Doc,
    colours: Colours,
    image_root: str | Path | None = None,
    effects: "Iterable[PictureEffect] | None" = None,
    gold: Doc | None = None,
) -> ShownPost:
    """Collect the content of a page about a post.

    Args:
        doc (Doc): The post.
        colours (Colours): The colours of entity types, and which of them are highlighted.
        image_root (Path): The only folder to read pictures from; None allows any path.
        effects (Iterable[PictureEffect]): The effects of the picture, if they are to be shown.
        gold (Doc): The same text with its gold entities, if they are to be shown.

    Returns:
        ShownPost: The content.

    Raises:
        MsvseError: If `doc` is not a Doc (MSVSE-E070), a region is malformed (MSVSE-E071), or the
            value of a picture is not one (MSVSE-E035). An unreadable picture is no error.
    """
    if not isinstance(doc, Doc):
        raise MsvseError(Errors.E070.format(type=type(doc).__name__))
    regions = [_show_region(*item) for item in enumerate(doc._.image_regions or (), 1)]
    named = [region for region in regions if region.label]
    views = [view for view, status in (doc._.image_status or {}).items() if status == USED]
    shown = None
    if effects is not None and views:
        shown = [
            _show_effect(doc, effect, regions)
            for effect in effects
            if colours.shows(effect.with_picture.label)
            or colours.shows(effect.without_picture.label)
        ]
    return ShownPost(
        doc,
        _cut(doc, colours),
        [
            replace(show_picture(source, image_root), number=number)
            for number, source in enumerate(picture_sources(doc), 1)
        ],
        named,
        len(regions) - len(named),
        shown,
        _list_views(views),
        None if gold is None else _show_gold(doc, gold, colours),
    )


def _show_gold(doc: Doc, gold: Doc, colours: Colours) -> ShownGold:
    mistakes = [
        mistake
        for mistake in find_mistakes([Example(doc, gold)])
        if any(colours.shows(one.label_) for one in (mistake.predicted, mistake.gold) if one)
    ]
    return ShownGold(_cut(gold, colours), mistakes, gold.has_annotation("ENT_IOB"))


def _list_views(views: Sequence[str]) -> str:
    """Views in words. A post may have views, such as a caption, without a picture."""
    names = ["picture" if view == "regions" else view for view in views]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _show_effect(doc: Doc, effect: "PictureEffect", regions: Sequence[ShownRegion]) -> ShownEffect:
    # A user may give vectors without regions.
    count = len(effect.regions)
    known = regions if len(regions) == count else [None] * count
    pictures = [number + 1 for number in effect.region_pictures] or [1] * count
    shares = list(zip(range(1, count + 1), known, pictures, effect.regions, strict=True))
    return ShownEffect(
        doc[effect.start : effect.end].text,
        (effect.with_picture, effect.without_picture),
        effect.attention,
        sorted(shares, key=itemgetter(3), reverse=True),
        effect.without_each,
    )


def _cut(doc: Doc, colours: Colours) -> list[tuple[str, Span | None]]:
    """Cut the text at the borders of its entities."""
    pieces: list[tuple[str, Span | None]] = []
    end = 0
    for entity in doc.ents:
        if colours.shows(entity.label_):
            pieces.append((doc.text[end : entity.start_char], None))
            pieces.append((entity.text, entity))
            end = entity.end_char
    return [*pieces, (doc.text[end:], None)]


def show_picture(
    source: str | bytes, image_root: str | Path | None = None, side: int = PICTURE_SIDE
) -> ShownPicture:
    """Encode a picture for a page.

    Args:
        source (str / bytes): A path or encoded bytes.
        image_root (Path): The only folder to read pictures from; None allows any path.
        side (int): The longest allowed side, in pixels.

    Returns:
        ShownPicture: The picture, or why it cannot be read.
    """
    name = PurePath(with_slashes(source)).name if isinstance(source, str) else ""
    try:
        image = open_picture(source, image_root, shrink_to=side)
    except PictureError as error:
        return ShownPicture(name, problem=error.reason)
    image.thumbnail((side, side))
    image.info.clear()  # or Pillow would write the comment of a JPEG
    stream = BytesIO()
    image.save(stream, "JPEG", quality=85)
    uri = "data:image/jpeg;base64," + b64encode(stream.getvalue()).decode("ascii")
    return ShownPicture(name, uri, *image.size)


def _show_region(number: int, region: Any) -> ShownRegion:
    try:
        label, score, *corners = region[:6]
        (picture,) = region[6:] or (0,)
        left, top, right, bottom = (100 * min(1.0, max(0.0, float(corner))) for corner in corners)
        shown = (left, top, max(right - left, 0.0), max(bottom - top, 0.0))
        return ShownRegion(number, str(label or ""), float(score), *shown, int(picture) + 1)
    except (TypeError, ValueError) as error:
        raise MsvseError(Errors.E071.format(region=region)) from error
