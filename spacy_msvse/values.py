"""Values of the attributes of a Doc: checked, and in a form that spaCy's files can hold. No torch.

The value of an attribute is checked when it is assigned, also by `make_doc`, and again when it is
read, because a file may hold anything.
"""

import math
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy

from .checks import check_text, refuse
from .errors import Errors, MsvseError
from .picture_values import check_picture, is_missing

#: Views that have an attribute of their own; all others are in `image_texts`.
VIEW_ATTRIBUTES = {"regions": "image_regions", "tags": "image_tags", "caption": "image_caption"}

#: A region of a picture: label, score, x1, y1, x2, y2, and the number of the picture, from 0.
Region = tuple[str, float, float, float, float, float, int]

#: Numbers of pictures are smaller than this.
MAX_PICTURES = 10_000


def check_pictures(images: Any) -> list[str | bytes] | None:
    """Check the pictures of a post.

    Args:
        images (Sequence): Pictures as `check_picture` takes them, or None.

    Returns:
        list: The pictures; None if there are none.

    Raises:
        MsvseError: If it is not a list, or one of its items cannot be used as a picture
            (MSVSE-E035).
    """
    if is_missing(images):
        return None
    expected = 'a list of pictures, such as ["first.jpg", "second.jpg"]'
    if isinstance(images, numpy.ndarray) and images.dtype == object and images.ndim == 1:
        images = images.tolist()  # a list in a table
    if not isinstance(images, list | tuple):
        raise refuse(_quoted(images), "images", "it is not a list", expected)
    pictures = [check_picture(image) for image in images]
    if None in pictures:
        raise refuse("a list", "images", f"item {pictures.index(None)} is no picture", expected)
    return pictures or None  # type: ignore[return-value]


def check_tags(tags: Any) -> list[str] | None:
    """Check the words for the content of a picture.

    Args:
        tags (Sequence[str]): The words, or None.

    Returns:
        list: The words, or None.

    Raises:
        MsvseError: If it is not a list of texts (MSVSE-E035).
    """
    if tags is None:
        return None
    expected = 'a list of words, such as ["waterfall"]'
    if not isinstance(tags, list | tuple):
        raise refuse(_quoted(tags), "image_tags", "it is not a list", expected)
    for tag in tags:
        if not isinstance(tag, str):
            raise refuse("a list", "image_tags", f"{tag!r} in it is not a text", expected)
        check_text(tag, "image_tags")
    return list(tags)


def check_covered_types(types: Any) -> list[str] | None:
    """Check the entity types that an annotation covers.

    Args:
        types (Sequence[str]): The types, or None.

    Returns:
        list: The types, or None.

    Raises:
        MsvseError: If it is not a list of texts (MSVSE-E035).
    """
    if types is None:
        return None
    expected = 'a list of entity types, such as ["PER", "LOC"], or None for all types'
    if not isinstance(types, list | tuple):
        raise refuse(_quoted(types), "covered_types", "it is not a list", expected)
    for one in types:
        if not isinstance(one, str) or not one.strip():
            raise refuse("a list", "covered_types", f"{one!r} in it is not a type", expected)
    return list(types)


def check_caption(caption: Any) -> str | None:
    """Check the description of a picture.

    Args:
        caption (str): The description, or None.

    Returns:
        str: The description, or None.

    Raises:
        MsvseError: If it is not a text (MSVSE-E035).
    """
    if caption is None:
        return None
    if not isinstance(caption, str):
        raise refuse(caption, "image_caption", "it is not a text", "one text")
    return check_text(caption, "image_caption")


def check_texts(texts: Any) -> dict[str, str] | None:
    """Check the further texts of a post.

    Args:
        texts (dict): View to text, or None.

    Returns:
        dict: View to text, or None.

    Raises:
        MsvseError: If it is not a dictionary from names to texts, or has a view with an attribute
            of its own (MSVSE-E035).
    """
    if texts is None:
        return None
    expected = 'a dictionary from names of views to texts, such as {"ocr": "..."}'
    if not isinstance(texts, dict):
        raise refuse(_quoted(texts), "image_texts", "it is not a dictionary", expected)
    for view, text in texts.items():
        if not isinstance(view, str) or not isinstance(text, str):
            reason = f"{view!r}: {text!r} in it is not a name with a text"
            raise refuse("a dictionary", "image_texts", reason, expected)
        if view in VIEW_ATTRIBUTES:
            reason = f"the view '{view}' has an attribute of its own, `{VIEW_ATTRIBUTES[view]}`"
            raise refuse("a dictionary", "image_texts", reason, expected)
        check_text(view, "image_texts")
        check_text(text, "image_texts")
    return dict(texts)


def check_regions(regions: Any) -> list[Region] | None:
    """Check the regions of pictures.

    Args:
        regions (Sequence): Tuples (label, score, x1, y1, x2, y2, picture), or None. The number of
            the picture, from 0, may be missing: it is 0 then.

    Returns:
        list: The tuples with the number of the picture, or None.

    Raises:
        MsvseError: If it is not a list of such tuples (MSVSE-E071).
    """
    if regions is None:
        return None
    if not isinstance(regions, list | tuple):
        raise MsvseError(Errors.E071.format(region=regions))
    return [_check_region(region) for region in regions]


def check_features(features: Any) -> Any:
    """Check region vectors, or their key in a feature store, of one picture or of several.

    Args:
        features (numpy.ndarray / str / list): Vectors of shape (regions, width), or a key; for
            several pictures a list with an array for each picture, or a key for each. An item is
            None for a picture without vectors. None for nothing.

    Returns:
        Any: An array, a key or a list of either; None if nothing was given.

    Raises:
        MsvseError: If it is something else (MSVSE-E014).
    """
    if not isinstance(features, list | tuple) or not any(map(_is_of_picture, features)):
        return _check_vectors(features)
    parts = [_check_vectors(part) for part in features]
    given = [part for part in parts if part is not None]
    if any(isinstance(part, str) for part in given):
        if not all(isinstance(part, str) for part in given):
            raise MsvseError(Errors.E014.format(given="a list of both arrays and keys"))
    elif len({part.shape[1] for part in given}) > 1:
        raise MsvseError(Errors.E014.format(given="a list of arrays of different widths"))
    return parts


def _is_of_picture(part: Any) -> bool:
    """Whether an item is the vectors of a picture. Numbers in it would be those of a region."""
    if isinstance(part, list | tuple):
        return bool(part) and isinstance(part[0], list | tuple | numpy.ndarray)
    return isinstance(part, str) or getattr(part, "ndim", 0) == 2


def _check_vectors(features: Any) -> Any:
    """Check the vectors of one picture, or their key."""
    if features is None or isinstance(features, str):
        return features
    try:
        array = numpy.asarray(features)
    except ValueError as error:  # of numpy, for rows of different lengths
        raise MsvseError(Errors.E014.format(given="rows of different lengths")) from error
    except TypeError as error:  # of a tensor on a GPU
        given = f"a {type(features).__name__} that cannot be read as an array"
        raise MsvseError(Errors.E014.format(given=given)) from error
    if array.ndim != 2 or not array.size:
        raise MsvseError(Errors.E014.format(given=f"an array of shape {array.shape}"))
    if array.dtype.kind not in "fiu":
        raise MsvseError(Errors.E014.format(given=f"an array of type {array.dtype}"))
    if not numpy.isfinite(array).all():
        raise MsvseError(Errors.E014.format(given="an array with numbers that are not finite"))
    limit = float(numpy.finfo(numpy.float16).max)
    if numpy.abs(array, dtype="float64").max() > limit:
        given = f"an array with numbers beyond {limit:.0f}, the largest that a feature store holds"
        raise MsvseError(Errors.E014.format(given=given))
    return array


#: Attribute of a Doc that a user sets to the function that checks its value.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "images": check_pictures,
    "image_tags": check_tags,
    "image_caption": check_caption,
    "image_texts": check_texts,
    "image_regions": check_regions,
    "image_features": check_features,
}


def _quoted(value: Any) -> Any:
    """A text in quotation marks, shortened; any other value as it is."""
    return repr(value[:40]) if isinstance(value, str) else value


def _check_region(region: Any) -> Region:
    try:
        label, score, x1, y1, x2, y2, *others = region
        (picture,) = others or (0,)
        picture = index(picture)
        numbers = [float(number) for number in (score, x1, y1, x2, y2)]
    except (TypeError, ValueError, OverflowError) as error:
        raise MsvseError(Errors.E071.format(region=region)) from error
    is_known = all(map(math.isfinite, numbers)) and isinstance(label, str | None)
    if not is_known or not 0 <= picture < MAX_PICTURES:
        raise MsvseError(Errors.E071.format(region=region))
    return (check_text(label or "", "image_regions"), *numbers, picture)  # type: ignore[return-value]


def clean_text(text: str) -> str:
    """Replace lone surrogates in the text of an extractor, so that it can be saved.

    Args:
        text (str): The text.

    Returns:
        str: The text, with a question mark for each lone surrogate.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def check_words(words: Sequence[Any]) -> list[str]:
    """Check the words of a post.

    Args:
        words (Sequence[str]): The words.

    Returns:
        list: The words.

    Raises:
        MsvseError: If one of them is not a text, or is empty (MSVSE-E035).
    """
    expected = "a string or a list of strings"
    if not all(isinstance(word, str) for word in words):
        raise refuse(words, "text_or_words", "it is neither text nor words", expected)
    if not all(words):
        raise refuse(words, "text_or_words", "one of its words is empty", expected)
    return [check_text(word, "text_or_words") for word in words]


def check_spaces(spaces: Any, words: Sequence[str]) -> list[bool] | None:
    """Check the blanks between words.

    Args:
        spaces (Sequence[bool]): Whether a blank follows each of the words, or None.
        words (Sequence[str]): The words.

    Returns:
        list: The blanks, or None.

    Raises:
        MsvseError: If it is not one bool for each word (MSVSE-E035).
    """
    if spaces is None:
        return None
    fits = isinstance(spaces, list | tuple) and len(spaces) == len(words)
    if not fits or not all(isinstance(space, bool) for space in spaces):
        expected = "a list of true or false, one for each word"
        raise refuse(_quoted(spaces), "spaces", "it does not fit the words", expected)
    return list(spaces)
