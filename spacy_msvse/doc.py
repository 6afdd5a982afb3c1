"""Pictures on spaCy's `Doc` and `Span`: the extension attributes, and `make_doc`. No torch here.

A user may set every attribute except those of `PREDICTED_ATTRIBUTES`. `None` means "not given". An
empty list or string means "given, and empty": no extractor fills it then.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy
from spacy.language import Language
from spacy.tokens import Doc, Span

from .errors import Errors, MsvseError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Attributes of a Doc that describe its picture. Corpus files and copies of a Doc keep them.
PICTURE_ATTRIBUTES = (
    "image",
    "image_tags",
    "image_caption",
    "image_texts",
    "image_regions",
    "image_features",
)

#: Those of them that replace the result of an extractor.
DESCRIBING_ATTRIBUTES = ("image_tags", "image_caption", "image_texts", "image_features")

#: Views that have an attribute of their own; all others are in `image_texts`.
VIEW_ATTRIBUTES = {"regions": "image_regions", "tags": "image_tags", "caption": "image_caption"}

#: Attributes of a Doc that the component writes.
PREDICTED_ATTRIBUTES = ("image_status", "image_problems", "image_extracted", "visual_entities")

#: The values of `image_status`, the status of each view of a post.
USED, ABSENT, UNREADABLE, MASKED = "used", "absent", "unreadable", "masked"

#: Where in `doc.spans` the predicted entities and their probabilities are.
SPANS_KEY = "msvse_ner"

#: What `make_doc` accepts as a picture.
Picture = Union[str, Path, bytes, "Image", numpy.ndarray, None]

#: The modes of a PIL image that a PNG file can hold; any other is turned into RGB.
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


def register_extensions() -> None:
    """Register the attributes once. Attributes that exist already are not changed."""
    for name in PICTURE_ATTRIBUTES + PREDICTED_ATTRIBUTES:
        if not Doc.has_extension(name):
            Doc.set_extension(name, default=None)
    if not Span.has_extension("confidence"):
        Span.set_extension("confidence", getter=get_confidence)


def get_confidence(span: Span) -> float | None:
    """Look up the probability of a predicted entity, `span._.confidence`.

    Args:
        span (Span): An entity, such as one of `doc.ents`.

    Returns:
        float: Probability that exactly these tokens are an entity of exactly this type; None if the
            component did not predict it.
    """
    group = span.doc.spans.get(SPANS_KEY)
    if group is None:
        return None
    for other, score in zip(group, group.attrs.get("scores", ()), strict=False):
        if (other.start, other.end, other.label) == (span.start, span.end, span.label):
            return float(score)
    return None


def picture_source(doc: Doc) -> str | bytes | None:
    """The picture of a Doc.

    Args:
        doc (Doc): The Doc.

    Returns:
        str or bytes: A path or encoded bytes, None without a picture.

    Raises:
        MsvseError: If something else was assigned (MSVSE-E008).
    """
    image = doc._.image
    if image is None or isinstance(image, str | bytes):
        return image or None
    raise MsvseError(Errors.E008.format(type=type(image).__name__))


def given_view(doc: Doc, view: str) -> Any:
    """Get a view as the user gave it.

    Args:
        doc (Doc): The Doc.
        view (str): Name of the view.

    Returns:
        Any: The array of region vectors (`image_features`) for "regions"; for all other views a
            text, tags joined by commas. None for a view that the user did not give: it is missing,
            an extractor filled it, or it is a key in a feature store.
    """
    if view == "regions":
        features = doc._.image_features
        return None if isinstance(features, str) else features
    if view in (doc._.image_extracted or ()):
        return None
    if view == "tags":
        return None if doc._.image_tags is None else ", ".join(doc._.image_tags)
    if view == "caption":
        return doc._.image_caption
    return (doc._.image_texts or {}).get(view)


def set_extracted_views(doc: Doc, views: dict[str, Any]) -> None:
    """Write extracted views to a Doc. They replace views that were extracted earlier. Views that
    the user gave are kept.

    Args:
        doc (Doc): The Doc.
        views (dict): View to its value: tuples (label, score, x1, y1, x2, y2) for "regions", a list
            of words for "tags", a text for all others. `doc._.image_extracted` lists their names.
    """
    earlier = doc._.image_extracted
    if earlier:
        doc._.image_texts = _given_texts(doc)
        for view in earlier:
            if view in VIEW_ATTRIBUTES:
                doc._.set(VIEW_ATTRIBUTES[view], None)
    if not views and not earlier:
        return
    written = []
    for view, value in views.items():
        name = VIEW_ATTRIBUTES.get(view)
        if name is None and view not in (doc._.image_texts or {}):
            doc._.image_texts = {**(doc._.image_texts or {}), view: value}
        elif name is not None and doc._.get(name) is None:
            doc._.set(name, value)
        else:
            continue
        written.append(view)
    doc._.image_extracted = sorted(written) or None


def get_picture_attributes(doc: Doc) -> dict[str, Any]:
    """Collect what the user gave of a post besides its text.

    Args:
        doc (Doc): The post.

    Returns:
        dict: Attribute name to value, for the attributes that are set, without extracted views and
            predicted attributes; under "meta" the free-form description of the post
            (`doc.user_data["meta"]`), if any.
    """
    values = {name: doc._.get(name) for name in PICTURE_ATTRIBUTES}
    for view in doc._.image_extracted or ():
        if view in VIEW_ATTRIBUTES:
            values[VIEW_ATTRIBUTES[view]] = None
    values["image_texts"] = _given_texts(doc)
    values["meta"] = doc.user_data.get("meta")
    return {name: value for name, value in values.items() if value is not None}


def _given_texts(doc: Doc) -> dict[str, str] | None:
    texts: dict[str, str] | None = doc._.image_texts
    extracted = doc._.image_extracted or ()
    if texts is None or not extracted:
        return texts
    given = {view: text for view, text in texts.items() if view not in extracted}
    return given or None


def set_picture_attributes(doc: Doc, values: dict[str, Any]) -> Doc:
    """Put the values that `get_picture_attributes` collected onto another Doc.

    Args:
        doc (Doc): The Doc to write to.
        values (dict): Attribute name to value.

    Returns:
        Doc: The same Doc.
    """
    for name, value in values.items():
        if name == "meta":
            doc.user_data["meta"] = value
        else:
            doc._.set(name, value)
    return doc


def make_doc(
    nlp: Language,
    text_or_words: str | Sequence[str],
    image: Picture = None,
    *,
    spaces: Sequence[bool] | None = None,
    tags: list[str] | None = None,
    caption: str | None = None,
    texts: dict[str, str] | None = None,
    regions: list[tuple[str, float, float, float, float, float]] | None = None,
    features: Any = None,
) -> Doc:
    """Make a Doc with a picture. No component is run and no file is read.

    Args:
        nlp (Language): The pipeline whose tokenizer and vocabulary to use.
        text_or_words (str / Sequence[str]): A text to tokenize, or words to use without changes.
        image (str / Path / bytes / PIL.Image.Image / numpy.ndarray): The path of a picture, the
            bytes of a picture file, or pixels, which are encoded as PNG. Defaults to None, no
            picture.
        spaces (Sequence[bool]): Whether a blank follows each of the words. Defaults to None, which
            joins them by blanks.
        tags (list[str]): Words for the content of the picture. This argument and the following ones
            replace the result of an extractor.
        caption (str): What the picture shows, as a sentence.
        texts (dict[str, str]): Further texts about the picture by name, e.g. {"ocr": ...}.
        regions (list): Regions as (label, score, x1, y1, x2, y2), in relative coordinates.
        features (numpy.ndarray / str): Region vectors, or their key in a feature store.

    Returns:
        Doc: The Doc.

    Raises:
        MsvseError: If the text or the picture is of a type that cannot be used.
        ValueError: If an array does not hold pixels.
    """
    values = {
        "image": encode_picture(image),
        "image_tags": tags,
        "image_caption": caption,
        "image_texts": texts,
        "image_regions": regions,
        "image_features": features,
    }
    given = {name: value for name, value in values.items() if value is not None}
    return set_picture_attributes(_tokenize(nlp, text_or_words, spaces), given)


def encode_picture(image: Picture) -> str | bytes | None:
    """Convert a picture to a value that a Doc and a file can store.

    Args:
        image (str / Path / bytes / PIL.Image.Image / numpy.ndarray): The picture.

    Returns:
        str / bytes: A path, or the bytes of a picture file; None if there is no picture.

    Raises:
        MsvseError: If the picture is of a type that cannot be used.
        ValueError: If an array does not hold pixels.
    """
    if image is None or isinstance(image, str | bytes):
        return image
    if isinstance(image, Path):
        return str(image)
    if isinstance(image, bytearray | memoryview):
        return bytes(image)

    from PIL import Image

    if isinstance(image, numpy.ndarray):
        return _encode_png(_read_pixels(image))
    if isinstance(image, Image.Image):
        return _encode_png(image)
    raise MsvseError(
        Errors.E035.format(
            type=type(image).__name__,
            argument="image",
            reason="it is not a picture",
            expected="a path, the bytes of a picture file, a PIL image, an array of pixels or None",
        )
    )


def _tokenize(
    nlp: Language, text_or_words: str | Sequence[str], spaces: Sequence[bool] | None
) -> Doc:
    if isinstance(text_or_words, str):
        return nlp.make_doc(text_or_words)
    is_list = isinstance(text_or_words, list | tuple)
    if is_list and all(isinstance(word, str) for word in text_or_words):
        doc = Doc(
            nlp.vocab,
            words=list(text_or_words),
            spaces=None if spaces is None else list(spaces),
        )
        # Training tokenizes a text again if its blanks are known. Given words must stay whole.
        doc.has_unknown_spaces = True
        return doc
    raise MsvseError(
        Errors.E035.format(
            type=type(text_or_words).__name__,
            argument="text",
            reason="it is neither text nor words",
            expected="a string or a list of strings",
        )
    )


def _read_pixels(array: numpy.ndarray) -> "Image":
    from PIL import Image

    has_pixels = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != numpy.uint8 or array.size == 0 or not has_pixels:
        raise MsvseError(
            Errors.E035.format(
                type=f"an array of shape {array.shape} and type {array.dtype}",
                argument="image",
                reason="it does not hold pixels",
                expected="bytes (uint8) of shape (height, width) or (height, width, 1, 3 or 4)",
            )
        )
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)


def _encode_png(image: "Image") -> bytes:
    from PIL import ImageOps

    # The EXIF orientation is lost in the conversion, so the pixels are turned first.
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in PNG_MODES:
        upright = upright.convert("RGB")
    buffer = io.BytesIO()
    upright.save(buffer, format="PNG")
    return buffer.getvalue()


register_extensions()
