"""From Docs to predictions: reading, word pieces, batches, network, entities with probabilities."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from spacy.tokens import Doc

from ..errors import Errors, MsvseError
from ..network.crf import Lattice
from ..network.inputs import Outputs
from ..network.spans import RatesAbsence, SpanDistribution
from .architectures import NetworkModel, get_network, get_piece_encoder
from .batches import cut_batches
from .encode import EncodedPost
from .reader import Reader, ReadPost
from .temperatures import Temperatures

#: Maximum number of Docs whose views are in memory at once, and of their pictures.
READ_SIZE = 512


@dataclass
class Prediction:
    """The prediction for one Doc.

    Attributes:
        entities (list): First token, token after the last, type and probability of each entity.
        visual_entities (dict): View to entity type to probability, for the views that are used.
        post (ReadPost): The views of the Doc; None for an empty Doc.
        confidence (float): The confidence of the Doc, as `analysis.post_confidences` explains it;
            None if the answer of the method has none.
    """

    entities: list[tuple[int, int, str, float]] = field(default_factory=list)
    visual_entities: dict[str, dict[str, float]] = field(default_factory=dict)
    post: ReadPost | None = None
    confidence: float | None = 1.0


@dataclass
class Batch:
    """Posts that are computed together.

    Attributes:
        rows (list): Indices of their Docs.
        posts (list): The encoded posts.
    """

    rows: list[int]
    posts: list[EncodedPost]


@dataclass(frozen=True)
class Predictor:
    """Everything that is needed to predict the entities of Docs. No Doc is changed.

    Attributes:
        model (Model): The Thinc model.
        reader (Reader): Reads the views of Docs.
        labels (tuple): The entity types.
        temperatures (Temperatures): All scores are divided by them.
        max_batch_tokens (int): Maximum number of word pieces of a batch, joint views and padding
            included.
        masked (Collection): Views that are not used.
    """

    model: NetworkModel
    reader: Reader
    labels: tuple[str, ...]
    temperatures: Temperatures = field(default_factory=Temperatures)
    max_batch_tokens: int = 2048
    masked: Collection[str] = ()

    def read(self, docs: Sequence[Doc]) -> list[EncodedPost]:
        """Read the views of Docs, and tokenise text and views.

        Args:
            docs (Sequence[Doc]): The Docs.

        Returns:
            list: An encoded post for each Doc.

        Raises:
            MsvseError: For a view that cannot be used, as `Reader.read` raises it.
        """
        return self.encode(self.reader.read(docs, self.masked))

    def encode(self, posts: Sequence[ReadPost]) -> list[EncodedPost]:
        """Tokenise text and views of posts.

        Args:
            posts (Sequence[ReadPost]): The posts.

        Returns:
            list: The encoded posts.
        """
        return get_piece_encoder(self.model).encode(posts)

    def batches(self, docs: Sequence[Doc]) -> Iterator[Batch]:
        """Divide Docs into batches by their number of word pieces. Empty Docs are left out.

        Args:
            docs (Sequence[Doc]): The Docs.

        Yields:
            Batch: The batches.

        Raises:
            MsvseError: For a view that cannot be used, as `Reader.read` raises it.
        """
        in_order = get_network(self.model).mixes_posts
        filled = [row for row, doc in enumerate(docs) if len(doc)]
        for rows in self._cut([(row, docs[row]) for row in filled]):
            posts = self.read([docs[row] for row in rows])
            for batch in cut_batches(posts, self.max_batch_tokens, in_order=in_order):
                yield Batch([rows[i] for i in batch], [posts[i] for i in batch])

    def _cut(self, docs: Iterable[tuple[int, Doc]]) -> Iterator[list[int]]:
        """Cut a stream of numbered Docs where it has `READ_SIZE` Docs or pictures."""
        part: list[int] = []
        pictures = 0
        for row, doc in docs:
            images = doc._.images
            # A file may hold anything. The reader refuses it.
            pictures_of_doc = len(images) if isinstance(images, list) else 1
            more = max(1, min(pictures_of_doc, self.reader.max_pictures))
            if part and pictures + more > READ_SIZE:
                yield part
                part, pictures = [], 0
            part.append(row)
            pictures += more
        if part:
            yield part

    def run(self, posts: Sequence[EncodedPost]) -> Outputs:
        """Run the network without gradients.

        Args:
            posts (Sequence[EncodedPost]): A batch.

        Returns:
            Outputs: The network's outputs.

        Raises:
            MsvseError: For region vectors of another width than the network reads (MSVSE-E013), or
                if `compute` of the method does not return outputs (MSVSE-E084).
        """
        return self.model.predict(posts)

    def answer(self, posts: Sequence[EncodedPost], outputs: Outputs) -> SpanDistribution:
        """The distribution that gives the entities and all probabilities.

        Args:
            posts (Sequence[EncodedPost]): A batch.
            outputs (Outputs): The network's outputs for it.

        Returns:
            SpanDistribution: The scores in double precision, since probabilities are differences of
                sums over all tokens, divided by the temperature of each post.
        """
        temperature = self.temperatures.choose([post.post for post in posts])
        return get_network(self.model).answer(outputs).double().tempered(temperature)

    def lattice(self, posts: Sequence[EncodedPost], outputs: Outputs) -> Lattice:
        """The lattice of labels, for a method with a CRF.

        Args:
            posts (Sequence[EncodedPost]): A batch.
            outputs (Outputs): The network's outputs for it.

        Returns:
            Lattice: The scores in double precision, divided by the temperature of each post.

        Raises:
            MsvseError: If the method returns scored spans (MSVSE-E083).
        """
        answer = self.answer(posts, outputs)
        if not isinstance(answer, Lattice):
            method = type(get_network(self.model)).__name__
            raise MsvseError(Errors.E083.format(method=method))
        return answer

    def decode(self, posts: Sequence[EncodedPost], outputs: Outputs) -> list[Prediction]:
        """The most probable entities with their probabilities.

        Args:
            posts (Sequence[EncodedPost]): A batch.
            outputs (Outputs): The network's outputs for it.

        Returns:
            list: A prediction for each post.
        """
        predictions = [Prediction(post=post.post) for post in posts]
        with torch.inference_mode():
            answer = self.answer(posts, outputs)
            entities = answer.best_entities()
            probabilities = probabilities_of(answer, entities)
            absences = absences_of(answer, entities, len(posts))
        for prediction, absence in zip(predictions, absences, strict=True):
            prediction.confidence = absence
        for (row, start, end, label), probability in zip(
            entities.tolist(), probabilities, strict=True
        ):
            prediction = predictions[row]
            prediction.entities.append((start, end, self.labels[label], probability))
            if prediction.confidence is not None:
                prediction.confidence = min(prediction.confidence, probability)
        for view, logits in outputs.view_types.items():
            present = outputs.present[view].tolist()
            for row, chances in enumerate(logits.sigmoid().tolist()):
                if present[row]:
                    types = dict(zip(self.labels, chances, strict=True))
                    predictions[row].visual_entities[view] = types
        return predictions

    def predict(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Predict the entities of Docs.

        Args:
            docs (Sequence[Doc]): The Docs.

        Returns:
            list: A prediction for each Doc.

        Raises:
            MsvseError: For a view that cannot be used, as `Reader.read` raises it, or region
                vectors of another width than the network reads (MSVSE-E013).
        """
        predictions = [Prediction() for _ in docs]
        for batch in self.batches(docs):
            decoded = self.decode(batch.posts, self.run(batch.posts))
            for row, prediction in zip(batch.rows, decoded, strict=True):
                predictions[row] = prediction
        return predictions


def probabilities_of(answer: SpanDistribution, entities: torch.Tensor) -> list[float]:
    """Probabilities of entities, limited to 1, because a rounded value may be slightly larger.

    Args:
        answer (SpanDistribution): The distribution.
        entities (Tensor): int64 of shape (E, 4): post, first token, token after the last, type.

    Returns:
        list: A probability for each.
    """
    values: list[float] = answer.span_log_probabilities(entities).exp().clamp(max=1.0).tolist()
    return values


def absences_of(
    answer: SpanDistribution, entities: torch.Tensor, posts: int
) -> list[float] | list[None]:
    """How sure a distribution is where it finds no entity.

    Args:
        answer (SpanDistribution): The distribution.
        entities (Tensor): int64 of shape (E, 4): its best entities.
        posts (int): Number of posts.

    Returns:
        list: For each post the lowest probability that there is no entity; None for each if the
            distribution does not say it.
    """
    if not isinstance(answer, RatesAbsence):
        return [None] * posts
    values = answer.absence_log_probabilities(entities, posts).exp().clamp(max=1.0)
    absences: list[float] = values.tolist()
    return absences
