"""The component: what spaCy calls to train, predict, annotate, score and save."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from spacy import util
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, get_torch_default_device, set_dropout_rate

from ..doc import SPANS_KEY
from ..errors import Errors, MsvseError, Warnings
from ..network.crf import Lattice, bio_labels
from ..network.inputs import MsvseLoss, MsvseOutputs, to_device
from ..network.msvse import Msvse
from ..util import checked, read_whole, write_whole
from ..vision.extract import VisualExtractor
from ..vision.features import SCALES
from ..vision.picture import Fetcher
from ..vision.store import FeatureStore
from .batch import best_entities, count_pieces, make_targets
from .model import MsvseModel, get_shim, network_config, untrained_views
from .posts import UNREADABLE, Post
from .reading import POLICIES, read_posts, survey
from .requests import Requests
from .workers import prepare_worker

#: The settings of a component whose confidences were fitted to no posts.
UNCALIBRATED: dict[str, Any] = {"temperature": 1.0, "calibration": None}


@dataclass
class Prediction:
    """What the component found in one Doc.

    entities (list): First token, token after the last, type and probability of each entity.
    visual_entities (dict): View to entity type to probability, for the views that are used.
    post (Post): What the network was told; None for an empty Doc.
    """

    entities: list[tuple[int, int, str, float]] = field(default_factory=list)
    visual_entities: dict[str, dict[str, float]] = field(default_factory=dict)
    post: Post | None = None


class MsvseNer(Requests, TrainablePipe):
    """Named entity recognition for a text with a picture."""

    def __init__(
        self,
        vocab: Vocab,
        model: MsvseModel,
        name: str = "msvse_ner",
        *,
        vision: VisualExtractor | None = None,
        overwrite: bool = False,
        on_missing_image: str = "warn",
        min_view_share: float = 0.01,
        max_batch_tokens: int = 2048,
        min_confidence: float = 0.0,
        scorer: Callable | None = None,
    ) -> None:
        """Set up the component; see `make_msvse_ner` for the arguments.

        RAISES (ValueError): For an unknown `on_missing_image` (MSVSE-E007), or a `min_confidence`
            out of range (MSVSE-E081).
        """
        if on_missing_image not in POLICIES:
            expected = "one of " + ", ".join(POLICIES)
            raise MsvseError(
                Errors.E007.format(
                    setting="on_missing_image", value=on_missing_image, expected=expected
                )
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {"labels": [], **UNCALIBRATED}
        self.min_confidence = min_confidence
        self.vision = vision
        self.overwrite = overwrite
        self.on_missing_image = on_missing_image
        self.min_view_share = min_view_share
        self.max_batch_tokens = max_batch_tokens
        #: The only folder to read pictures from; None allows any path. Never saved.
        self.image_root: str | Path | None = None
        #: What fetches pictures whose path is a URL; None fetches none. Never saved, but passed on
        #: to worker processes, so that with `n_process` it must be picklable.
        self.fetch: Fetcher | None = None
        self.scorer = scorer
        self.feature_store: FeatureStore | None = None
        self._warned: set[str] = set()

    # Labels

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """The entity types, as `spacy init labels` writes them."""
        return list(self.labels)

    def add_label(self, label: str) -> int:
        """Add an entity type, before the network is built.

        label (str): The type.
        RETURNS (int): 1 if it was added, 0 if it was there.
        RAISES (ValueError): If the network is built already (MSVSE-E005).
        """
        if label in self.cfg["labels"]:
            return 0
        if get_shim(self.model).network is not None:
            labels = ", ".join(self.labels)
            raise MsvseError(Errors.E005.format(label=label, name=self.name, labels=labels))
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    @property
    def bio_labels(self) -> tuple[str, ...]:
        """The labels of tokens: O, then B and I of each entity type."""
        return bio_labels(self.labels)

    # Confidence

    @property
    def min_confidence(self) -> float:
        """Entities that are less probable are left out. May be set; saved with the pipeline."""
        return self.cfg["min_confidence"]

    @min_confidence.setter
    def min_confidence(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise MsvseError(
                Errors.E081.format(setting="min_confidence", value=value, expected="in [0, 1]")
            )
        self.cfg["min_confidence"] = value

    @property
    def temperature(self) -> float:
        """What all scores are divided by, so that confidences are calibrated; see `calibrate`."""
        return self.cfg["temperature"]

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        feature_store: str | None = None,
    ) -> None:
        """Load the encoder's and the extractors' weights and build the network.

        get_examples (Callable): Returns the training examples. Their entities give the labels, and
            their pictures are looked for.
        nlp (Language): The pipeline.
        labels (Sequence[str]): The entity types, if they are known.
        feature_store (str): Folder of a feature store that training reads and fills.
        RAISES (ValueError): Without any label (MSVSE-E004), if weights cannot be loaded
            (MSVSE-E001, MSVSE-E011), or if pictures are referenced but nothing visual can be read
            (MSVSE-E009).
        """
        validate_get_examples(get_examples, "MsvseNer.initialize")
        views = network_config(self.model).views
        look = self.vision is not None and bool(views)
        found = survey(get_examples(), look=look, image_root=self.image_root, fetch=self.fetch)
        for label in sorted(found.labels) if labels is None else labels:
            self.add_label(label)
        if not self.labels:
            raise MsvseError(Errors.E004.format(name=self.name))
        if self.vision is not None:
            if "texts" in self.vision.extractors and set(views) <= set(SCALES):
                warnings.warn(Warnings.W005.format(name=self.name), stacklevel=2)
            self.vision.initialize()
            self._adopt_vision()
        self.feature_store = None if feature_store is None else FeatureStore(feature_store)
        self.cfg.update(UNCALIBRATED)
        self.model.attrs["types"] = list(self.labels)
        extracted_dim = 0 if self.vision is None else self.vision.region_dim
        # At least 1, since a pipeline without regions has a width of none.
        self.model.attrs["region_dim"] = max(1, found.region_dim or extracted_dim)
        self.model.initialize()

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples. A calibration does not outlast it.

        examples (Iterable[Example]): The examples.
        drop (float): The dropout rate, of every dropout of the network.
        sgd (Optimizer): The optimiser; without one, gradients accumulate.
        losses (dict): Losses by component name, to add to.
        RETURNS (dict): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "MsvseNer.update")
        examples = [example for example in examples if len(example.predicted)]
        if not examples:
            return losses
        self.require_network()
        if any(self.cfg[key] != value for key, value in UNCALIBRATED.items()):
            # It was fitted to a network that ceases to be.
            warnings.warn(
                Warnings.W007.format(name=self.name, temperature=self.temperature), stacklevel=2
            )
            self.cfg.update(UNCALIBRATED)
        set_dropout_rate(self.model, drop)
        # How many pictures cannot be read was said at initialisation, once and not in every epoch.
        policy = "error" if self.on_missing_image == "error" else "ignore"
        posts = self._read([example.predicted for example in examples], policy=policy)
        outputs, backprop = self.model.begin_update(posts)
        loss, total = self.get_loss(examples, outputs)
        backprop(total)  # type: ignore[arg-type]
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(  # type: ignore[override]
        self, examples: Iterable[Example], scores: MsvseOutputs
    ) -> tuple[float, torch.Tensor]:
        """Compare the network's outputs to the gold labels.

        examples (Iterable[Example]): The examples.
        scores (MsvseOutputs): The network's outputs for them.
        RETURNS (tuple): The loss, and the same as the scalar tensor to differentiate.
        """
        network = self.require_network()
        targets = make_targets(list(examples), self.labels)
        loss: MsvseLoss = network.loss(scores, to_device(targets, get_shim(self.model).device))
        return float(loss.total.detach()), loss.total

    # Prediction

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): How many are buffered; see `max_batch_tokens` for how many are computed.
        YIELDS (Doc): The Docs, in order.
        """
        prepare_worker()
        yield from super().pipe(stream, batch_size=batch_size)

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Find entities, without changing the Docs.

        docs (Iterable[Doc]): The Docs.
        RETURNS (list): A prediction for each of them.
        RAISES (ValueError): Before the network is built (MSVSE-E003), or for an unreadable picture
            if `on_missing_image` is "error" (MSVSE-E020).
        """
        docs = list(docs)
        predictions = self.find(docs)
        if network_config(self.model).multimodal and len(docs) > 1:
            seen = [s for p in predictions if p.post is not None for s in p.post.status.values()]
            if seen and all(status == "absent" for status in seen):
                self._warn_once("text alone", Warnings.W001.format(name=self.name))
        return predictions

    def find(self, docs: Sequence[Doc], *, masked: Iterable[str] | None = None) -> list[Prediction]:
        """Find entities, as `predict` does.

        docs (Sequence[Doc]): The Docs.
        masked (Iterable[str]): Views not to read; None for those that are untrained.
        RETURNS (list): A prediction for each of them.
        """
        predictions = [Prediction() for _ in docs]
        for rows, posts, outputs in self.run(docs, masked=masked):
            for row, prediction in zip(rows, self.decode(posts, outputs), strict=True):
                predictions[row] = prediction
        return predictions

    def run(
        self, docs: Sequence[Doc], *, masked: Iterable[str] | None = None
    ) -> Iterator[tuple[list[int], list[Post], MsvseOutputs]]:
        """Run the network over Docs, batch by batch.

        docs (Sequence[Doc]): The Docs. Empty ones are passed over.
        masked (Iterable[str]): Views not to read; None for those that are untrained.
        YIELDS (tuple): Which of the Docs are in a batch, what was read of them, and the outputs.
        RAISES (ValueError): As `predict`.
        """
        self.require_network()
        if masked is None:
            masked = self._untrained_views()
        for rows in self._batches(docs):
            posts = self._read([docs[row] for row in rows], masked=masked)
            yield rows, posts, self.model.predict(posts)

    def lattice(self, outputs: MsvseOutputs) -> Lattice:
        """What entities and all probabilities are read from.

        outputs (MsvseOutputs): What the network returned.
        RETURNS (Lattice): The scores, divided by the temperature. In double precision, since it is
            differences of sums over all tokens that probabilities are read off.
        """
        return self.require_network().lattice(outputs).double().tempered(self.temperature)

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:  # type: ignore[override]
        """Write predictions onto Docs: `doc.ents`, `doc.spans["msvse_ner"]` with its scores, and
        the attributes `image_status`, `visual_entities` and what the extractors saw.

        docs (Iterable[Doc]): The Docs.
        predictions (Sequence[Prediction]): What `predict` returned for them.
        """
        for doc, prediction in zip(docs, predictions, strict=True):
            self._set_entities(doc, prediction)
            post = prediction.post
            if post is None:
                continue
            for name in doc._.image_extracted or ():
                doc._.set(name, None)
            for name, value in post.extracted.items():
                doc._.set(name, value)
            doc._.image_extracted = sorted(post.extracted) or None
            doc._.image_status = post.status
            unread = [view for view, status in post.status.items() if status == UNREADABLE]
            doc._.image_problems = dict.fromkeys(unread, post.problem) or None
            doc._.visual_entities = prediction.visual_entities

    def _set_entities(self, doc: Doc, prediction: Prediction) -> None:
        # What an earlier pass over the same Doc predicted is nobody's annotation to keep.
        group = doc.spans.get(SPANS_KEY)
        predicted = set() if group is None else {(s.start, s.end, s.label) for s in group}
        kept = [] if self.overwrite else list(doc.ents)
        kept = [ent for ent in kept if (ent.start, ent.end, ent.label) not in predicted]
        taken = {token.i for span in kept for token in span}
        spans, scores = [], []
        for start, end, label, probability in prediction.entities:
            if probability >= self.min_confidence and taken.isdisjoint(range(start, end)):
                spans.append(Span(doc, start, end, label=label))
                scores.append(probability)
        doc.set_ents([*kept, *spans])
        group = SpanGroup(doc, name=SPANS_KEY, spans=spans)
        group.attrs["scores"] = np.asarray(scores, dtype="float32")
        doc.spans[SPANS_KEY] = group

    def _batches(self, docs: Sequence[Doc]) -> Iterator[list[int]]:
        """Rows of Docs of about as many word pieces, so that little is padded, and of
        `max_batch_tokens` at most, what is padded included; no empty Docs."""
        filled = [row for row, doc in enumerate(docs) if len(doc)]
        if len(filled) < 2:  # a post alone need not be tokenised twice
            yield from ([row] for row in filled)
            return
        pieces = count_pieces(
            get_shim(self.model).tokenizer,
            [docs[row] for row in filled],
            network_config(self.model).joint_views,
            self.model.attrs["max_view_words"],
            self.model.attrs["normalize_urls"],
        )
        rows: list[int] = []
        longest = 0
        by_pieces = sorted(zip(pieces, filled, strict=True), key=itemgetter(0), reverse=True)
        for count, row in by_pieces:
            if rows and longest * (len(rows) + 1) > self.max_batch_tokens:
                yield rows
                rows = []
            if not rows:
                longest = count
            rows.append(row)
        yield rows

    def _untrained_views(self) -> dict[str, float]:
        masked = untrained_views(self.model, self.min_view_share)
        for view, share in masked.items():
            self._warn_once(
                f"untrained {view}",
                Warnings.W003.format(view=view, share=share, minimum=self.min_view_share),
            )
        return masked

    def decode(self, posts: Sequence[Post], outputs: MsvseOutputs) -> list[Prediction]:
        """Entities with their probabilities, all read from one lattice.

        posts (Sequence[Post]): A batch.
        outputs (MsvseOutputs): What the network returned for it.
        RETURNS (list): A prediction for each post.
        """
        with torch.inference_mode():
            lattice = self.lattice(outputs)
            entities = best_entities(lattice)
            columns = torch.tensor(entities, dtype=torch.long, device=lattice.mask.device)
            probabilities = lattice.span_log_probabilities(*columns.view(-1, 4).T).exp().tolist()
            visual = outputs.visual_logits
            chances = None if visual is None else visual.sigmoid().tolist()
            present = outputs.visual_mask.tolist()
        predictions = [Prediction(post=post) for post in posts]
        for (row, first, last, label), probability in zip(entities, probabilities, strict=True):
            # Rounding may lift a certain entity above 1.
            entity = (first, last + 1, self.labels[label], min(probability, 1.0))
            predictions[row].entities.append(entity)
        for row, prediction in enumerate(predictions):
            if chances is None:
                break
            for index, view in enumerate(network_config(self.model).prefix_views):
                if present[row][index]:
                    prediction.visual_entities[view] = dict(
                        zip(self.labels, chances[row][index], strict=True)
                    )
        return predictions

    # Pictures

    def _read(
        self, docs: Sequence[Doc], *, masked: Iterable[str] = (), policy: str | None = None
    ) -> list[Post]:
        return read_posts(
            docs,
            network_config(self.model).views,
            masked=masked,
            vision=self.vision,
            store=self.feature_store,
            image_root=self.image_root,
            fetch=self.fetch,
            policy=policy or self.on_missing_image,
        )

    # Saving and loading

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Save the component in memory.

        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (bytes): The component.
        """
        return util.to_bytes(self._writers(exclude), exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "MsvseNer":
        """Load what `to_bytes` saved.

        bytes_data (bytes): The component.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (MsvseNer): This component.
        RAISES (ValueError): If it is incomplete or damaged (MSVSE-E006).
        """
        util.from_bytes(bytes_data, self._readers(exclude), exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder. Each file is written beside and renamed.

        path (Path): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        """

        def writer(content: Callable[[], bytes]) -> Callable[[Path], None]:
            return lambda file: write_whole(file, content())

        writers: dict[str, Callable[[Path], None]] = {
            name: writer(content) for name, content in self._writers(exclude).items()
        }
        writers["vocab"] = lambda folder: self.vocab.to_disk(folder, exclude=exclude)
        util.to_disk(path, writers, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "MsvseNer":
        """Load what `to_disk` saved.

        path (Path): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (MsvseNer): This component.
        RAISES (ValueError): If it is incomplete or damaged (MSVSE-E006).
        """

        def reader(load: Callable[[bytes], Any]) -> Callable[[Path], Any]:
            return lambda file: load(read_whole(file))

        readers: dict[str, Callable[[Path], Any]] = {
            name: reader(load) for name, load in self._readers(exclude).items()
        }
        readers["vocab"] = lambda folder: self.vocab.from_disk(folder, exclude=exclude)
        util.from_disk(path, readers, exclude)
        return self

    def _writers(self, exclude: Iterable[str]) -> dict[str, Callable[[], bytes]]:
        return {
            "cfg": lambda: srsly.json_dumps(self.cfg).encode("utf8"),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": self.model.to_bytes,
            "vision": self._vision_to_bytes,
        }

    def _readers(self, exclude: Iterable[str]) -> dict[str, Callable[[bytes], Any]]:
        return {
            "cfg": checked(lambda data: self.cfg.update(srsly.json_loads(data))),
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            # Before the model, which takes a backbone from it.
            "vision": checked(self._vision_from_bytes),
            "model": checked(self.model.from_bytes),
        }

    def _vision_to_bytes(self) -> bytes:
        # Before initialisation the extractors have no weights to save.
        if self.vision is None or get_shim(self.model).network is None:
            return b""
        return self.vision.to_bytes()

    def _vision_from_bytes(self, data: bytes) -> None:
        if self.vision is not None and data:
            self.vision.from_bytes(data)
            self._adopt_vision()

    def _adopt_vision(self) -> None:
        """Put the extractors where the network is, and the one that trains into it."""
        assert self.vision is not None
        self.vision.to(str(get_torch_default_device()))
        get_shim(self.model).backbone = self.vision.make_backbone()

    def __reduce__(self) -> tuple:
        # Worker processes get all but the store, which is a handle of this process alone.
        settings = {
            "vision": self.vision,
            "overwrite": self.overwrite,
            "on_missing_image": self.on_missing_image,
            "min_view_share": self.min_view_share,
            "max_batch_tokens": self.max_batch_tokens,
            "scorer": self.scorer,
        }
        state = {"cfg": self.cfg, "image_root": self.image_root, "fetch": self.fetch}
        return _restore, (self.vocab, self.model, self.name, settings, state)

    def require_network(self) -> Msvse:
        """The network.

        RAISES (ValueError): Before it is built (MSVSE-E003).
        """
        network = get_shim(self.model).network
        if network is None:
            raise MsvseError(Errors.E003.format(name=self.name))
        return network

    def _warn_once(self, topic: str, message: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            warnings.warn(message, stacklevel=3)


def _restore(
    vocab: Vocab, model: MsvseModel, name: str, settings: dict[str, Any], state: dict[str, Any]
) -> MsvseNer:
    """Rebuild a pickled component."""
    component = MsvseNer(vocab, model, name, **settings)
    for attribute, value in state.items():
        setattr(component, attribute, value)
    return component
