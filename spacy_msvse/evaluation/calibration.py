"""Calibration: the fit of a temperature, and the calibration error. Of the entities with confidence
p, a share of p should be right."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from torch import Tensor

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
        temperature (float): The new temperature.
        entities (int): The number of predicted entities that could be judged.
        log_loss_before (float): Their mean negative log-likelihood of being right or wrong, with
            the earlier temperature; None without any entity.
        log_loss_after (float): The same with the new temperature.
    """

    temperature: float
    entities: int
    log_loss_before: float | None
    log_loss_after: float | None


# Fit


def calibrate(
    component: "MsvseNer", examples: Iterable[Example], *, source: str | None = None
) -> Calibration:
    """Fit the temperature of a component, so that a share of p of the entities with confidence p is
    right. The predicted entities do not change; all later probabilities change. If the posts do not
    determine a temperature, it does not change, and there is a warning (MSVSE-W008).

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
    batches = list(_judge(component, examples))
    count = sum(len(batch.right) for batch in batches)
    before = component.temperature
    loss_before = float(log_loss(batches, before)) if batches else None
    kept = Calibration(before, count, loss_before, loss_before)
    after = fit_temperature(batches) if count >= MIN_ENTITIES else before
    reason = None
    if count < MIN_ENTITIES:
        reason = f"only {count} predicted entities can be judged"
    elif is_limit(after):
        reason = f"the best temperature is at the limit, {after:.3g}"
    if reason is not None:
        message = Warnings.W008.format(name=component.name, temperature=before, reason=reason)
        warnings.warn(message, stacklevel=2)
        return kept
    loss_after = float(log_loss(batches, after))
    component.cfg["calibration"] = {"entities": count, "source": source}
    if loss_before is not None and loss_after >= loss_before:
        return kept
    component.temperature = after
    return Calibration(after, count, loss_before, loss_after)


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


def _judge(component: "MsvseNer", examples: Iterable[Example]) -> Iterator[Judged]:
    """The predicted entities that the gold annotation can judge."""
    for part in minibatch(examples, BATCH_SIZE):
        for rows, answer in _answers(component, [example.predicted for example in part]):
            entities = answer.best_entities()
            verdicts = [
                is_right(part[rows[post]], start, end, component.labels[label])
                for post, start, end, label in entities.tolist()
            ]
            judged = [index for index, verdict in enumerate(verdicts) if verdict is not None]
            if judged:
                right = torch.tensor([verdicts[index] for index in judged])
                yield Judged(answer, entities[judged], right.to(entities.device))


def _answers(
    component: "MsvseNer", docs: Sequence[Doc]
) -> Iterator[tuple[list[int], SpanDistribution]]:
    """The untempered answers of the network, batch by batch, each with the rows of its Docs."""
    network, predictor = component.require_network(), component.predictor
    for batch in predictor.batches(docs):
        outputs = predictor.run(batch.posts)
        with torch.inference_mode():
            answer = network.answer(outputs)
        # The copy is made outside of inference mode, so that the fit can differentiate.
        yield batch.rows, answer.double()


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
