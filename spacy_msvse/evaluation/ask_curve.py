"""The gain of asking a language model only for unsure posts, measured on posts whose answers are
known."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..component.unsure import masking_views, read_confidence, read_views, views_to_ask
from ..doc import USED
from ..errors import Errors, MsvseError
from .exact import post_counts
from .scores import annotate_examples
from .statistics import f1_score, paired_bootstrap

#: The view that is asked for if no extractor of the pipeline asks a server.
DEFAULT_VIEW = "knowledge"

#: Orders of the posts that random asking is averaged over.
NUM_ORDERS = 1000

#: Points of the curve, besides that of no post.
NUM_POINTS = 20


def choose_views(nlp: Language, names: Sequence[str] = ()) -> list[str]:
    """Choose the views that an answer fills.

    Args:
        nlp (Language): The pipeline.
        names (Sequence[str]): Their names; empty for those that its extractors ask for, or else
            `DEFAULT_VIEW`.

    Returns:
        list: Names of views that it reads.

    Raises:
        MsvseError: If it does not read one of them (MSVSE-E263).
    """
    known = read_views(nlp)
    chosen = [*names] or sorted(views_to_ask(nlp)) or [DEFAULT_VIEW]
    for view in chosen:
        if view not in known:
            reason = f"'{view}' is not a view that the pipeline was trained with"
            views = ", ".join(sorted(known)) or "none"
            raise MsvseError(Errors.E263.format(reason=reason, views=views))
    return chosen


def ask_curve(
    nlp: Language,
    examples: Iterable[Example],
    *,
    views: Sequence[str] = (),
    gain: float = 0.9,
    below: float | None = None,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Any]:
    """Compare asking for the least confident posts with asking for random ones and for all.

    Each post is read without the views and with them. The first reading gives its confidence, as in
    `annotate --ask-below`. Asking for a post replaces the first reading by the second one.

    Args:
        nlp (Language): The pipeline.
        examples (Iterable[Example]): Examples whose predicted side has the views, or for which a
            feature store has them. They are not changed.
        views (Sequence[str]): The views that an answer fills, as for `choose_views`.
        gain (float): The share of the gain of asking for all posts that is to be reached.
        below (float): A threshold to score; None for none.
        seed (int): Seed of random asking and of the bootstrap.
        progress (Callable): Wraps the stream of Docs of each reading, such as tqdm.

    Returns:
        dict: JSON-safe. Scores and shares are fractions: "posts", their number; "views";
            "answered", the number of posts that have a view; "without" and "with", F1 without any
            and with all answers; "gain", their difference "f1", with its 95% interval "low" and
            "high" and its "p" by the paired bootstrap; "wanted", the share of the gain; "chosen",
            the point with the smallest share of posts that reaches it, None if there is no gain;
            "random_share", the share of random posts that reaches it, None if there is no gain;
            "given", the point of `below`; "curve", points from no post to all. A point has "below",
            the threshold (None: only --ask asks for all); "asked" and "share", the number and the
            share of posts; "f", F1; and "f_random", the mean F1 of as many random posts.

    Raises:
        MsvseError: If the pipeline does not read a view (MSVSE-E263), if no post has one
            (MSVSE-E264), or if its method gives no confidence of posts (MSVSE-E260).
    """
    examples = list(examples)
    views = choose_views(nlp, views)
    with masking_views(nlp, views), _few_views_expected():
        first = annotate_examples(nlp, _copy(examples), progress=progress)
        confidences = np.asarray([read_confidence(nlp, one.predicted) for one in first])
    second = annotate_examples(nlp, _copy(examples), progress=progress)
    answered = sum(_has_view(example.predicted, views) for example in second)
    if not answered:
        raise MsvseError(Errors.E264.format(count=len(examples), views=", ".join(views)))
    without, with_answers = (np.asarray(post_counts(one)).reshape(-1, 3) for one in (first, second))
    curve = Curve(confidences, without, with_answers, seed)
    none, everything = float(curve.f1[0]), float(curve.f1[-1])
    target = none + gain * (everything - none)
    pays = everything > none
    return {
        "posts": len(examples),
        "views": views,
        "answered": answered,
        "without": none,
        "with": everything,
        "gain": asdict(paired_bootstrap(with_answers, without, seed=seed)),
        "wanted": gain,
        "chosen": curve.first_above(target) if pays else None,
        "random_share": curve.random_share(target) if pays else None,
        "given": None if below is None else curve.at_threshold(below),
        "curve": curve.points(),
    }


class Curve:
    """F1 by the number of posts that are asked for, the least confident first.

    A point of it is a dictionary, as `ask_curve` explains it.

    Args:
        confidences (np.ndarray): float of shape (posts,), of the readings without answers.
        without (np.ndarray): Numbers of right, predicted and gold entities of each post, of shape
            (posts, 3), without answers.
        with_answers (np.ndarray): The same with answers.
        seed (int): Seed of random asking.
    """

    def __init__(
        self, confidences: np.ndarray, without: np.ndarray, with_answers: np.ndarray, seed: int
    ) -> None:
        order = np.argsort(confidences, kind="stable")
        self.sorted = confidences[order]
        self.total = len(order)
        start, change = without.sum(axis=0), with_answers - without
        self.f1 = _scores(start, change[order])
        generator = np.random.default_rng(seed)
        self.random = np.zeros(self.total + 1)
        for _ in range(NUM_ORDERS):
            self.random += _scores(start, generator.permutation(change)) / NUM_ORDERS
        # A threshold asks for all posts of the same confidence, or for none of them.
        ends = np.flatnonzero(np.diff(self.sorted) > 0) + 1
        self.reachable = np.asarray([0, *ends, self.total])

    def at_threshold(self, below: float) -> dict[str, Any]:
        """The point of a threshold.

        Args:
            below (float): The threshold.

        Returns:
            dict: The point.
        """
        return self._point(int(np.searchsorted(self.sorted, below, side="left")), below)

    def first_above(self, target: float) -> dict[str, Any]:
        """The point of the fewest posts whose F1 is high enough.

        Args:
            target (float): The lowest F1, at most that of all posts.

        Returns:
            dict: The point.
        """
        return self._at(int(next(k for k in self.reachable if self.f1[k] >= target)))

    def random_share(self, target: float) -> float:
        """The share of random posts whose mean F1 is high enough.

        Args:
            target (float): The lowest F1, at most that of all posts.

        Returns:
            float: The share.
        """
        # Rounding may leave the last mean a little below the F1 of all posts.
        enough = np.flatnonzero(self.random[:-1] >= target)
        return float(enough[0] if len(enough) else self.total) / self.total

    def points(self) -> list[dict[str, Any]]:
        """Points at about equal distances, from no post to all.

        Returns:
            list: The points.
        """
        wanted = np.linspace(0, self.total, NUM_POINTS + 1)
        asked = self.reachable[np.searchsorted(self.reachable, wanted, side="left")]
        return [self._at(int(k)) for k in dict.fromkeys(asked.tolist())]

    def _point(self, asked: int, below: float | None) -> dict[str, Any]:
        return {
            "below": below,
            "asked": asked,
            "share": asked / self.total,
            "f": float(self.f1[asked]),
            "f_random": float(self.random[asked]),
        }

    def _at(self, asked: int) -> dict[str, Any]:
        return self._point(asked, self._threshold(asked))

    def _threshold(self, asked: int) -> float | None:
        """A short threshold that asks for so many posts, not near the confidence of any; None if
        none asks for all of them."""
        if asked == 0:
            return 0.0
        low = float(self.sorted[asked - 1])
        if asked == self.total:
            return 1.0 if low < 1 else None
        high = float(self.sorted[asked])
        middle, away = (low + high) / 2, (high - low) / 4
        shortened = (round(middle, digits) for digits in range(1, 16))
        return next((value for value in shortened if abs(value - middle) <= away), high)


def _scores(start: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """F1 of shape (posts + 1,), after the changes of the first posts."""
    return f1_score(np.vstack([start, start + np.cumsum(changes, axis=0)]))


def _copy(examples: Iterable[Example]) -> Iterator[Example]:
    return (Example(example.predicted.copy(), example.reference) for example in examples)


def _has_view(doc: Doc, views: Sequence[str]) -> bool:
    status = doc._.image_status or {}
    return any(status.get(view) == USED for view in views)


@contextmanager
def _few_views_expected() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\[MSVSE-W001\]")
        yield
