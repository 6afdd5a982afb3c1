"""Analyses of predictions: other labellings, marginals, and the effect of the pictures.

They are functions of a predictor and Docs. They return plain values and do not change the Docs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from spacy.tokens import Doc

from ..doc import USED
from ..errors import Errors, MsvseError
from ..network.crf import bio_labels, label_entities
from ..network.spans import SpanDistribution
from ..settings import Declaration
from .architectures import get_network
from .encode import EncodedPost
from .predictor import Prediction, Predictor, probabilities_of
from .reader import ReadPost

_K = Declaration(Annotated[int, Field(ge=1, le=10_000)])


@dataclass
class Labelling:
    """One way to label a post.

    Attributes:
        entities (list): First token, token after the last and type of each entity.
        probability (float): Probability of the labelling as a whole.
    """

    entities: list[tuple[int, int, str]]
    probability: float


@dataclass
class Reading:
    """What one pass predicts for a span.

    Attributes:
        label (str): The type.
        confidence (float): Probability of exactly this entity.
        is_predicted (bool): Whether the pass predicts the entity. False for an entity that only the
            other pass predicts.
    """

    label: str
    confidence: float
    is_predicted: bool = True


#: First token and token after the last of a span, to its reading.
Readings = dict[tuple[int, int], Reading]


@dataclass
class PictureEffect:
    """The effect of the views on a span that is an entity with or without them, and the effect of
    each picture of a post with several.

    The difference of the two readings is an effect: only the views differ. Attention is not an
    effect: it shows where the words attended, not what changed the result.

    Attributes:
        start (int): The first token.
        end (int): The token after the last.
        with_picture (Reading): The reading with all views. If this pass predicts no entity: its
            probability of the other pass's entity.
        without_picture (Reading): The reading without any view, given tags and captions included.
        attention (dict): View to the share of the attention of the span's words that its prefixes
            get: a mean over words, heads and encoder layers with prefixes. The rest goes to the
            text and to the joint views after it. Absent views are left out.
        regions (list): The share of each region, in the order of `doc._.image_regions`. Their sum
            is the share of the view "regions".
        region_pictures (list): The number of each region's picture, from 0.
        without_each (list): The reading without each picture, in order, with all other views: the
            regions of the picture and the texts that were extracted from it are left out. Empty for
            a post with fewer than two pictures. Pictures of equal content count as the first.
    """

    start: int
    end: int
    with_picture: Reading
    without_picture: Reading
    attention: dict[str, float]
    regions: list[float]
    region_pictures: list[int] = field(default_factory=list)
    without_each: list[Reading] = field(default_factory=list)


def best_labellings(predictor: Predictor, docs: Iterable[Doc], k: int) -> list[list[Labelling]]:
    """The k most probable labellings of each Doc.

    Args:
        predictor (Predictor): Predicts.
        docs (Iterable[Doc]): The Docs.
        k (int): Number of labellings. A Doc with fewer possible labellings gets all of them.

    Returns:
        list: For each Doc its labellings, the most probable one first.

    Raises:
        MsvseError: For a k out of range (MSVSE-E007), a method without a lattice (MSVSE-E083), or
            the reasons of `Predictor.predict`.
    """
    _K.check("k", k, "best_labellings")
    docs = list(docs)
    answers = [[Labelling([], 1.0)] for _ in docs]
    for batch in predictor.batches(docs):
        outputs = predictor.run(batch.posts)
        with torch.inference_mode():
            labels, log_probabilities = predictor.lattice(batch.posts, outputs).best_labellings(k)
        for row, paths, values in zip(batch.rows, labels, log_probabilities.tolist(), strict=True):
            entities: list[list[tuple[int, int, str]]] = [[] for _ in range(k)]
            for rank, start, end, label in label_entities(paths).tolist():
                entities[rank].append((start, end, predictor.labels[label]))
            answers[row] = [
                Labelling(found, min(math.exp(value), 1.0))
                for found, value in zip(entities, values, strict=True)
                if value > -math.inf
            ]
    return answers


def label_marginals(predictor: Predictor, docs: Iterable[Doc]) -> list[np.ndarray]:
    """The probability of each label at each token, summed over all labellings.

    Args:
        predictor (Predictor): Predicts.
        docs (Iterable[Doc]): The Docs.

    Returns:
        list: For each Doc a float32 array of shape (tokens, labels); the columns are those of
            `bio_labels`.

    Raises:
        MsvseError: For a method without a lattice (MSVSE-E083), or the reasons of
            `Predictor.predict`.
    """
    docs = list(docs)
    width = len(bio_labels(predictor.labels))
    answers = [np.zeros((len(doc), width), dtype="float32") for doc in docs]
    for batch in predictor.batches(docs):
        outputs = predictor.run(batch.posts)
        with torch.inference_mode():
            lattice = predictor.lattice(batch.posts, outputs)
            marginals = lattice.marginals().exp().float().cpu().numpy()
        for row, values in zip(batch.rows, marginals, strict=True):
            answers[row] = values[: len(docs[row])]
    return answers


def post_confidences(predictor: Predictor, docs: Iterable[Doc]) -> list[float]:
    """How sure the predictor is of each Doc as a whole, to find those that need a closer look.

    The confidence of a Doc is the lowest of the confidences of its entities and, where no entity is
    found, of the probabilities that there is none: of each token outside of the entities, or of
    each further candidate of a method that scores spans. A Doc is thus below a threshold if one of
    its entities is, or if another entity was nearly found.

    Args:
        predictor (Predictor): Predicts.
        docs (Iterable[Doc]): The Docs.

    Returns:
        list: For each Doc a number between 0 and 1; 1 for an empty Doc.

    Raises:
        MsvseError: For a method whose answer does not say how probable "no entity" is (MSVSE-E260),
            or the reasons of `Predictor.predict`.
    """
    confidences = []
    for prediction in predictor.predict(list(docs)):
        if prediction.confidence is None:
            method = type(get_network(predictor.model)).__name__
            raise MsvseError(Errors.E260.format(method=method))
        confidences.append(prediction.confidence)
    return confidences


def explain_pictures(predictor: Predictor, docs: Iterable[Doc]) -> list[list[PictureEffect]]:
    """Compare the predictions with all views, without any, and without each of several pictures.

    Args:
        predictor (Predictor): Predicts.
        docs (Iterable[Doc]): The Docs.

    Returns:
        list: For each Doc, an effect for every span that is an entity in either pass.

    Raises:
        MsvseError: For the reasons of `Predictor.predict`.
    """
    docs = list(docs)
    network = get_network(predictor.model)
    answers: list[list[PictureEffect]] = [[] for _ in docs]
    for batch in predictor.batches(docs):
        with network.recording_attention():
            outputs = predictor.run(batch.posts)
        without = predictor.encode([post.post.without(network.views) for post in batch.posts])
        outputs_without = predictor.run(without)
        with_views = readings(predictor.decode(batch.posts, outputs))
        without_views = readings(predictor.decode(without, outputs_without))
        answer = predictor.answer(batch.posts, outputs)
        answer_without = predictor.answer(without, outputs_without)
        add_missing(with_views, without_views, answer, predictor.labels)
        add_missing(without_views, with_views, answer_without, predictor.labels)
        attention = {view: shares.cpu().numpy() for view, shares in outputs.attention.items()}
        without_each = leave_out_pictures(predictor, batch.posts, with_views)
        for index, (row, post) in enumerate(zip(batch.rows, batch.posts, strict=True)):
            status = post.post.status
            shares = {view: w[index] for view, w in attention.items() if status[view] == USED}
            for view, regions in post.post.vectors.items():
                if view in shares:
                    shares[view] = shares[view][:, : len(regions.boxes)]
            effects = compare(with_views[index], without_views[index], shares)
            for effect in effects:
                effect.region_pictures = region_pictures(post.post)[: len(effect.regions)]
                effect.without_each = [
                    found[effect.start, effect.end] for found in without_each[index]
                ]
            answers[row] = effects
    return answers


def region_pictures(post: ReadPost) -> list[int]:
    """The number of each region's picture.

    Args:
        post (ReadPost): The post.

    Returns:
        list: The numbers, from 0; empty for a post without regions.
    """
    regions = post.vectors.get("regions")
    if regions is None:
        return []
    found = [0] * len(regions.boxes) if regions.pictures is None else regions.pictures.tolist()
    return list(found)


def leave_out_pictures(
    predictor: Predictor, posts: Sequence[EncodedPost], with_views: Sequence[Readings]
) -> list[list[Readings]]:
    """Predict each post without each of its pictures.

    Args:
        predictor (Predictor): Predicts.
        posts (Sequence[EncodedPost]): A batch.
        with_views (Sequence): The readings of the posts with all views.

    Returns:
        list: For each post, the readings of the same spans without each picture; empty for a post
            with fewer than two pictures.
    """
    found: list[list[Readings]] = [[] for _ in posts]
    counts = [one.post.pictures if one.post.pictures > 1 else 0 for one in posts]
    for number in range(max(counts, default=0)):
        rows = [row for row, count in enumerate(counts) if number < count]
        own = range(len(posts)) if get_network(predictor.model).mixes_posts else rows
        batch = [
            posts[row].post.without_picture(number) if number < counts[row] else posts[row].post
            for row in own
        ]
        encoded = predictor.encode(batch)
        outputs = predictor.run(encoded)
        without = readings(predictor.decode(encoded, outputs))
        expected = [with_views[row] for row in own]
        add_missing(without, expected, predictor.answer(encoded, outputs), predictor.labels)
        for row, reading in zip(own, without, strict=True):
            if number < counts[row]:
                found[row].append(reading)
    return found


def readings(predictions: Iterable[Prediction]) -> list[Readings]:
    """The readings of predictions.

    Args:
        predictions (Iterable[Prediction]): The predictions.

    Returns:
        list: For each, the reading of every span.
    """
    return [
        {(start, end): Reading(label, p) for start, end, label, p in prediction.entities}
        for prediction in predictions
    ]


def add_missing(
    found: Sequence[Readings],
    others: Sequence[Readings],
    answer: SpanDistribution,
    types: Sequence[str],
) -> None:
    """Add the probabilities of the entities that only another pass predicts, since a near miss
    differs from an impossible entity.

    Args:
        found (Sequence): The readings of a pass for each post, to be added to.
        others (Sequence): The readings of the other pass.
        answer (SpanDistribution): The scores of the pass.
        types (Sequence[str]): The entity types.
    """
    missing = [
        (row, span, other.label)
        for row, (here, there) in enumerate(zip(found, others, strict=True))
        for span, other in there.items()
        if span not in here
    ]
    entities = torch.tensor(
        [(row, *span, types.index(label)) for row, span, label in missing], dtype=torch.long
    )
    with torch.inference_mode():
        probabilities = probabilities_of(answer, entities.view(-1, 4))
    for (row, span, label), probability in zip(missing, probabilities, strict=True):
        found[row][span] = Reading(label, probability, is_predicted=False)


def compare(
    with_views: Readings, without_views: Readings, attention: Mapping[str, np.ndarray]
) -> list[PictureEffect]:
    """Compare the readings of the same spans by two passes over a post.

    Args:
        with_views (dict): The readings with all views.
        without_views (dict): The readings without any view.
        attention (Mapping): View to float of shape (T, R): attention of each token to its vectors.

    Returns:
        list: The effects, in the order of the text.
    """
    effects = []
    for start, end in sorted(with_views):
        shares = {view: weights[start:end].mean(axis=0) for view, weights in attention.items()}
        effects.append(
            PictureEffect(
                start,
                end,
                with_views[start, end],
                without_views[start, end],
                attention={view: float(weights.sum()) for view, weights in shares.items()},
                regions=shares["regions"].tolist() if "regions" in shares else [],
            )
        )
    return effects
