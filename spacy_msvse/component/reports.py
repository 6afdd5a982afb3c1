"""Reports of the component about a stream of posts: one warning instead of one for each post."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image
from spacy.tokens import Doc

from ..doc import ABSENT
from .predictor import Prediction

#: Commands of spaCy that make Docs without pictures, and the commands to use instead.
_COMMANDS = {
    "spacy.cli.evaluate": "`spacy evaluate` loses pictures: use `python -m spacy msvse evaluate`.",
    "spacy.cli.benchmark_speed": "`spacy benchmark speed` loses pictures.",
    "spacy.cli.find_threshold": "`spacy find-threshold` loses pictures: use `min_confidence`.",
    "spacy.training.loop": (
        'spaCy\'s reader of corpora loses pictures: set `@readers = "spacy-msvse.Corpus.v1"` in '
        "[corpora]."
    ),
}

_DEFAULT_CAUSE = "Make Docs with pictures: `spacy_msvse.make_doc(nlp, text, image=...)`."


@dataclass
class StreamReport:
    """Counts of a stream of posts.

    Attributes:
        posts (int): Posts that are not empty.
        posts_with_views (int): Those of them that have a picture or another view.
        problems (int): Posts with a view that cannot be read.
        first_problem (str): The reason for the first of them.
        with_more_pictures (int): Posts with more pictures than are read.
        context (str): The first context of `as_tuples` that looks like a picture of a post without
            one; None if there is none.
    """

    posts: int = 0
    posts_with_views: int = 0
    problems: int = 0
    first_problem: str = ""
    with_more_pictures: int = 0
    context: str | None = None

    def add(self, docs: Sequence[Doc], predictions: Sequence[Prediction]) -> None:
        """Count posts.

        Args:
            docs (Sequence[Doc]): The posts.
            predictions (Sequence[Prediction]): The predictions for them.
        """
        for doc, prediction in zip(docs, predictions, strict=True):
            post = prediction.post
            if post is None:
                continue
            self.posts += 1
            self.posts_with_views += any(status != ABSENT for status in post.status.values())
            self.with_more_pictures += post.left_out > 0
            # A problem of all views is a picture that is not to be read.
            unread = [problem.reason for problem in post.problems if problem.view is not None]
            if unread:
                self.problems += 1
                self.first_problem = self.first_problem or unread[0]
            context = getattr(doc, "_context", None)
            if self.context is None and doc._.image is None and looks_like_picture(context):
                self.context = describe(context)

    @staticmethod
    def find_cause() -> str | None:
        """The probable reason why no post of the stream has a view, and what to do.

        Returns:
            str: A sentence; None if the stream has no posts, but the patterns of a ruler.
        """
        for module, function in _callers():
            if module.startswith("spacy.pipeline.") and function == "add_patterns":
                return None
            if module in _COMMANDS:
                return _COMMANDS[module]
        return _DEFAULT_CAUSE


def looks_like_picture(value: Any) -> bool:
    """Whether a value could be a picture or contain one: pixels, bytes, the name of a file.

    Args:
        value (Any): The value.

    Returns:
        bool: True if so.
    """
    if isinstance(value, dict):
        return any(looks_like_picture(one) for one in value.values())
    if isinstance(value, tuple | list):
        return any(looks_like_picture(one) for one in value)
    if isinstance(value, str | Path):
        return Path(value).suffix.lower() in Image.registered_extensions()
    return isinstance(value, bytes | np.ndarray | Image.Image)


def describe(value: Any) -> str:
    """Describe a value in a message.

    Args:
        value (Any): The value.

    Returns:
        str: The name of a file, or the type.
    """
    return f"'{value}'" if isinstance(value, str | Path) else f"of type {type(value).__name__}"


def _callers() -> Iterator[tuple[str, str]]:
    """Module and function of the calls that led here, the last one first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame.f_globals.get("__name__", ""), frame.f_code.co_name
        frame = frame.f_back
