"""What the component tells when it is asked: other readings of a post, how sure it is, what the
pictures did. The answers are plain values of JSON types or arrays; no Doc is changed."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from ..errors import Errors, MsvseError, Warnings
from ..gold import is_right
from ..network.attention import recorded_attention
from ..network.calibration import Judged, fit_temperature, is_limit, log_loss
from ..network.config import REGIONS
from ..network.crf import Lattice
from .batch import best_entities, find_entities
from .posts import USED

if TYPE_CHECKING:
    from .pipe import MsvseNer, Prediction

#: How many posts are read at once in calibration; of each batch, the lattice stays.
BATCH_SIZE = 128

#: Fewer entities than this tell no temperature.
MIN_ENTITIES = 20


@dataclass
class Labelling:
    """One way to label a post.

    entities (list): First token, token after the last and type of each entity.
    probability (float): Of the labelling as a whole.
    """

    entities: list[tuple[int, int, str]]
    probability: float


@dataclass
class Finding:
    """What one pass says of a span.

    label (str): The type.
    confidence (float): The probability of exactly this entity.
    in_best_labelling (bool): Whether the pass finds the entity. False for one that the other pass
        alone finds.
    """

    label: str
    confidence: float
    in_best_labelling: bool = True


#: First token and token after the last of a span, to what is said of it.
Findings = dict[tuple[int, int], Finding]


@dataclass
class PictureEffect:
    """What the picture did to a span that is an entity with or without it.

    The difference of the two findings is an effect: nothing but the views differs. The attention is
    none: it tells where the entity's words looked, not what they made of what they saw.

    start (int): The first token.
    end (int): The token after the last.
    with_picture (Finding): With all views. Where no entity is found then: how probable that of the
        other pass is.
    without_picture (Finding): Without any view, given tags and captions included; likewise.
    attention (dict): View to the share of the words' attention that its prefixes got: a mean over
        words, heads and the encoder layers with prefixes. The rest went to the text, and to the
        joint views behind it. Absent views are left out.
    regions (list): The share of each region, in the order of `doc._.image_regions`; together the
        share of the regions.
    """

    start: int
    end: int
    with_picture: Finding
    without_picture: Finding
    attention: dict[str, float]
    regions: list[float]


@dataclass
class Calibration:
    """How a temperature came about.

    temperature (float): The temperature from now on.
    entities (int): How many predicted entities were judged.
    log_loss_before (float): Their mean negative log-likelihood of being right or wrong, by the
        temperature until now; None without any entity.
    log_loss_after (float): By the temperature from now on.
    """

    temperature: float
    entities: int
    log_loss_before: float | None
    log_loss_after: float | None


class Requests:
    """The requests that `MsvseNer` answers; it inherits them."""

    # That `self` is the heir is more than mypy believes of anything but a protocol: hence "misc".

    def best_labellings(  # type: ignore[misc]
        self: "MsvseNer", docs: Iterable[Doc], k: int
    ) -> list[list[Labelling]]:
        """The k most probable ways to label each Doc.

        docs (Iterable[Doc]): The Docs, which stay as they are.
        k (int): How many; there are fewer for a Doc that cannot be labelled in so many ways.
        RETURNS (list): For each Doc its labellings, the most probable one first.
        RAISES (ValueError): As `predict`, or for k below 1 (MSVSE-E081).
        """
        if k < 1:
            raise MsvseError(Errors.E081.format(setting="k", value=k, expected="at least 1"))
        docs = list(docs)
        answers = [[Labelling([], 1.0)] for _ in docs]
        for rows, _, outputs in self.run(docs):
            with torch.inference_mode():
                labels, log_probabilities = self.lattice(outputs).best_labellings(k)
            paths, values = labels.cpu().numpy(), log_probabilities.tolist()
            for index, row in enumerate(rows):
                answers[row] = [
                    Labelling(
                        [(start, end, self.labels[t]) for start, end, t in find_entities(path)],
                        # Rounding may lift a certain labelling above 1.
                        min(math.exp(value), 1.0),
                    )
                    for path, value in zip(paths[index], values[index], strict=True)
                    if value > -math.inf
                ]
        return answers

    def label_marginals(  # type: ignore[misc]
        self: "MsvseNer", docs: Iterable[Doc]
    ) -> list[np.ndarray]:
        """The probability of each label at each token, summed over all labellings.

        docs (Iterable[Doc]): The Docs, which stay as they are.
        RETURNS (list): For each Doc a float32 array of shape (tokens, labels); the columns are
            those of `bio_labels`.
        RAISES (ValueError): As `predict`.
        """
        docs = list(docs)
        answers = [np.zeros((len(doc), len(self.bio_labels)), dtype="float32") for doc in docs]
        for rows, posts, outputs in self.run(docs):
            with torch.inference_mode():
                marginals = self.lattice(outputs).marginals().exp().float().cpu().numpy()
            for row, post, values in zip(rows, posts, marginals, strict=True):
                answers[row] = values[: len(post.doc)]
        return answers

    def explain_pictures(  # type: ignore[misc]
        self: "MsvseNer", docs: Iterable[Doc]
    ) -> list[list[PictureEffect]]:
        """What the pictures did: read the Docs with all their views and without any, and compare.
        `min_confidence` does not apply.

        docs (Iterable[Doc]): The Docs, which stay as they are.
        RETURNS (list): For each Doc, an effect for every span that is an entity in either pass.
        RAISES (ValueError): As `predict`.
        """
        docs = list(docs)
        network = self.require_network()
        answers: list[list[PictureEffect]] = [[] for _ in docs]
        with recorded_attention(network) as record:
            # Both passes cut the same Docs into the same batches.
            passes = zip(self.run(docs), self.run(docs, masked=network.config.views), strict=True)
            for (rows, posts, outputs), (_, blind_posts, blind_outputs) in passes:
                seeing = findings(self.decode(posts, outputs))
                blind = findings(self.decode(blind_posts, blind_outputs))
                add_missing(seeing, blind, self.lattice(outputs), self.labels)
                add_missing(blind, seeing, self.lattice(blind_outputs), self.labels)
                # Of the two batches, the first is the one with views.
                weights = {v: paid.cpu().numpy() for v, paid in record[0].items()} if record else {}
                record.clear()
                for index, (row, post) in enumerate(zip(rows, posts, strict=True)):
                    paid = {v: w[index] for v, w in weights.items() if post.status[v] == USED}
                    if REGIONS in paid and post.boxes is not None:
                        paid[REGIONS] = paid[REGIONS][:, : len(post.boxes)]
                    answers[row] = compare(seeing[index], blind[index], paid)
        return answers

    def calibrate(  # type: ignore[misc]
        self: "MsvseNer", examples: Iterable[Example], *, source: str | None = None
    ) -> Calibration:
        """Fit the temperature, so that of the entities of confidence p a share of p is right. The
        entities stay as they are; every probability that is told from now on changes. Where the
        posts cannot tell a temperature, it stays as it is.

        examples (Iterable[Example]): Posts that the component was not trained on.
        source (str): What to call them, in what is saved and on a model card.
        RETURNS (Calibration): What came of it.
        RAISES (ValueError): As `predict`.
        """
        batches = self._judge(examples)
        count = sum(len(batch.right) for batch in batches)
        before = self.temperature
        loss_before = float(log_loss(batches, before)) if batches else None
        kept = Calibration(before, count, loss_before, loss_before)
        if count < MIN_ENTITIES:
            return self._warn_of_kept(kept, f"only {count} predicted entities can be judged")
        after = fit_temperature(batches)
        if is_limit(after):
            return self._warn_of_kept(kept, f"the best one is at the limit, {after:.3g}")
        loss_after = float(log_loss(batches, after))
        self.cfg["calibration"] = {"entities": count, "source": source}
        if loss_before is not None and loss_after >= loss_before:
            return kept
        self.cfg["temperature"] = after
        return Calibration(after, count, loss_before, loss_after)

    def _judge(  # type: ignore[misc]
        self: "MsvseNer", examples: Iterable[Example]
    ) -> list[Judged]:
        """The entities that are found and that gold annotation can judge."""
        network = self.require_network()
        batches = []
        for part in minibatch(examples, BATCH_SIZE):
            for rows, _, outputs in self.run([example.predicted for example in part]):
                with torch.inference_mode():
                    scores = network.lattice(outputs)
                lattice = scores.double()  # made outside, or the fit could not differentiate
                found = best_entities(lattice)
                right = [
                    is_right(part[rows[row]], first, last + 1, self.labels[label])
                    for row, first, last, label in found
                ]
                judged = [index for index, verdict in enumerate(right) if verdict is not None]
                if judged:
                    entities = torch.tensor(found, device=lattice.mask.device)[judged]
                    verdicts = torch.tensor([right[index] for index in judged]).to(entities.device)
                    batches.append(Judged(lattice, entities, verdicts))
        return batches

    def _warn_of_kept(  # type: ignore[misc]
        self: "MsvseNer", kept: Calibration, reason: str
    ) -> Calibration:
        message = Warnings.W008.format(name=self.name, temperature=kept.temperature, reason=reason)
        warnings.warn(message, stacklevel=3)
        return kept


def findings(predictions: Iterable["Prediction"]) -> list[Findings]:
    """RETURNS (list): What was found in each post, by span."""
    return [
        {(start, end): Finding(label, p) for start, end, label, p in prediction.entities}
        for prediction in predictions
    ]


def add_missing(
    found: Sequence[Findings], others: Sequence[Findings], lattice: Lattice, types: Sequence[str]
) -> None:
    """Add how probable those entities are that another pass found. One that just falls short of the
    best labelling is something else than one that is out of the question.

    found (Sequence): What a pass found in each post, to be added to.
    others (Sequence): What the other pass found.
    lattice (Lattice): The scores of the pass.
    types (Sequence[str]): The entity types.
    """
    missing = [
        (row, span, other.label)
        for row, (here, there) in enumerate(zip(found, others, strict=True))
        for span, other in there.items()
        if span not in here
    ]
    columns = torch.tensor(
        [(row, start, end - 1, types.index(label)) for row, (start, end), label in missing],
        dtype=torch.long,
        device=lattice.mask.device,
    )
    with torch.inference_mode():
        probabilities = lattice.span_log_probabilities(*columns.view(-1, 4).T).exp().tolist()
    for (row, span, label), p in zip(missing, probabilities, strict=True):
        found[row][span] = Finding(label, min(p, 1.0), in_best_labelling=False)


def compare(
    seeing: Findings, blind: Findings, attention: Mapping[str, np.ndarray]
) -> list[PictureEffect]:
    """Compare what two passes over a post say of the same spans.

    seeing (dict): With all views.
    blind (dict): Without any.
    attention (Mapping): View to float of shape (T, V): what each token pays to its vectors.
    RETURNS (list): The effects, in the order of the text.
    """
    effects = []
    for start, end in sorted(seeing):
        paid = {view: weights[start:end].mean(axis=0) for view, weights in attention.items()}
        effects.append(
            PictureEffect(
                start,
                end,
                seeing[start, end],
                blind[start, end],
                attention={view: float(weights.sum()) for view, weights in paid.items()},
                regions=paid[REGIONS].tolist() if REGIONS in paid else [],
            )
        )
    return effects
