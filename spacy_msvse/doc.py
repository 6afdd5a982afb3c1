"""Pictures on spaCy's `Doc` and `Span`: the extension attributes, and `make_doc`. No torch here.

A user may set every attribute except those of `PREDICTED_ATTRIBUTES`. `None` means "not given". An
empty list or string means "given, and empty": no extractor fills it then. `doc._.images` has all
pictures, and `doc._.image` is the first of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup

from .checks import check_text, refuse
from .errors import Errors, MsvseError
from .picture_values import Picture, check_picture
from .values import (
    CHECKS,
    VIEW_ATTRIBUTES,
    Region,
    check_covered_types,
    check_pictures,
    check_spaces,
    check_words,
    clean_text,
)

#: Attributes of a Doc that describe its pictures. Corpus files and copies of a Doc keep them.
PICTURE_ATTRIBUTES = tuple(CHECKS)

#: Those of them that replace the result of an extractor.
DESCRIBING_ATTRIBUTES = ("image_tags", "image_caption", "image_texts", "image_features")

#: Attributes of a Doc that the component writes.
PREDICTED_ATTRIBUTES = ("image_status", "image_problems", "image_extracted", "visual_entities")

#: The values of `image_status`, the status of each view of a post.
USED, ABSENT, UNREADABLE, MASKED = "used", "absent", "unreadable", "masked"


def register_extensions() -> None:
    """Register the attributes once. Attributes that exist already are not changed."""
    for name in PICTURE_ATTRIBUTES:
        if not Doc.has_extension(name):
            Doc.set_extension(name, getter=partial(_get, name), setter=partial(_set, name))
    if not Doc.has_extension("image"):
        Doc.set_extension("image", getter=_get_first_picture, setter=_set_only_picture)
    for name in PREDICTED_ATTRIBUTES:
        if not Doc.has_extension(name):
            Doc.set_extension(name, default=None)
    if not Doc.has_extension("covered_types"):
        Doc.set_extension("covered_types", getter=get_covered_types, setter=set_covered_types)
    # Label, probability and key. spaCy keeps it by characters, and moves it along with them.
    if not Span.has_extension("scored_label"):
        Span.set_extension("scored_label", default=None)
    if not Doc.has_extension("confidence"):
        Doc.set_extension("confidence", getter=get_post_confidence)
    for name, getter in (("prediction", get_prediction), ("confidence", get_confidence)):
        if not Span.has_extension(name):
            Span.set_extension(name, getter=getter)


def _key(name: str) -> Any:
    """Where spaCy keeps the value of an attribute in `doc.user_data`."""
    return ("._.", name, None, None)


def _get(name: str, doc: Doc) -> Any:
    value = doc.user_data.get(_key(name))
    if value is None and name == "images":
        return []
    # Lists are tuples in a DocBin.
    return list(value) if isinstance(value, tuple) else value


def _set(name: str, doc: Doc, value: Any) -> None:
    value = CHECKS[name](value)
    if value is not None:
        doc.user_data[_key(name)] = value
    else:
        doc.user_data.pop(_key(name), None)


def _get_first_picture(doc: Doc) -> Any:
    images = doc._.images
    return images[0] if isinstance(images, list) and images else None


def _set_only_picture(doc: Doc, image: Picture) -> None:
    picture = check_picture(image)
    doc._.images = None if picture is None else [picture]


@dataclass(frozen=True)
class SpanPrediction:
    """The prediction of a component for a span.

    Attributes:
        probability (float): Probability that exactly these characters are an entity of this type.
        key (str): The `spans_key` of the component.
    """

    probability: float
    key: str


def get_prediction(span: Span) -> SpanPrediction | None:
    """Look up the prediction for an entity, `span._.prediction`.

    It is found by the characters of the span and by its label, so tokens may be merged or split.

    Args:
        span (Span): An entity, such as one of `doc.ents`.

    Returns:
        SpanPrediction: The prediction of the component that set the entity; None if none did.
    """
    found = span._.scored_label
    if found is None:
        # A DocBin without user data keeps the attributes of span groups.
        place = [span.start_char, span.end_char]
        for group in span.doc.spans.values():
            for start, end, *values in group.attrs.get("entities", ()):
                if [start, end] == place and values[0] == span.label_:
                    found = values
    if found is None or found[0] != span.label_:
        return None
    _, probability, key = found
    return SpanPrediction(float(probability), key)


def get_confidence(span: Span) -> float | None:
    """Look up the probability of a predicted entity, `span._.confidence`.

    Args:
        span (Span): An entity, such as one of `doc.ents`.

    Returns:
        float: Probability that exactly these characters are an entity of exactly this type; None if
            no component predicted it.
    """
    prediction = get_prediction(span)
    return None if prediction is None else prediction.probability


def get_post_confidence(doc: Doc) -> float | None:
    """Look up how sure the components are of a Doc as a whole, `doc._.confidence`.

    Args:
        doc (Doc): The Doc.

    Returns:
        float: The lowest of the confidences of its entities and, where no entity is found, of the
            probabilities that there is none; None if no component annotated it, or if the answer of
            its method has no such probabilities.
    """
    found = [group.attrs.get("confidence") for group in doc.spans.values()]
    return min((float(one) for one in found if one is not None), default=None)


def set_predictions(
    doc: Doc,
    key: str,
    spans: Sequence[Span],
    scores: Sequence[float],
    confidence: float | None = None,
) -> None:
    """Write the predictions of a component to a Doc, in place of its earlier ones: to
    `doc.spans[key]` with the attribute "scores", as spaCy's span categorizer does, and to the
    spans.

    Args:
        doc (Doc): The Doc.
        key (str): The `spans_key` of the component.
        spans (Sequence[Span]): The predicted entities.
        scores (Sequence[float]): Their probabilities.
        confidence (float): The confidence of the Doc; None if it has none.
    """
    for name, value in list(doc.user_data.items()):
        if isinstance(name, tuple) and name[:2] == ("._.", "scored_label") and value[2] == key:
            del doc.user_data[name]
    entities = []
    for span, score in zip(spans, scores, strict=True):
        span._.scored_label = [span.label_, float(score), key]
        entities.append([span.start_char, span.end_char, span.label_, float(score), key])
    group = SpanGroup(doc, name=key, spans=list(spans))
    group.attrs["scores"] = numpy.asarray(scores, dtype="float32")
    # spaCy does not adjust the tokens of a group when tokens are merged. Characters stay right.
    group.attrs["entities"] = entities
    if confidence is not None:
        group.attrs["confidence"] = float(confidence)
    doc.spans[key] = group


def get_covered_types(doc: Doc) -> list[str] | None:
    """The entity types that the annotation of a post covers, `doc._.covered_types`. Where it has no
    entity, there may be one of another type.

    Args:
        doc (Doc): The post. Its types are "types" in `doc.user_data["meta"]`.

    Returns:
        list: The types; None if the annotation covers all types.

    Raises:
        MsvseError: If they are not a list of texts (MSVSE-E035).
    """
    meta = doc.user_data.get("meta")
    return check_covered_types(meta.get("types") if isinstance(meta, dict) else None)


def set_covered_types(doc: Doc, types: Sequence[str] | None) -> None:
    """Say which entity types the annotation of a post covers.

    Args:
        doc (Doc): The post.
        types (Sequence[str]): The types; None for all types.

    Raises:
        MsvseError: If they are not a list of texts (MSVSE-E035).
    """
    meta = dict(doc.user_data.get("meta") or {})
    meta.pop("types", None)
    if (checked := check_covered_types(types)) is not None:
        meta["types"] = checked
    doc.user_data["meta"] = meta


def is_covered(doc: Doc, label: str) -> bool:
    """Whether the annotation of a post covers an entity type.

    Args:
        doc (Doc): The annotated post.
        label (str): The type.

    Returns:
        bool: True if so.
    """
    types = get_covered_types(doc)
    return types is None or label in types


def picture_sources(doc: Doc) -> tuple[str | bytes, ...]:
    """The pictures of a Doc.

    Args:
        doc (Doc): The Doc.

    Returns:
        tuple: A path or encoded bytes for each picture, in order.

    Raises:
        MsvseError: If a file of Docs held something else (MSVSE-E035).
    """
    return tuple(check_pictures(doc._.images) or ())


def set_extracted_views(doc: Doc, views: dict[str, Any]) -> None:
    """Write extracted views to a Doc. They replace views that were extracted earlier. Views that
    the user gave are kept.

    Args:
        doc (Doc): The Doc.
        views (dict): View to its value: tuples (label, score, x1, y1, x2, y2, picture) for
            "regions", a list of words for "tags", a text for all others. `doc._.image_extracted`
            lists their names.
    """
    earlier = extracted_views(doc)
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
        if isinstance(value, str):
            value = clean_text(value)
        elif view == "tags":
            value = [clean_text(tag) for tag in value]
        if name is None and view not in (doc._.image_texts or {}):
            doc._.image_texts = {**(doc._.image_texts or {}), view: value}
        elif name is not None and doc._.get(name) is None:
            doc._.set(name, value)
        else:
            continue
        written.append(view)
    doc._.image_extracted = sorted(written) or None


def extracted_views(doc: Doc) -> list[str]:
    """The views of a Doc that an extractor filled.

    Args:
        doc (Doc): The post.

    Returns:
        list: Their names. Values of other types, which a file may hold, are left out.
    """
    names = doc._.image_extracted
    return (
        [name for name in names if isinstance(name, str)] if isinstance(names, list | tuple) else []
    )


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
    if isinstance(values["images"], list) and not values["images"]:
        values["images"] = None
    for view in extracted_views(doc):
        if view in VIEW_ATTRIBUTES:
            values[VIEW_ATTRIBUTES[view]] = None
    values["image_texts"] = _given_texts(doc)
    values["meta"] = doc.user_data.get("meta")
    return {name: value for name, value in values.items() if value is not None}


def _given_texts(doc: Doc) -> dict[str, str] | None:
    texts: dict[str, str] | None = doc._.image_texts
    extracted = extracted_views(doc)
    if not isinstance(texts, dict) or not extracted:
        return texts
    given = {view: text for view, text in texts.items() if view not in extracted}
    return given or None


def set_picture_attributes(doc: Doc, values: dict[str, Any]) -> Doc:
    """Put the values that `get_picture_attributes` collected onto another Doc. They are checked
    when they are read, not here: one wrong value in a file must not end the reading of the file.

    Args:
        doc (Doc): The Doc to write to.
        values (dict): Attribute name to value.

    Returns:
        Doc: The same Doc.
    """
    for name, value in values.items():
        doc.user_data["meta" if name == "meta" else _key(name)] = value
    return doc


def make_doc(
    nlp: Language,
    text_or_words: str | Sequence[str],
    image: Picture = None,
    *,
    images: Sequence[Picture] | None = None,
    spaces: Sequence[bool] | None = None,
    tags: list[str] | None = None,
    caption: str | None = None,
    texts: dict[str, str] | None = None,
    regions: Sequence[Region | tuple[str, float, float, float, float, float]] | None = None,
    features: Any = None,
) -> Doc:
    """Make a Doc with its pictures. No component is run and no file is read.

    Args:
        nlp (Language): The pipeline whose tokenizer and vocabulary to use.
        text_or_words (str / Sequence[str]): A text to tokenize, or words to use without changes.
        image (Picture): The path of a picture, a data URI in base64, the bytes of a picture file,
            `{"bytes": ..., "path": ...}`, an open file, or pixels (a PIL image, an array or a
            tensor), which are encoded as PNG. None, NaN and `pandas.NA` are no picture.
        images (Sequence): Several such pictures, in order, in place of `image`.
        spaces (Sequence[bool]): Whether a blank follows each of the words. Defaults to None, which
            joins them by blanks.
        tags (list[str]): Words for the content of the pictures. This argument and the following
            ones replace the result of an extractor.
        caption (str): What the pictures show, as one text.
        texts (dict[str, str]): Further texts about the pictures by name, e.g. {"ocr": ...}.
        regions (list): Regions as (label, score, x1, y1, x2, y2), in relative coordinates, and
            with the number of the picture, from 0, at the end if there are several.
        features (numpy.ndarray / str / list): Region vectors, or their key in a feature store. For
            several pictures a list, with an array or a key for each picture, or None.

    Returns:
        Doc: The Doc.

    Raises:
        MsvseError: If one of the arguments cannot be used (MSVSE-E035; MSVSE-E071 for regions,
            MSVSE-E014 for features), or does not fit the number of pictures (MSVSE-E240).
    """
    picture = check_picture(image)
    if picture is not None and images is not None:
        raise refuse("`image` beside `images`", "images", "both name pictures", "one of the two")
    values = {
        "images": images if picture is None else [picture],
        "image_tags": tags,
        "image_caption": caption,
        "image_texts": texts,
        "image_regions": regions,
        "image_features": features,
    }
    doc = _tokenize(nlp, text_or_words, spaces)
    for name, value in values.items():
        doc._.set(name, value)
    check_numbers(len(doc._.images), doc._.image_features, doc._.image_regions)
    return doc


def check_numbers(count: int, features: Any, regions: Sequence[Region] | None) -> None:
    """Check that given regions and features are those of pictures that the post has.

    Args:
        count (int): The number of pictures. Without any, features may be those of any number.
        features (Any): The checked value of `image_features`.
        regions (list): The checked value of `image_regions`.

    Raises:
        MsvseError: If they are not (MSVSE-E240).
    """
    several = len(features) if isinstance(features, list) else 1
    if count and features is not None and several != count:
        given = f"`image_features` are those of {several}"
        raise MsvseError(Errors.E240.format(count=count, given=given))
    most = max(count, several)
    numbers = [region[6] for region in regions or ()]
    if max(numbers, default=0) >= most:
        given = f"`image_regions` has the picture number {max(numbers)}"
        raise MsvseError(Errors.E240.format(count=most, given=given))


def _tokenize(
    nlp: Language, text_or_words: str | Sequence[str], spaces: Sequence[bool] | None
) -> Doc:
    if not isinstance(nlp, Language):
        expected = "the pipeline as the first argument: `make_doc(nlp, text, image=...)`"
        raise refuse(type(nlp).__name__, "nlp", "it is not a pipeline", expected)
    if isinstance(text_or_words, str):
        return nlp.make_doc(check_text(text_or_words, "text_or_words"))
    if isinstance(text_or_words, list | tuple):
        words = check_words(text_or_words)
        doc = Doc(nlp.vocab, words=words, spaces=check_spaces(spaces, words))
        # Training tokenizes a text again if its blanks are known. Given words must stay whole.
        doc.has_unknown_spaces = True
        return doc
    expected = "a string or a list of strings"
    raise refuse(text_or_words, "text_or_words", "it is neither text nor words", expected)


register_extensions()
