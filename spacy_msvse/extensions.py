"""The attributes that carry a picture, and what was seen in it, on spaCy's `Doc` and `Span`.

Every attribute but the two predicted ones may be set by a user. `None` means "not given"; an
empty list or string means "given, and empty", which keeps an extractor from filling it in.
"""

from typing import Any

from spacy.tokens import Doc, Span

from .errors import Errors

#: Attributes of a Doc that describe its picture: these travel with a post through a corpus.
PICTURE_ATTRIBUTES = (
    "image",
    "image_tags",
    "image_caption",
    "image_texts",
    "image_regions",
    "image_features",
)

#: Those of them that tell something of the picture without looking at it.
DESCRIBING_ATTRIBUTES = ("image_tags", "image_caption", "image_texts", "image_features")

#: Attributes of a Doc that the component writes.
PREDICTED_ATTRIBUTES = ("image_status", "image_extracted", "visual_entities")

#: Where in `doc.spans` the predicted entities and their probabilities are.
SPANS_KEY = "msvse_ner"

#: Colours for displaCy, registered as an entry point.
DISPLACY_COLORS = {
    "PER": "#a5d8ff",
    "LOC": "#b2f2bb",
    "ORG": "#ffd8a8",
    "MISC": "#eebefa",
    "OTHER": "#eebefa",
}


def register_extensions() -> None:
    """Register the attributes once; attributes that exist already are left alone."""
    for name in PICTURE_ATTRIBUTES + PREDICTED_ATTRIBUTES:
        if not Doc.has_extension(name):
            Doc.set_extension(name, default=None)
    if not Span.has_extension("confidence"):
        Span.set_extension("confidence", getter=get_confidence)


def get_confidence(span: Span) -> float | None:
    """Look up the probability of a predicted entity, `span._.confidence`.

    span (Span): An entity, such as one of `doc.ents`.
    RETURNS (float): Probability that exactly these tokens are an entity of exactly this type; None
        if the component did not predict it.
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

    doc (Doc): The Doc.
    RETURNS (str or bytes): A path or encoded bytes, None without a picture.
    RAISES (ValueError): If something else was assigned (MSVSE-E008).
    """
    image = doc._.image
    if image is None or isinstance(image, str | bytes):
        return image or None
    raise ValueError(Errors.E008.format(type=type(image).__name__))


def get_picture_attributes(doc: Doc) -> dict[str, Any]:
    """Collect what a post carries besides its text, without the predicted attributes.

    doc (Doc): The post.
    RETURNS (dict): Attribute name to value, for the attributes that are set; under "meta" the
        free-form description of the post (`doc.user_data["meta"]`), if any.
    """
    values = {name: doc._.get(name) for name in PICTURE_ATTRIBUTES}
    for name in doc._.image_extracted or ():
        values[name] = None
    values["meta"] = doc.user_data.get("meta")
    return {name: value for name, value in values.items() if value is not None}


def set_picture_attributes(doc: Doc, values: dict[str, Any]) -> Doc:
    """Put the values that `get_picture_attributes` collected onto another Doc.

    doc (Doc): The Doc to write to.
    values (dict): Attribute name to value.
    RETURNS (Doc): The same Doc.
    """
    for name, value in values.items():
        if name == "meta":
            doc.user_data["meta"] = value
        else:
            doc._.set(name, value)
    return doc


register_extensions()
