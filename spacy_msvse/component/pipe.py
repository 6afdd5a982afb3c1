"""The component: the methods that spaCy calls to train, predict, annotate, score and save."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, get_torch_default_device, set_dropout_rate

from ..doc import ABSENT, SPANS_KEY, set_extracted_views
from ..errors import Errors, MsvseError, Warnings
from ..network.base import Network, wrong_setting
from ..network.crf import bio_labels
from ..network.inputs import Outputs, to_device
from ..util import join_files, read_files, replaced_when_done, select_files, write_files
from ..vision.extractor import VisualExtractor
from ..vision.picture import Fetcher
from ..vision.store import FeatureStore
from . import analysis
from .architectures import NetworkModel, get_piece_encoder, get_shim, network_config
from .predictor import Prediction, Predictor
from .reader import POLICIES, Reader
from .shim import WEIGHTS_FILE
from .survey import survey_examples
from .targets import make_targets
from .workers import prepare_worker

#: The settings of a component whose confidences are not calibrated.
UNCALIBRATED: dict[str, Any] = {"temperature": 1.0, "calibration": None}

#: Views whose extraction is cheap. Any other view that is extracted but not read gives a warning.
_CHEAP_VIEWS = {"regions", "tags", "caption"}

_SETTINGS_FILE, _VISION = "cfg", "vision"


class MsvseNer(TrainablePipe):
    """Named entity recognition for texts with pictures."""

    def __init__(
        self,
        vocab: Vocab,
        model: NetworkModel,
        name: str = "msvse_ner",
        *,
        vision: VisualExtractor | None = None,
        overwrite: bool = False,
        on_missing_image: str = "warn",
        min_view_share: float = 0.01,
        max_batch_tokens: int = 2048,
        min_confidence: float = 0.0,
        scorer: Callable[..., Any] | None = None,
    ) -> None:
        """Create the component.

        Args:
            vocab (Vocab): The vocabulary of the pipeline.
            model (Model): The network in a Thinc model.
            name (str): Name of the component in the pipeline.
            vision (VisualExtractor): Extracts views; None reads only given views.
            overwrite (bool): Replace entities that are on a Doc already; otherwise they are kept.
            on_missing_image (str): "warn", "error" or "ignore": what to do about an unreadable
                picture.
            min_view_share (float): A view is masked if a smaller share of the training posts had
                it.
            max_batch_tokens (int): Maximum number of word pieces of a prediction batch, joint views
                and padding included.
            min_confidence (float): Entities that are less probable are left out.
            scorer (Callable): Scores the component in `nlp.evaluate`.

        Raises:
            MsvseError: For an unknown `on_missing_image` (MSVSE-E007), or a `min_confidence` out of
                range (MSVSE-E081).
        """
        if on_missing_image not in POLICIES:
            expected = "one of " + ", ".join(POLICIES)
            raise wrong_setting("on_missing_image", on_missing_image, expected)
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
        #: Fetches pictures whose path is a URL; None refuses URLs. Never saved, but sent to worker
        #: processes, so with `n_process` it must be picklable.
        self.fetch: Fetcher | None = None
        self.scorer = scorer
        #: The store of extracted features. Never saved.
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

        Args:
            label (str): The type.

        Returns:
            int: 1 if it was added, 0 if it existed already.

        Raises:
            MsvseError: If the network is built already (MSVSE-E005).
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
        """Entities that are less probable are left out. Can be set; saved with the pipeline."""
        value: float = self.cfg["min_confidence"]
        return value

    @min_confidence.setter
    def min_confidence(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise MsvseError(
                Errors.E081.format(setting="min_confidence", value=value, expected="in [0, 1]")
            )
        self.cfg["min_confidence"] = value

    @property
    def temperature(self) -> float:
        """All scores are divided by it, so that confidences are calibrated: 1 before
        `spacy_msvse.calibrate`."""
        value: float = self.cfg["temperature"]
        return value

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        feature_store: str | None = None,
    ) -> None:
        """Load the weights of encoder and extractors, and build the network.

        Args:
            get_examples (Callable): Returns the training examples. The labels are those of their
                entities, and their pictures are checked.
            nlp (Language): The pipeline.
            labels (Sequence[str]): The entity types, if they are known.
            feature_store (str): Path of a feature store that training reads and fills.

        Raises:
            MsvseError: Without any label (MSVSE-E004), if weights cannot be loaded (MSVSE-E001,
                MSVSE-E011), or if pictures are referenced but nothing visual can be read
                (MSVSE-E009).
        """
        validate_get_examples(get_examples, "MsvseNer.initialize")
        views = network_config(self.model).views
        found = survey_examples(
            get_examples(),
            check_pictures=self.vision is not None and bool(views),
            image_root=self.image_root,
            fetch=self.fetch,
        )
        for label in sorted(found.labels) if labels is None else labels:
            self.add_label(label)
        if not self.labels:
            raise MsvseError(Errors.E004.format(name=self.name))
        extracted_dim = 0
        if self.vision is not None:
            for view in set(self.vision.extractors) - _CHEAP_VIEWS - {*views}:
                message = Warnings.W005.format(name=self.name, view=view)
                warnings.warn(message, stacklevel=2)
            self.vision.initialize()
            get_shim(self.model).backbone = self._place_vision(self.vision)
            extracted_dim = self.vision.region_dim
        self.feature_store = None if feature_store is None else FeatureStore(feature_store)
        self.cfg.update(UNCALIBRATED)
        self.model.attrs["types"] = list(self.labels)
        # At least 1, since a pipeline without regions has no region width.
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
        """Learn from a batch of examples. A calibration is reset.

        Args:
            examples (Iterable[Example]): The examples.
            drop (float): The dropout rate, of every dropout of the network.
            sgd (Optimizer): The optimiser; without one, gradients accumulate.
            losses (dict): Losses by component name, to add to.

        Returns:
            dict: The losses.
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
            message = Warnings.W007.format(name=self.name, temperature=self.temperature)
            warnings.warn(message, stacklevel=2)
            self.cfg.update(UNCALIBRATED)
        set_dropout_rate(self.model, drop)
        # Unreadable pictures are reported at initialisation, once and not in every epoch.
        policy = "error" if self.on_missing_image == "error" else "ignore"
        posts = replace(self.reader, policy=policy).read([eg.predicted for eg in examples])
        encoded = get_piece_encoder(self.model).encode(posts)
        outputs, backprop = self.model.begin_update(encoded)
        loss, total = self.get_loss(examples, outputs)
        backprop(total)  # type: ignore[arg-type]
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Outputs) -> tuple[float, torch.Tensor]:
        """Compare the network's outputs with the gold labels.

        Args:
            examples (Iterable[Example]): The examples.
            scores (Outputs): The network's outputs for them.

        Returns:
            tuple: The loss, and the same as the scalar tensor to differentiate.
        """
        targets = make_targets(list(examples), self.labels)
        device = get_shim(self.model).device
        loss = self.require_network().loss(scores, to_device(targets, device))
        return float(loss.total.detach()), loss.total

    # Prediction

    @property
    def reader(self) -> Reader:
        """A reader of the views of Docs, with the current settings of the component."""
        return Reader(
            network_config(self.model).reads,
            vision=self.vision,
            store=self.feature_store,
            image_root=self.image_root,
            fetch=self.fetch,
            policy=self.on_missing_image,
        )

    @property
    def predictor(self) -> Predictor:
        """A predictor with the current settings of the component. It does not change Docs.

        Raises:
            MsvseError: Before the network is built (MSVSE-E003).
        """
        return Predictor(
            self.model,
            self.reader,
            self.labels,
            self.temperature,
            self.max_batch_tokens,
            masked=self._untrained_views(),
        )

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs.

        Args:
            stream (Iterable[Doc]): The Docs.
            batch_size (int): Number of Docs in the buffer. `max_batch_tokens` limits the batches of
                the network.

        Yields:
            Doc: The Docs, in order.
        """
        prepare_worker()
        yield from super().pipe(stream, batch_size=batch_size)

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Predict entities, without changing the Docs.

        Args:
            docs (Iterable[Doc]): The Docs.

        Returns:
            list: A prediction for each of them.

        Raises:
            MsvseError: Before the network is built (MSVSE-E003), or for an unreadable picture if
                `on_missing_image` is "error" (MSVSE-E020).
        """
        docs = list(docs)
        predictions = self.predictor.predict(docs)
        if network_config(self.model).views and len(docs) > 1:
            seen = [s for p in predictions if p.post is not None for s in p.post.status.values()]
            if seen and all(status == ABSENT for status in seen):
                self._warn_once("text alone", Warnings.W001.format(name=self.name))
        return predictions

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        """Write predictions to Docs: `doc.ents`, `doc.spans["msvse_ner"]` with its scores, and
        the attributes `image_status`, `image_problems`, `visual_entities` and extracted views.

        Args:
            docs (Iterable[Doc]): The Docs.
            predictions (Sequence[Prediction]): The predictions for them.
        """
        for doc, prediction in zip(docs, predictions, strict=True):
            self._set_entities(doc, prediction)
            post = prediction.post
            if post is not None:
                set_extracted_views(doc, post.extracted)
                doc._.image_status = post.status
                doc._.image_problems = post.problems or None
                doc._.visual_entities = prediction.visual_entities

    def _set_entities(self, doc: Doc, prediction: Prediction) -> None:
        # Predictions of an earlier pass over the same Doc are replaced.
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

    def _untrained_views(self) -> tuple[str, ...]:
        masked = self.require_network().untrained_views(self.min_view_share)
        for view, share in masked.items():
            self._warn_once(
                f"untrained {view}",
                Warnings.W003.format(view=view, share=share, minimum=self.min_view_share),
            )
        return tuple(masked)

    # Analyses

    def best_labellings(self, docs: Iterable[Doc], k: int) -> list[list[analysis.Labelling]]:
        """The k most probable labellings of each Doc, the most probable one first.

        Args:
            docs (Iterable[Doc]): The Docs. They are not changed.
            k (int): Number of labellings. A Doc with fewer possible labellings gets all of them.

        Returns:
            list: For each Doc its labellings.

        Raises:
            MsvseError: For k below 1 (MSVSE-E081) or a method without a lattice (MSVSE-E083).
        """
        return analysis.best_labellings(self.predictor, docs, k)

    def label_marginals(self, docs: Iterable[Doc]) -> list[np.ndarray]:
        """The probability of each label at each token, summed over all labellings.

        Args:
            docs (Iterable[Doc]): The Docs. They are not changed.

        Returns:
            list: For each Doc a float32 array of shape (tokens, labels); the columns are those of
                `bio_labels`.

        Raises:
            MsvseError: For a method without a lattice (MSVSE-E083).
        """
        return analysis.label_marginals(self.predictor, docs)

    def explain_pictures(self, docs: Iterable[Doc]) -> list[list[analysis.PictureEffect]]:
        """Compare the predictions with all views and without any. `min_confidence` does not apply.

        Args:
            docs (Iterable[Doc]): The Docs. They are not changed.

        Returns:
            list: For each Doc, an effect for every span that is an entity in either pass.
        """
        return analysis.explain_pictures(self.predictor, docs)

    # Saving and loading

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Save the component in memory.

        Args:
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".

        Returns:
            bytes: A msgpack message of the same files that `to_disk` writes.
        """
        message: dict[str, Any] = {"files": self._to_files(exclude)}
        if "vocab" not in exclude:
            message["vocab"] = self.vocab.to_bytes(exclude=exclude)
        packed: bytes = srsly.msgpack_dumps(message)
        return packed

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "MsvseNer":
        """Load the result of `to_bytes`.

        Args:
            bytes_data (bytes): The saved component.
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".

        Returns:
            MsvseNer: This component.

        Raises:
            MsvseError: If it is incomplete or damaged (MSVSE-E006).
        """
        try:
            message = srsly.msgpack_loads(bytes_data)
            files = message["files"]
        except Exception as error:  # msgpack has many
            raise MsvseError(Errors.E006.format(reason=error)) from error
        if "vocab" in message and "vocab" not in exclude:
            self.vocab.from_bytes(message["vocab"], exclude=exclude)
        self._from_files(files, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder. It is replaced after all files are written.

        Args:
            path (Path): The folder.
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_when_done(path) as folder:
            write_files(folder, self._to_files(exclude))
            if "vocab" not in exclude:
                self.vocab.to_disk(folder / "vocab", exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "MsvseNer":
        """Load what `to_disk` saved.

        Args:
            path (Path): The folder.
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".

        Returns:
            MsvseNer: This component.

        Raises:
            MsvseError: If it is incomplete or damaged (MSVSE-E006).
        """
        path = Path(path)
        if "vocab" not in exclude and (path / "vocab").is_dir():
            self.vocab.from_disk(path / "vocab", exclude=exclude)
        self._from_files(read_files(path), exclude)
        return self

    def _to_files(self, exclude: Iterable[str]) -> dict[str, bytes]:
        files = {}
        if "cfg" not in exclude:
            files[_SETTINGS_FILE] = srsly.json_dumps(self.cfg).encode("utf8")
        if "model" not in exclude:
            files.update(get_shim(self.model).to_files())
        # Before initialisation the extractors have no weights to save.
        has_weights = get_shim(self.model).network is not None
        if "vision" not in exclude and self.vision is not None and has_weights:
            files.update(join_files({_VISION: self.vision.to_files()}))
        return files

    def _from_files(self, files: Mapping[str, bytes], exclude: Iterable[str]) -> None:
        if "cfg" not in exclude:
            try:
                self.cfg.update(srsly.json_loads(files[_SETTINGS_FILE]))
            except (KeyError, ValueError) as error:
                raise MsvseError(Errors.E006.format(reason=error)) from error
        shim = get_shim(self.model)
        backbone = shim.backbone
        has_network = WEIGHTS_FILE in files
        if "vision" not in exclude and self.vision is not None and has_network:
            self.vision.from_files(select_files(files, _VISION))
            backbone = self._place_vision(self.vision)
        if "model" not in exclude:
            shim.from_files(files, backbone)

    def _place_vision(self, vision: VisualExtractor) -> Any:
        """Move the extractors to the network's device.

        Returns:
            nn.Module: The backbone that trains with the network; None if there is none.
        """
        vision.to(str(get_torch_default_device()))
        return vision.make_backbone()

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes get the feature store too. Each of them opens its file.
        settings = {
            "vision": self.vision,
            "overwrite": self.overwrite,
            "on_missing_image": self.on_missing_image,
            "min_view_share": self.min_view_share,
            "max_batch_tokens": self.max_batch_tokens,
            "scorer": self.scorer,
        }
        state = {
            "cfg": self.cfg,
            "image_root": self.image_root,
            "fetch": self.fetch,
            "feature_store": self.feature_store,
        }
        return _restore, (self.vocab, self.model, self.name, settings, state)

    def require_network(self) -> Network:
        """The network.

        Raises:
            MsvseError: Before it is built (MSVSE-E003).
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
    vocab: Vocab, model: NetworkModel, name: str, settings: dict[str, Any], state: dict[str, Any]
) -> MsvseNer:
    """Rebuild a pickled component."""
    component = MsvseNer(vocab, model, name, **settings)
    for attribute, value in state.items():
        setattr(component, attribute, value)
    return component
