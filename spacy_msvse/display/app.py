"""The page of `python -m spacy msvse serve`. Streamlit runs this file for every answer.

Streamlit reads most texts as Markdown, which can load pictures from other sites. So texts of users,
files or models are shown by this package's templates, which escape them, or by `st.text`.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from threading import Lock

import spacy
import streamlit as st
from spacy.cli._util import import_code
from spacy.language import Language

from spacy_msvse.component import components
from spacy_msvse.corpus.jsonl import dump_row, with_spans
from spacy_msvse.corpus.post import PostRow
from spacy_msvse.display.gallery import ChosenPost, read_gallery
from spacy_msvse.display.render import explain, load_template, render
from spacy_msvse.display.served import PIPELINES

TITLE = "Entities in posts with pictures"

PICTURE_PROBLEM = "A picture cannot be read. Choose another one, or none."

#: The highest number of characters of a text.
MAX_CHARACTERS = 5000

#: The number of columns of the gallery.
GALLERY_COLUMNS = 3

#: Endings of the files to choose from. The format itself is read from the content.
ENDINGS = ["jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "heif", "bmp", "tif", "tiff"]


def main() -> None:
    """Ask for a post, and show the entities that the pipeline finds in it."""
    arguments = read_arguments()
    st.set_page_config(page_title=TITLE, layout="wide")
    st.title(TITLE)
    nlp, lock = load_pipeline(arguments.model, arguments.image_root, arguments.code)
    if arguments.examples is None:
        shown = ask_for_post()
    else:
        own, gallery = st.tabs(["Your post", "Examples"])
        with own:
            shown = ask_for_post()
        with gallery:
            chosen = choose_example(arguments.examples, arguments.image_root)
        if chosen is not None:
            number, example = chosen
            # Over the page: below the gallery it would be out of view.
            over_the_page = st.dialog(f"Post {number}", width="large")(show_answer)
            over_the_page(nlp, lock, example, arguments.image_root)
    if shown is not None:
        show_answer(nlp, lock, shown, arguments.image_root)


def read_arguments() -> Namespace:
    """The arguments that `serve` gives."""
    parser = ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--examples", type=Path)
    parser.add_argument("--image-root")
    parser.add_argument("--code", type=Path)
    return parser.parse_args()


@st.cache_resource(show_spinner="Loading the pipeline")
def load_pipeline(model: str, image_root: str | None, code: Path | None) -> tuple[Language, Lock]:
    """Load the pipeline that all sessions share.

    Args:
        model (str): Its name or folder.
        image_root (Path): The only folder to read the pictures of examples from.
        code (Path): A Python file with registered functions.

    Returns:
        tuple: The pipeline, and the lock to hold while using it.
    """
    nlp = PIPELINES.get(model)
    if nlp is None:
        import_code(code)
        nlp = spacy.load(model)
    for _, component in components(nlp):
        component.image_root = image_root
        component.on_missing_image = "ignore"  # the page shows the reason
    return nlp, Lock()


def ask_for_post() -> ChosenPost | None:
    """The post that was just submitted, or None."""
    with st.form("post"):
        uploads = st.file_uploader("Pictures", type=ENDINGS, accept_multiple_files=True)
        text = st.text_area("Text", max_chars=MAX_CHARACTERS)
        submitted = st.form_submit_button("Find entities", type="primary")
    if not submitted:
        return None
    if not text.strip():
        st.warning("There is no text yet. Type one: the entities are in the text.")
        return None
    contents: list[str | bytes] = [upload.getvalue() for upload in uploads]
    if not all(contents):
        show_problem(PICTURE_PROBLEM, "The file is empty.")
        return None
    names = [upload.name for upload in uploads]
    values = {"image": names[0]} if len(names) == 1 else {"images": names} if names else {}
    post = PostRow(Path("post"), 1, text, images=contents)
    return ChosenPost(post, {"text": text, **values})


def choose_example(path: Path, image_root: str | None) -> tuple[int, ChosenPost] | None:
    """Show the gallery.

    Args:
        path (Path): The JSONL file of the posts.
        image_root (Path): The only folder to read their pictures from.

    Returns:
        tuple: The number of the post that was just chosen, and the post; None without one.
    """
    chosen = None
    read = st.cache_resource(show_spinner="Loading the examples")(read_gallery)
    for index, (shown, tile) in enumerate(read(path, image_root)):
        # Row by row: this is the order on a phone and for screen readers.
        if index % GALLERY_COLUMNS == 0:
            columns = st.columns(GALLERY_COLUMNS)
        with columns[index % GALLERY_COLUMNS]:
            st.html(tile)
            if st.button(f"Find entities in post {index + 1}"):
                chosen = index + 1, shown
    return chosen


def show_answer(nlp: Language, lock: Lock, shown: ChosenPost, image_root: str | None) -> None:
    """Annotate a post and show its entities, with and without its picture, tags and caption.

    Args:
        nlp (Language): The pipeline.
        lock (Lock): Held while the pipeline is used, which is not thread-safe.
        shown (ChosenPost): The post.
        image_root (Path): The only folder to read pictures from.
    """
    try:
        # The zone removes its words from the vocabulary at its end, so no text of a user is kept.
        with st.spinner("Finding entities"), lock, nlp.memory_zone():
            doc = nlp(shown.post.to_doc(nlp))
            if unread := [reason for _, view, reason in doc._.image_problems or () if view]:
                show_problem(PICTURE_PROBLEM, unread[0])
                return
            doc.user_data["title"] = "Entities"
            effects = explain(nlp, [doc])
            answer = render(doc, jupyter=False, image_root=image_root, effects=effects)
            status = load_template("status.html").render(ents=doc.ents)
            row = dump_row(with_spans(shown.values, doc))
    except ValueError as error:
        show_problem("The post cannot be read.", str(error))
        return
    st.html(status)
    st.html(answer)
    st.download_button("Download as JSON", row, "post.json", "application/json", on_click="ignore")


def show_problem(message: str, reason: str) -> None:
    """Show why there is no answer.

    Args:
        message (str): The message.
        reason (str): The reason, which may contain text of a user.
    """
    st.error(message)
    st.text(reason)


if __name__ == "__main__":
    main()
