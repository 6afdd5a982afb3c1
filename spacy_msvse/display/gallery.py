"""Posts of a file as tiles, to choose from on the page of `serve`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy

from ..corpus.formats.options import ReadOptions
from ..corpus.formats.table import open_posts
from ..corpus.jsonl import parse_row
from ..corpus.post import PostRow
from .render import load_template
from .shown import show_picture

#: The number of posts in the gallery.
GALLERY_SIZE = 12

#: The longer side of a picture in the gallery, in pixels.
TILE_SIDE = 320


@dataclass(frozen=True)
class ChosenPost:
    """A post that a user of the page has typed or chosen.

    Attributes:
        post (PostRow): The post.
        values (dict): The values of its row, which the download contains too.
    """

    post: PostRow
    values: dict[str, Any]


def read_gallery(path: Path, image_root: str | Path | None) -> list[tuple[ChosenPost, str]]:
    """Read the first posts of a file that can be shown.

    Args:
        path (Path): The file of posts.
        image_root (Path): The only folder to read pictures from.

    Returns:
        list: The posts, each with its tile as HTML.
    """
    gallery: list[tuple[ChosenPost, str]] = []
    template = load_template("tile.html")
    # Any tokenizer will do to leave out posts without tokens.
    tokenizer = spacy.blank("xx")
    for row in open_posts(path, ReadOptions(annotation=False)).rows:
        if len(gallery) == GALLERY_SIZE:
            break
        try:
            post = parse_row(row)
            post.entities = None
            text = post.to_doc(tokenizer).text
        except ValueError:
            continue
        pictures = [show_picture(image, image_root, TILE_SIDE) for image in post.images]
        if not any(picture.problem for picture in pictures):
            number = len(gallery) + 1
            tile = template.render(post=post, text=text, pictures=pictures, number=number)
            gallery.append((ChosenPost(post, row.values), tile))
    return gallery
