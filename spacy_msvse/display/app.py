"""The page of `python -m spacy msvse serve`. Streamlit runs this file for every answer.

Streamlit takes most texts for Markdown, which can load pictures of elsewhere. So what users, files
or models wrote goes through our templates, which escape it, or through `st.text`.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import spacy
import streamlit as st
from spacy.language import Language

from spacy_msvse.component.sources import set_image_root
from spacy_msvse.corpus.jsonl import dump_row, parse_row, read_rows, with_spans
from spacy_msvse.corpus.post import PostRow
from spacy_msvse.display.posts import PICTURE_SIDE, show_picture
from spacy_msvse.display.render import explain, load_template, render
from spacy_msvse.vision.picture import PictureError, open_picture

TITLE = "Entities in posts with pictures"

#: Characters that a text may have.
MAX_CHARACTERS = 5000

#: Posts that the gallery shows.
GALLERY_SIZE = 12

#: How many of them stand side by side.
GALLERY_COLUMNS = 3

#: The longer side of a picture in the gallery, in pixels.
TILE_SIDE = 320

#: Endings of the files to choose from. What a file really is, its content tells.
ENDINGS = ["jpg", "jpeg", "png", "gif", "webp", "avif", "bmp", "tif", "tiff"]


@dataclass(frozen=True)
class Shown:
    """A post to read.

    post (PostRow): The post.
    values (dict): What its row says, to go on with in the download.
    """

    post: PostRow
    values: dict[str, Any]


def main() -> None:
    """Ask for a post, and show what the pipeline finds in it."""
    arguments = read_arguments()
    st.set_page_config(page_title=TITLE, layout="wide")
    st.title(TITLE)
    nlp, lock = load_pipeline(arguments.model, arguments.image_root)
    if arguments.examples is None:
        shown = ask_for_post()
    else:
        own, gallery = st.tabs(["Your post", "Examples"])
        with own:
            shown = ask_for_post()
        with gallery:
            shown = choose_example(arguments.examples, arguments.image_root) or shown
    if shown is not None:
        show_answer(nlp, lock, shown, arguments.image_root)


def read_arguments() -> Namespace:
    """RETURNS (Namespace): What `serve` passes on."""
    parser = ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--examples", type=Path)
    parser.add_argument("--image-root", type=Path)
    return parser.parse_args()


@st.cache_resource(show_spinner="The pipeline is being loaded")
def load_pipeline(model: str, image_root: Path | None) -> tuple[Language, Lock]:
    """Load the pipeline that all sessions share.

    model (str): Its name or folder.
    image_root (Path): The only folder to read the pictures of examples from.
    RETURNS (tuple): The pipeline, and what to hold while using it.
    """
    nlp = spacy.load(model)
    set_image_root(nlp, image_root)
    return nlp, Lock()


def ask_for_post() -> Shown | None:
    """RETURNS (Shown): The post that was just handed in, or None."""
    with st.form("post"):
        upload = st.file_uploader("Picture", type=ENDINGS)
        text = st.text_area("Text", max_chars=MAX_CHARACTERS)
        handed_in = st.form_submit_button("Find entities", type="primary")
    if not handed_in:
        return None
    if not text.strip():
        st.warning("There is no text yet. Type one: entities are found in the text.")
        return None
    if upload is None:
        return Shown(PostRow(Path("post"), 1, text), {"text": text})
    post = PostRow(Path("post"), 1, text, image=upload.getvalue())
    return Shown(post, {"text": text, "image": upload.name})


def choose_example(path: Path, image_root: Path | None) -> Shown | None:
    """Show the gallery.

    path (Path): The JSONL file of the posts.
    image_root (Path): The only folder to read their pictures from.
    RETURNS (Shown): The post that was just chosen, or None.
    """
    chosen = None
    for index, (shown, tile) in enumerate(read_gallery(path, image_root)):
        # Row by row, so that the order is kept on a phone and when read aloud.
        if index % GALLERY_COLUMNS == 0:
            columns = st.columns(GALLERY_COLUMNS)
        with columns[index % GALLERY_COLUMNS]:
            st.html(tile)
            if st.button(f"Find entities in post {index + 1}"):
                chosen = shown
    return chosen


@st.cache_resource(show_spinner="The examples are being read")
def read_gallery(path: Path, image_root: Path | None) -> list[tuple[Shown, str]]:
    """Read the first posts of a file that can be shown.

    path (Path): The JSONL file.
    image_root (Path): The only folder to read pictures from.
    RETURNS (list): The posts, each with its tile as HTML.
    """
    gallery: list[tuple[Shown, str]] = []
    template = load_template("tile.html")
    # Any one will do: a post without tokens has none in the pipeline either.
    tokenizer = spacy.blank("xx")
    for row in read_rows(path):
        if len(gallery) == GALLERY_SIZE:
            break
        try:
            post = parse_row(row)
            post.entities = None
            text = post.to_doc(tokenizer).text
        except ValueError:
            continue
        picture = show_picture(post.image, image_root, TILE_SIDE)
        if picture is None or not picture.problem:
            number = len(gallery) + 1
            tile = template.render(post=post, text=text, picture=picture, number=number)
            gallery.append((Shown(post, row.values), tile))
    return gallery


def show_answer(nlp: Language, lock: Lock, shown: Shown, image_root: Path | None) -> None:
    """Read a post and show what was found, with and without its picture, tags and caption.

    nlp (Language): The pipeline.
    lock (Lock): Held while it is used: it is not made for several threads.
    shown (Shown): The post.
    image_root (Path): The only folder to read pictures from.
    """
    try:
        if shown.post.image is not None:
            open_picture(shown.post.image, image_root, shrink_to=PICTURE_SIDE)
    except PictureError as error:
        st.error("The picture cannot be read. Choose another one, or none.")
        st.text(str(error))
        return
    try:
        # A zone's words are forgotten: no text of a user stays in the vocabulary.
        with st.spinner("The post is being read"), lock, nlp.memory_zone():
            doc = nlp(shown.post.to_doc(nlp))
            doc.user_data["title"] = "What was found"
            effects = explain(nlp, [doc])
            answer = render(doc, jupyter=False, image_root=image_root, effects=effects)
            status = load_template("status.html").render(ents=doc.ents)
            row = dump_row(with_spans(shown.values, doc))
    except ValueError as error:
        st.error("The post cannot be read.")
        st.text(str(error))
        return
    st.html(status)
    st.html(answer)
    st.download_button("Download as JSON", row, "post.json", "application/json", on_click="ignore")


if __name__ == "__main__":
    main()
