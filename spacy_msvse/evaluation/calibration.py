"""Calibration: the fit of temperatures, and the calibration error. Of the entities with confidence
p, a share of p should be right."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from spacy.training import Example
from spacy.util import minibatch
from torch import Tensor

from ..component.predictor import Predictor
from ..component.temperatures import has_views, name_without
from ..errors import Warnings
from ..network.spans import SpanDistribution
from .gold import is_right
from .statistics import interval, resample

if TYPE_CHECKING:
    from ..component.pipe import MsvseNer

#: A temperature lies between 1 / LIMIT and LIMIT. Entities that are all wrong would need more.
LIMIT = 10.0

#: A temperature is at a limit if it is less than this factor away from it.
_MARGIN = 1.1

#: Number of posts in a batch of `calibrate`. The scores of all posts are kept.
BATCH_SIZE = 128

#: Fewer entities than this do not determine a temperature.
MIN_ENTITIES = 20

NUM_BINS = 10
NUM_RESAMPLES = 1000


@dataclass
class Judged:
    """The entities that were found in a batch of posts, and which of them are right.

    Attributes:
        distribution (SpanDistribution): The probabilities by which they were found, in double
            precision: single precision cannot distinguish 1 - p from 0 if p is near 1.
        entities (Tensor): int64 of shape (E, 4): post, first token, token after the last, and type.
        right (Tensor): bool of shape (E,).
    """

    distribution: SpanDistribution
    entities: Tensor
    right: Tensor


@dataclass
class Calibration:
    """The result of a calibration.

    Attributes:
        posts (str): The posts that it holds for: the name of the component, and the views that they
            lack, if any.
        temperature (float): The new temperature.
        entities (int): The number of predicted entities that could be judged.
        log_loss_before (float): Their mean negative log-likelihood of being right or wrong, with
            the earlier temperature; None without any entity.
        log_loss_after (float): The same with the new temperature.
        determined (bool): Whether the posts determined the temperature.
        without (Calibration): The result for posts without the views of `view_dropout`; None
            without such views.
    """

    posts: str
    temperature: float
    entities: int
    log_loss_before: float | None
    log_loss_after: float | None
    determined: bool
    without: "Calibration | None" = None


# Fit


def calibrate(
    component: "MsvseNer", examples: Iterable[Example], *, source: str | None = None
) -> Calibration:
    """Fit the temperature of a component, so that a share of p of the entities with confidence p is
    right. The predicted entities do not change; all later probabilities change. If the posts do not
    determine a temperature, it does not change, and there is a warning (MSVSE-W008).

    If the component was trained with `view_dropout`, there are two temperatures: one for posts that
    have these views, and one for posts that lack one of them. All posts are read a second time
    without these views to fit the second one.

    Args:
        component (MsvseNer): The component.
        examples (Iterable[Example]): Posts that the component was not trained on.
        source (str): A name for these posts, for the saved pipeline and its model card.

    Returns:
        Calibration: The result.

    Raises:
        MsvseError: Before the network is built (MSVSE-E003), or for an unreadable picture if
            `on_missing_image` is "error" (MSVSE-E020).
    """
    views = component.optional_views
    predictor, without = component.predictor, None
    if views:
        without = replace(predictor, masked={*predictor.masked, *views})
    judged, judged_without = list[Judged](), list[Judged]()
    for part in minibatch(examples, BATCH_SIZE):
        judged += _judge(component, predictor, part, views)
        if without is not None:
            judged_without += _judge(component, without, part)
    result = _fit(component.name, judged, component.temperature)
    if result.determined:
        component.temperature = result.temperature
        component.cfg["calibration"] = {"entities": result.entities, "source": source}
    if without is None:
        component.cfg["without_views"] = None
        return result
    before = component.temperatures.without or component.temperature
    second = _fit(name_without(component.name, views), judged_without, before)
    if second.determined:
        component.cfg["without_views"] = {
            "views": list(views),
            "temperature": second.temperature,
            "entities": second.entities,
            "source": source,
        }
    return replace(result, without=second)


def _fit(posts: str, batches: Sequence[Judged], before: float) -> Calibration:
    """Fit a temperature, starting from an earlier one, which is kept if it is better."""
    count = sum(len(batch.right) for batch in batches)
    loss_before = float(log_loss(batches, before)) if batches else None
    after = fit_temperature(batches) if count >= MIN_ENTITIES else before
    reason = None
    if count < MIN_ENTITIES:
        reason = f"only {count} predicted entities can be judged"
    elif is_limit(after):
        reason = f"the best temperature is at the limit, {after:.3g}"
    if reason is not None:
        message = Warnings.W008.format(name=posts, temperature=before, reason=reason)
        warnings.warn(message, stacklevel=3)
        return Calibration(posts, before, count, loss_before, loss_before, determined=False)
    loss_after = float(log_loss(batches, after))
    if loss_before is not None and loss_after >= loss_before:
        after, loss_after = before, loss_before
    return Calibration(posts, after, count, loss_before, loss_after, determined=True)


def log_loss(
    batches: Sequence[Judged],
    temperature: float | Tensor,
    targets: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """The cross-entropy of the tempered probabilities that entities are right.

    Args:
        batches (Sequence[Judged]): The entities, at least one.
        temperature (float or Tensor): A positive scalar.
        targets (tuple): The target probability of a wrong entity, and that of a right one.

    Returns:
        Tensor: The mean over the entities, a scalar of float64.
    """
    losses = []
    of_wrong, of_right = targets
    for batch in batches:
        tempered = batch.distribution.tempered(temperature)
        log_right = tempered.span_log_probabilities(batch.entities).clamp(max=-1e-12)
        log_wrong = torch.log(-torch.expm1(log_right))
        target = torch.where(batch.right, log_right.new_tensor(of_right), of_wrong)
        losses.append(-(target * log_right + (1 - target) * log_wrong))
    return torch.cat(losses).mean()


def fit_temperature(batches: Sequence[Judged]) -> float:
    """Find the temperature with the lowest log loss, for the targets of Platt (1999). With these
    targets, a sample of only right entities does not give probabilities of 1.

    Args:
        batches (Sequence[Judged]): Entities of posts that the network was not trained on.

    Returns:
        float: The temperature, between 1 / LIMIT and LIMIT.
    """
    right = sum(int(batch.right.sum()) for batch in batches)
    wrong = sum(len(batch.right) for batch in batches) - right
    targets = 1 / (wrong + 2), (right + 1) / (right + 2)
    position = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([position], max_iter=50, line_search_fn="strong_wolfe")

    def temperature() -> Tensor:
        return LIMIT ** torch.tanh(position)

    def closure() -> float:
        optimizer.zero_grad()
        loss = log_loss(batches, temperature(), targets)
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    return float(temperature().detach())


def is_limit(temperature: float) -> bool:
    """Whether a fit ended at a limit.

    Args:
        temperature (float): The fitted temperature.

    Returns:
        bool: True if so.
    """
    return not _MARGIN / LIMIT < temperature < LIMIT / _MARGIN


def _judge(
    component: "MsvseNer",
    predictor: Predictor,
    examples: Sequence[Example],
    views: Sequence[str] = (),
) -> Iterator[Judged]:
    """The predicted entities that the gold annotation can judge, of posts that have some views."""
    network = component.require_network()
    for batch in predictor.batches([example.predicted for example in examples]):
        outputs = predictor.run(batch.posts)
        with torch.inference_mode():
            answer = network.answer(outputs)
        # The copy is made outside of inference mode, so that the fit can differentiate.
        answer = answer.double()
        entities = answer.best_entities()
        counted = [has_views(post.post, views) for post in batch.posts]
        verdicts = [
            is_right(examples[batch.rows[post]], start, end, component.labels[label])
            if counted[post]
            else None
            for post, start, end, label in entities.tolist()
        ]
        judged = [index for index, verdict in enumerate(verdicts) if verdict is not None]
        if judged:
            right = torch.tensor([verdicts[index] for index in judged])
            yield Judged(answer, entities[judged], right.to(entities.device))


# Measurement


def calibration_scores(examples: Iterable[Example], seed: int = 0) -> dict[str, Any]:
    """Measure the calibration of the predicted entities that have a confidence.

    The interval is the 95% interval of the bootstrap over whole posts, since the entities of a post
    depend on each other. Resampling adds noise, which makes distances larger: without a correction,
    the error of few entities lies below its own interval. The interval is therefore moved down by
    the difference between the mean of the resampled errors and the error, but not below 0.

    Args:
        examples (Iterable[Example]): Annotated examples.
        seed (int): Seed of the bootstrap.

    Returns:
        dict: "entities"; "ece", the expected calibration error, and "ece_interval" as [low, high];
            "bins", each with its "entities", mean "confidence" and "precision", and with the same
            number of entities. Without entities "ece" is None, and there is no bin.
    """
    post, confidence, right = judged_confidences(examples)
    if not len(post):
        return {"entities": 0, "ece": None, "ece_interval": None, "bins": []}
    resampled = [
        expected_error(*reliability(confidence.repeat(times[post]), right.repeat(times[post])))
        for block in resample(int(post[-1]) + 1, NUM_RESAMPLES, seed)
        for times in block
    ]
    sizes, confidences, precisions = reliability(confidence, right)
    error = expected_error(sizes, confidences, precisions)
    bias = float(np.mean(resampled)) - error
    low, high = interval(np.asarray(resampled) - bias)
    rows = zip(sizes.tolist(), confidences.tolist(), precisions.tolist(), strict=True)
    return {
        "entities": len(post),
        "ece": error,
        "ece_interval": [max(low, 0.0), high],
        "bins": [{"entities": n, "confidence": c, "precision": p} for n, c, p in rows],
    }


def judged_confidences(
    examples: Iterable[Example],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The predicted entities that have a confidence and that the gold annotation can judge.

    Args:
        examples (Iterable[Example]): Annotated examples.

    Returns:
        tuple: For each entity the index of its post, counting only posts with such entities, in
            order; its confidence; and whether it is right.
    """
    post: list[int] = []
    confidence: list[float] = []
    right: list[bool] = []
    for example in examples:
        index = post[-1] + 1 if post else 0
        for span in example.predicted.ents:
            score = span._.confidence
            verdict = is_right(example, span.start, span.end, span.label_)
            if score is not None and verdict is not None:
                post.append(index)
                confidence.append(score)
                right.append(verdict)
    return np.asarray(post, dtype="int64"), np.asarray(confidence), np.asarray(right, dtype=bool)


def reliability(
    confidence: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide entities by their confidence into bins of equal size.

    Args:
        confidence (np.ndarray): float of shape (N,).
        right (np.ndarray): bool of shape (N,).

    Returns:
        tuple: For each bin its number of entities, their mean confidence, and their precision.
            There are `NUM_BINS` bins, or one for each entity if there are fewer entities.
    """
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(NUM_BINS, len(order)))
    return (
        np.asarray([len(bin_) for bin_ in bins]),
        np.asarray([confidence[bin_].mean() for bin_ in bins]),
        np.asarray([right[bin_].mean() for bin_ in bins]),
    )


def expected_error(sizes: np.ndarray, confidences: np.ndarray, precisions: np.ndarray) -> float:
    """The expected calibration error: the mean over all entities of the distance between the
    confidence and the precision of their bin.

    Args:
        sizes (np.ndarray): The number of entities of each bin.
        confidences (np.ndarray): Their mean confidence.
        precisions (np.ndarray): Their precision.

    Returns:
        float: The error.
    """
    return float(np.average(np.abs(confidences - precisions), weights=sizes))
