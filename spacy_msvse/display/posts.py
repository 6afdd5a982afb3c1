"""What a page shows of one post, taken from its Doc."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from operator import itemgetter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span

from ..component.posts import USED
from ..doc import picture_source
from ..errors import Errors, MsvseError
from ..network.config import REGIONS
from ..vision.picture import PictureError, open_picture
from .look import Look

if TYPE_CHECKING:
    from ..component.requests import Finding, PictureEffect

#: The longer side of a picture on the page, in pixels.
PICTURE_SIDE = 800


@dataclass(frozen=True)
class ShownPicture:
    """A picture as the page shows it, or why it does not.

    name (str): The name of the file, without its folder; "" for a picture given as bytes.
    uri (str): The pixels, encoded anew, as a `data:` URI.
    width (int): Width in pixels.
    height (int): Height in pixels.
    problem (str): Why the picture cannot be read; names no folder, since pages are passed on.
    """

    name: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


@dataclass(frozen=True)
class ShownRegion:
    """A region; its box is in per cent of the picture's width and height.

    number (int): Its place in `doc._.image_regions`, from 1.
    """

    number: int
    label: str
    score: float
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class ShownEffect:
    """What the picture did to an entity.

    words (str): The entity's words.
    findings (tuple): What was found with the views, and without them.
    attention (dict): View to the share of the words' attention that it got.
    regions (list): Number, region and share, the largest share first. The region is None where the
        Doc does not tell it.
    """

    words: str
    findings: tuple["Finding", "Finding"]
    attention: dict[str, float]
    regions: list[tuple[int, ShownRegion | None, float]]


@dataclass(frozen=True)
class ShownPost:
    """A post as the page shows it.

    doc (Doc): The post, for what is shown as it stands.
    pieces (list): The text in pieces, each with its entity or None.
    picture (ShownPicture): The picture; None if the post has none.
    regions (list): The regions that have a label.
    unnamed (int): How many regions have none, such as the cells of a grid.
    effects (list): What the picture did; None if nobody asked, or if nothing but the text was read.
    views (str): The views that were read, as a phrase.
    """

    doc: Doc
    pieces: list[tuple[str, Span | None]]
    picture: ShownPicture | None
    regions: list[ShownRegion]
    unnamed: int
    effects: list[ShownEffect] | None
    views: str


def show_post(
    doc: Doc,
    look: Look,
    image_root: str | Path | None = None,
    effects: "Iterable[PictureEffect] | None" = None,
) -> ShownPost:
    """Gather what a page shows of a post.

    doc (Doc): The post.
    look (Look): Tells which entities are highlighted.
    effects (Iterable[PictureEffect]): What the picture did, if it is to be shown.
    image_root (Path): The only folder to read pictures from; None allows any path.
    RETURNS (ShownPost): The post as it is shown.
    RAISES (MsvseError): If it is not a Doc (MSVSE-E070).
    RAISES (ValueError): If a region is malformed (MSVSE-E071), or what was assigned as the picture
        is none (MSVSE-E008). A picture that cannot be read is no error.
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
            if look.shows(effect.with_picture.label) or look.shows(effect.without_picture.label)
        ]
    return ShownPost(
        doc,
        _cut(doc, look),
        show_picture(picture_source(doc), image_root),
        named,
        len(regions) - len(named),
        shown,
        _list_views(views),
    )


def _list_views(views: Sequence[str]) -> str:
    """Views in words: what the network was told, which need not be a picture."""
    names = ["picture" if view == REGIONS else view for view in views]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _show_effect(doc: Doc, effect: "PictureEffect", regions: Sequence[ShownRegion]) -> ShownEffect:
    # Vectors that a user gave may come without regions.
    known = regions if len(regions) == len(effect.regions) else [None] * len(effect.regions)
    shares = list(zip(range(1, len(known) + 1), known, effect.regions, strict=True))
    return ShownEffect(
        doc[effect.start : effect.end].text,
        (effect.with_picture, effect.without_picture),
        effect.attention,
        sorted(shares, key=itemgetter(2), reverse=True),
    )


def _cut(doc: Doc, look: Look) -> list[tuple[str, Span | None]]:
    """The text at the borders of its entities."""
    pieces: list[tuple[str, Span | None]] = []
    end = 0
    for entity in doc.ents:
        if look.shows(entity.label_):
            pieces.append((doc.text[end : entity.start_char], None))
            pieces.append((entity.text, entity))
            end = entity.end_char
    return [*pieces, (doc.text[end:], None)]


def show_picture(
    source: str | bytes | None, image_root: str | Path | None = None, side: int = PICTURE_SIDE
) -> ShownPicture | None:
    """Make a picture ready for a page.

    source (str / bytes): A path or encoded bytes; None for no picture.
    image_root (Path): The only folder to read pictures from; None allows any path.
    side (int): The longer side it may have, in pixels.
    RETURNS (ShownPicture): The picture, or why it cannot be read; None if there is none.
    """
    if source is None:
        return None
    name = PurePath(source).name if isinstance(source, str) else ""
    try:
        image = open_picture(source, image_root, shrink_to=side)
    except PictureError as error:
        return ShownPicture(name, problem=error.reason)
    image.thumbnail((side, side))
    image.info.clear()  # Pillow would write a JPEG's comment again
    stream = BytesIO()
    image.save(stream, "JPEG", quality=85)
    uri = "data:image/jpeg;base64," + b64encode(stream.getvalue()).decode("ascii")
    return ShownPicture(name, uri, *image.size)


def _show_region(number: int, region: Any) -> ShownRegion:
    try:
        label, score, *corners = region
        left, top, right, bottom = (100 * min(1.0, max(0.0, float(corner))) for corner in corners)
        shown = (left, top, max(right - left, 0.0), max(bottom - top, 0.0))
        return ShownRegion(number, str(label or ""), float(score), *shown)
    except (TypeError, ValueError) as error:
        raise MsvseError(Errors.E071.format(region=region)) from error
