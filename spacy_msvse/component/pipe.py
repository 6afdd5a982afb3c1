"""The component: the methods that spaCy calls to train, predict, annotate, score and save."""

import math
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from weakref import ref

import numpy as np
import torch
from pydantic import AfterValidator, Field
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch, raise_error
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, get_torch_default_device, set_dropout_rate

from ..doc import is_covered, set_extracted_views, set_predictions
from ..errors import Errors, MsvseError, Warnings
from ..network.base import Network
from ..network.crf import bio_labels
from ..network.growth import grow
from ..network.inputs import Inputs, Outputs, to_device
from ..settings import AnyPath, Declaration, Name, Names, Share, find_nearest, section, suggest
from ..util import (
    join_files,
    pack_files,
    read_files,
    replaced_when_done,
    select_files,
    unpack_files,
    write_files,
)
from ..values import VIEW_ATTRIBUTES
from ..vision.extractor import VisualExtractor
from ..vision.picture import Fetcher
from ..vision.store import FeatureStore
from . import analysis
from .architectures import NetworkModel, get_piece_encoder, get_shim, network_config
from .divergence import SkippedBatches
from .predictor import Prediction, Predictor
from .reader import MAX_PICTURES, Reader
from .reports import StreamReport
from .rounding import round_weights
from .saving import (
    Temperature,
    check_labels,
    dump_settings,
    load_settings,
    read_component_config,
)
from .settings import Attribute, MaxPictures, Policy, Setting
from .shim import WEIGHTS_FILE, NetworkShim
from .survey import survey_examples
from .targets import make_targets
from .temperatures import UNCALIBRATED, Temperatures, read_temperatures
from .workers import prepare_worker

#: After so many single posts without any view, a warning says that only text is read.
MANY_POSTS = 32

#: Views whose extraction is cheap. Any other view that is extracted but not read gives a warning.
_CHEAP_VIEWS = {"regions", "tags", "caption"}

#: Views that users can give without an extractor for them.
_GIVEN_VIEWS = {*VIEW_ATTRIBUTES, "ocr", "knowledge"}

_SETTINGS_FILE, _VOCAB, _VISION = "cfg", "vocab", "vision"

#: Arguments of [initialize.components].
_LABEL, _LABELS, _STORE = (Declaration(one) for one in (Name, Names | None, AnyPath | None))


def _check_model(model: Any) -> Any:
    if not (isinstance(model, Model) and any(isinstance(s, NetworkShim) for s in model.shims)):
        raise ValueError
    return model


_MODEL = Declaration(
    Annotated[
        Any,
        AfterValidator(_check_model),
        Field(description="a section whose @architectures is a method, such as MSVSE"),
    ]
)
_TEMPERATURE = Declaration(Temperature)
_SCORER = Declaration(Callable[..., Any] | None)


class MsvseNer(TrainablePipe):
    """Named entity recognition for texts with pictures.

    The settings are attributes that can be set at any time. They are checked, shown in
    `nlp.config`, and saved.

    Attributes:
        overwrite (bool): Replace entities that are on a Doc already; otherwise they are kept.
        on_missing_image (str): "warn", "error" or "ignore": what to do about an unreadable picture.
        min_view_share (float): A view is masked if a smaller share of the training posts had it.
        view_dropout (dict): View to the share of the posts that are trained without it, drawn anew
            in each step. The pipeline then also serves posts that lack the view.
        max_pictures (int): How many pictures of a post are read, the first ones.
        max_batch_tokens (int): Maximum number of word pieces of a prediction batch, joint views and
            padding included.
        min_confidence (float): Entities that are less probable are left out.
        spans_key (str): Where in `doc.spans` the predicted entities and their scores are.
    """

    overwrite = Setting[bool](bool)
    on_missing_image = Setting[str](Policy)
    min_view_share = Setting[float](Share)
    view_dropout = Setting[Mapping[str, float]](dict[Name, Share])
    max_pictures = Setting[int](MaxPictures)
    max_batch_tokens = Setting[int](Annotated[int, Field(ge=1, le=1_000_000)])
    min_confidence = Setting[float](Share)
    spans_key = Setting[str](Name)
    vision = Attribute[VisualExtractor | None](
        Annotated[
            VisualExtractor | None,
            Field(description="a section whose @misc is spacy-msvse.VisualExtractor.v1, or null"),
        ]
    )
    #: The only folder to read pictures from; None allows any path. Never saved.
    image_root = Attribute[str | Path | None](AnyPath | None)
    #: Views that are not read, whether they are given or could be extracted. Never saved.
    masked_views = Attribute[Sequence[str]](Names)
    #: Fetches pictures whose path is a URL; None refuses URLs. Never saved, but sent to worker
    #: processes, so with `n_process` it must be picklable.
    fetch = Attribute[Fetcher | None](Callable[..., Any] | None)

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
        view_dropout: Mapping[str, float] = {},
        max_pictures: int = MAX_PICTURES,
        max_batch_tokens: int = 2048,
        min_confidence: float = 0.0,
        spans_key: str | None = None,
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
            view_dropout (dict): View to the share of the posts that are trained without it, drawn
                anew in each step.
            max_pictures (int): How many pictures of a post are read, the first ones.
            max_batch_tokens (int): Maximum number of word pieces of a prediction batch, joint views
                and padding included.
            min_confidence (float): Entities that are less probable are left out.
            spans_key (str): Where in `doc.spans` the predicted entities and their scores are; None
                for the name of the component.
            scorer (Callable): Scores the component in `nlp.evaluate`.

        Raises:
            MsvseError: For a setting that cannot be used (MSVSE-E007).
        """
        self.vocab = vocab
        self.name = name
        self.model: NetworkModel = _MODEL.check("model", model, f"components.{name}")
        self.cfg: dict[str, Any] = {"labels": [], **UNCALIBRATED}
        self.vision = vision
        self.settings: dict[str, Any] = {}
        self._nlp: Callable[[], Language | None] = _no_language
        self.overwrite = overwrite
        self.on_missing_image = on_missing_image
        self.min_view_share = min_view_share
        self.view_dropout = view_dropout
        self.max_pictures = max_pictures
        self.max_batch_tokens = max_batch_tokens
        self.min_confidence = min_confidence
        self.spans_key = name if spans_key is None else spans_key
        #: The settings as the config has them.
        self._configured = {**self.settings, "spans_key": spans_key}
        self.image_root = None
        self.fetch = None
        self.masked_views = ()
        self.scorer = _SCORER.check("scorer", scorer, f"components.{name}")
        #: The store of extracted features. Never saved.
        self.feature_store: FeatureStore | None = None
        self._warned: set[str] = set()
        self._skipped = SkippedBatches(name)
        #: Posts that were annotated, and how many of them had a view.
        self._posts = self._posts_with_views = 0
        self._check_views()

    # Settings

    def attach(self, nlp: Language) -> None:
        """Show changed settings in the config of a pipeline from now on.

        Args:
            nlp (Language): The pipeline. No reference to it is kept alive.
        """
        self._nlp = ref(nlp)

    def show_setting(self, setting: str, value: Any) -> None:
        """Write the value of a setting to the config of the pipeline.

        Args:
            setting (str): Its name.
            value (Any): Its value.
        """
        nlp = self._nlp()
        for name, component in nlp.components if nlp is not None else ():
            if component is self:
                nlp.get_pipe_config(name)[setting] = self._configured[setting] = value  # type: ignore[union-attr]

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
        """Add an entity type. A network that is built already gets new rows for it, drawn at
        random. Train it with posts of the new type and of the old ones.

        Args:
            label (str): The type.

        Returns:
            int: 1 if it was added, 0 if it existed already.
        """
        _LABEL.check("label", label, self.name)
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        shim = get_shim(self.model)
        if shim.network is not None:
            self.model.attrs["types"] = list(self.labels)
            shim.set_network(grow(shim.network, self.labels), shim.tokenizer)
        return 1

    @property
    def bio_labels(self) -> tuple[str, ...]:
        """The labels of tokens: O, then B and I of each entity type."""
        return bio_labels(self.labels)

    # Confidence

    @property
    def temperature(self) -> float:
        """All scores are divided by it, so that confidences are calibrated: 1 before
        `spacy_msvse.calibrate`."""
        value: float = self.cfg["temperature"]
        return value

    @temperature.setter
    def temperature(self, value: float) -> None:
        path = f"components.{self.name}"
        self.cfg["temperature"] = _TEMPERATURE.check("temperature", value, path)

    @property
    def temperatures(self) -> Temperatures:
        """The temperature, and that of posts without the views of `view_dropout`."""
        return read_temperatures(self.cfg)

    @property
    def precision(self) -> str:
        """The precision of the network's products on this machine: "float32" or "bfloat16"."""
        return get_shim(self.model).precision

    @property
    def optional_views(self) -> tuple[str, ...]:
        """The views that the network reads and that `view_dropout` left out at random."""
        views = network_config(self.model).views
        return tuple(view for view in views if self.view_dropout.get(view))

    @property
    def untrained_views(self) -> dict[str, float]:
        """The views that too few training posts had, with the share of these posts. They are
        masked. Empty before there is a network."""
        network = get_shim(self.model).network
        return {} if network is None else network.untrained_views(self.min_view_share)

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
            MsvseError: Without any label (MSVSE-E004), with a label in the examples that `labels`
                does not have (MSVSE-E019), if weights cannot be loaded (MSVSE-E001, MSVSE-E011), if
                pictures are referenced but nothing visual can be read (MSVSE-E009), if the reader
                of the corpus has lost the pictures (MSVSE-E026), for a view that nothing gives
                (MSVSE-E181), or for a setting that cannot be used or does not fit the encoder
                (MSVSE-E007, MSVSE-E180).
        """
        if nlp is not None:
            self.attach(nlp)
        validate_get_examples(get_examples, "MsvseNer.initialize")
        labels = _LABELS.check("labels", labels, f"initialize.components.{self.name}")
        _STORE.check("feature_store", feature_store, f"initialize.components.{self.name}")
        views = network_config(self.model).views
        found = survey_examples(
            get_examples(),
            vision=self.vision if views else None,
            max_pictures=self.max_pictures,
            image_root=self.image_root,
            fetch=self.fetch,
        )
        if views and found.posts and not found.posts_with_views:
            if found.lost:
                raise MsvseError(Errors.E026.format(name=self.name, count=found.lost))
            message = Warnings.W009.format(name=self.name, count=found.posts)
            warnings.warn(message, stacklevel=2)
        if found.with_more_pictures:
            self._warn_of_more_pictures(found.with_more_pictures)
        if found.knows_answers and not self.overwrite:
            message = Warnings.W066.format(name=self.name, count=found.annotated)
            warnings.warn(message, stacklevel=2)
        self._check_views(found.texts)
        for view in self.view_dropout.keys() - {*views}:
            message = Warnings.W053.format(name=self.name, view=view, views=", ".join(views))
            warnings.warn(message, stacklevel=2)
        self._check_labels(labels, found.labels)
        for label in sorted(found.labels) if labels is None else labels:
            self.add_label(label)
        if not self.labels:
            raise MsvseError(Errors.E004.format(name=self.name))
        extracted_dim, levels = 0, tuple[int, ...]()
        if self.vision is not None:
            for view in set(self.vision.extractors) - _CHEAP_VIEWS - {*views}:
                message = Warnings.W005.format(name=self.name, view=view)
                warnings.warn(message, stacklevel=2)
            self.vision.initialize()
            get_shim(self.model).backbone = self._place_vision(self.vision)
            extracted_dim, levels = self.vision.region_dim, self.vision.region_levels
        self.feature_store = None if feature_store is None else FeatureStore(feature_store)
        self.cfg.update(UNCALIBRATED)
        self._skipped = SkippedBatches(self.name)
        self.model.attrs["types"] = list(self.labels)
        # At least 1, since a pipeline without regions has no region width.
        region_dim = max(1, found.region_dim or extracted_dim)
        self.model.attrs["region_dim"] = region_dim
        # Vectors that were given may be others than those of the extractor.
        self.model.attrs["region_levels"] = levels if sum(levels) == region_dim else ()
        with self._model_section():
            self.model.initialize()
        network = self.require_network()
        if network.indexes_posts:
            network.index_posts(self._training_batches(get_examples()))

    def _training_batches(self, examples: Iterable[Example]) -> Iterator[Inputs]:
        """The inputs of the training posts, batch by batch."""
        encoder, device = get_piece_encoder(self.model), get_shim(self.model).device
        reader = replace(self.reader, policy="ignore")
        for batch in minibatch((eg.predicted for eg in examples if len(eg.predicted)), 32):
            yield to_device(encoder.collate(encoder.encode(reader.read(batch))), device)

    def _model_section(self) -> AbstractContextManager[None]:
        """Name this section of the config in errors of settings of the network."""
        return section(f"components.{self.name}.model")

    def _check_views(self, given: Set[str] | None = None) -> None:
        """Refuse a view that nothing can give to the network, such as a misspelt one.

        Args:
            given (Set): Textual views of the training posts. None before they are known: then only
                a view is refused whose name is nearly that of another one.
        """
        views = network_config(self.model).views
        filled = {*(self.vision.extractors if self.vision is not None else ())}
        known = filled | (_GIVEN_VIEWS if given is None else {*VIEW_ATTRIBUTES, *given})
        for view in views:
            nearest = find_nearest(view, filled | _GIVEN_VIEWS)
            # "ocr2" may be a view beside "ocr".
            numbered = nearest in views and view.startswith(str(nearest))
            if view not in known and (given is not None or (nearest and not numbered)):
                hint = suggest(view, (filled | _GIVEN_VIEWS) - {view})
                names = {"name": self.name, "view": view, "nearest": hint}
                raise MsvseError(Errors.E181.format(**names))

    def _check_labels(self, given: Sequence[str] | None, found: set[str]) -> None:
        """Compare the labels of [initialize] with those of the training posts."""
        if given is None or not found:
            return
        names = {"name": self.name, "labels": ", ".join(given)}
        if unknown := found.difference(given):
            raise MsvseError(Errors.E019.format(unknown=", ".join(sorted(unknown)), **names))
        if unused := set(given) - found:
            message = Warnings.W010.format(unused=", ".join(sorted(unused)), **names)
            warnings.warn(message, stacklevel=3)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples. A calibration is reset. A batch whose loss or gradients
        are not finite is skipped, with a warning (MSVSE-W050).

        Args:
            examples (Iterable[Example]): The examples.
            drop (float): The dropout rate, of every dropout of the network.
            sgd (Optimizer): The optimiser; without one, gradients accumulate.
            losses (dict): Losses by component name, to add to.

        Returns:
            dict: The losses.

        Raises:
            MsvseError: If too many batches were skipped (MSVSE-E211).
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
        if self.view_dropout:
            posts = [post.without(self._draw_views()) for post in posts]
        encoded = get_piece_encoder(self.model).encode(posts)
        outputs, backprop = self.model.begin_update(encoded)
        loss, total = self.get_loss(examples, outputs)
        self._skipped.begin(examples[0].predicted.text)
        if math.isfinite(loss):
            backprop(total)  # type: ignore[arg-type]
            losses[self.name] += loss
        else:
            self._skipped.skip("loss", loss)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def _draw_views(self) -> set[str]:
        """The views that a post is trained without in this step."""
        return {view for view, rate in self.view_dropout.items() if random.random() < rate}

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the network by the accumulated gradients, unless they are not finite.

        Args:
            sgd (Optimizer): The optimiser.

        Raises:
            MsvseError: If too many batches had a loss or gradients that are not finite
                (MSVSE-E211).
        """
        super().finish_update(sgd)
        norm = get_shim(self.model).gradient_norm
        if norm is not None and not math.isfinite(norm):
            self._skipped.skip("norm of the gradients", norm)
        elif norm is not None:
            self._skipped.finish()

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
            max_pictures=self.max_pictures,
        )

    @property
    def predictor(self) -> Predictor:
        """A predictor with the current settings of the component. It does not change Docs.

        Raises:
            MsvseError: Before the network is built (MSVSE-E003).
        """
        self.require_network()
        return Predictor(
            self.model,
            self.reader,
            self.labels,
            self.temperatures,
            self.max_batch_tokens,
            masked=(*self._untrained_views(), *self.masked_views),
        )

    def __call__(self, doc: Doc) -> Doc:
        """Annotate a Doc.

        Args:
            doc (Doc): The Doc.

        Returns:
            Doc: The same Doc.
        """
        report = StreamReport()
        annotated = list(self._annotate([doc], report))
        self._warn_of(report)
        # Without it, the error handler has dealt with the Doc.
        return annotated[0] if annotated else None  # type: ignore[return-value]

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs. If a batch fails and the error handler does not raise, its
        Docs are annotated one by one, and the handler gets only those that fail.

        Args:
            stream (Iterable[Doc]): The Docs.
            batch_size (int): How many are buffered. `max_batch_tokens` limits what is computed at
                once.

        Yields:
            Doc: The Docs, in order.
        """
        prepare_worker()
        report = StreamReport()
        try:
            for docs in minibatch(stream, size=batch_size):
                yield from self._annotate(docs, report)
        except GeneratorExit:  # `nlp.evaluate` asks for no more than it needs
            self._warn_of(report)
            raise
        self._warn_of(report)

    def _annotate(self, docs: Sequence[Doc], report: StreamReport) -> Iterator[Doc]:
        handler = self.get_error_handler()
        try:
            predictions = self._predict(docs)
            self.set_annotations(docs, predictions)
        except Exception as error:
            if len(docs) == 1 or handler is raise_error:
                handler(self.name, self, list(docs), error)
            else:
                for doc in docs:
                    yield from self._annotate([doc], report)
            return
        report.add(docs, predictions)
        yield from docs

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Predict entities, without changing the Docs.

        Args:
            docs (Iterable[Doc]): The Docs.

        Returns:
            list: A prediction for each of them.

        Raises:
            MsvseError: Before the network is built (MSVSE-E003), for a value of an attribute that
                cannot be used (MSVSE-E035, MSVSE-E013, MSVSE-E014), or for an unreadable picture if
                `on_missing_image` is "error" (MSVSE-E020, MSVSE-E021, MSVSE-E022, MSVSE-E056,
                MSVSE-E061).
        """
        docs = list(docs)
        predictions = self._predict(docs)
        report = StreamReport()
        report.add(docs, predictions)
        self._warn_of(report)
        return predictions

    def _predict(self, docs: Sequence[Doc]) -> list[Prediction]:
        predictor = self.predictor
        if predictor.reader.policy == "warn":
            # The caller reports unreadable pictures once, with their number.
            reader = replace(predictor.reader, policy="ignore")
            predictor = replace(predictor, reader=reader)
        return predictor.predict(docs)

    def _warn_of(self, report: StreamReport) -> None:
        """Give the warnings of a stream of posts, or of one post."""
        if report.problems and self.on_missing_image == "warn":
            message = Warnings.W002.format(count=report.problems, problem=report.first_problem)
            warnings.warn(message, stacklevel=3)
        if report.with_more_pictures:
            self._warn_of_more_pictures(report.with_more_pictures)
        if report.context is not None:
            self._warn_once("contexts", Warnings.W012.format(context=report.context))
        if not network_config(self.model).views or "text alone" in self._warned:
            return
        posts = self._posts + report.posts
        with_views = self._posts_with_views + report.posts_with_views
        if posts and not with_views and (report.posts > 1 or posts >= MANY_POSTS):
            cause = report.find_cause()
            if cause is None:
                return
            message = Warnings.W001.format(name=self.name, count=posts, cause=cause)
            self._warn_once("text alone", message)
        self._posts, self._posts_with_views = posts, with_views

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        """Write predictions to Docs: `doc.ents`, `doc.spans[spans_key]` with its scores and the
        confidence of the Doc, and the attributes `image_status`, `image_problems`,
        `visual_entities` and extracted views.

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
                doc._.image_problems = [tuple(problem) for problem in post.problems] or None
                doc._.visual_entities = prediction.visual_entities

    def _set_entities(self, doc: Doc, prediction: Prediction) -> None:
        # Entities of an earlier pass over the same Doc are replaced.
        kept = [] if self.overwrite else [e for e in doc.ents if not self._has_predicted(e)]
        # Blocked tokens have a beginning of an entity without a type. They stay blocked.
        blocked = [doc[t.i : t.i + 1] for t in doc if t.ent_iob == 3 and not t.ent_type]
        taken = {token.i for span in (*kept, *blocked) for token in span}
        spans, scores = [], []
        for start, end, label, probability in prediction.entities:
            if probability >= self.min_confidence and taken.isdisjoint(range(start, end)):
                spans.append(Span(doc, start, end, label=label))
                scores.append(probability)
        doc.set_ents([*kept, *spans], blocked=blocked)
        set_predictions(doc, self.spans_key, spans, scores, prediction.confidence)

    def _has_predicted(self, entity: Span) -> bool:
        prediction = entity._.prediction
        return prediction is not None and prediction.key == self.spans_key

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score annotated examples with the scorer of the config. Predicted entities of types that
        the annotation of a post does not cover are not counted.

        Args:
            examples (Iterable[Example]): The examples.
            kwargs (Any): Arguments of the scorer.

        Returns:
            dict: The scores.
        """
        examples = list(examples)
        gold = Counter(ent.label_ for eg in examples for ent in eg.reference.ents)
        if unknown := sorted(gold.keys() - self.cfg["labels"]):
            counts = ", ".join(f"{label} ({gold[label]})" for label in unknown)
            labels = ", ".join(self.labels)
            message = Warnings.W011.format(name=self.name, unknown=counts, labels=labels)
            self._warn_once(f"unknown {unknown}", message)
        counted = [_leave_out_uncovered(example) for example in examples]
        scores: dict[str, Any] = super().score(counted, **kwargs)
        return scores

    def _untrained_views(self) -> tuple[str, ...]:
        masked = self.untrained_views
        for view, share in masked.items():
            self._warn_once(
                f"untrained {view}",
                Warnings.W003.format(view=view, share=share, minimum=self.min_view_share),
            )
        return tuple(masked)

    # Analyses

    def best_labellings(self, docs: Doc | Iterable[Doc], k: int) -> list[list[analysis.Labelling]]:
        """The k most probable labellings of each Doc, the most probable one first.

        Args:
            docs (Doc / Iterable[Doc]): The Docs, or one. They are not changed.
            k (int): Number of labellings. A Doc with fewer possible labellings gets all of them.

        Returns:
            list: For each Doc its labellings.

        Raises:
            MsvseError: For a k out of range (MSVSE-E007), or a method without a lattice
                (MSVSE-E083).
        """
        return analysis.best_labellings(self.predictor, _several(docs), k)

    def label_marginals(self, docs: Doc | Iterable[Doc]) -> list[np.ndarray]:
        """The probability of each label at each token, summed over all labellings.

        Args:
            docs (Doc / Iterable[Doc]): The Docs, or one. They are not changed.

        Returns:
            list: For each Doc a float32 array of shape (tokens, labels); the columns are those of
                `bio_labels`.

        Raises:
            MsvseError: For a method without a lattice (MSVSE-E083).
        """
        return analysis.label_marginals(self.predictor, _several(docs))

    def post_confidences(self, docs: Doc | Iterable[Doc]) -> list[float]:
        """How sure the component is of each Doc as a whole. `min_confidence` does not apply.

        The confidence of a Doc is the lowest of the confidences of its entities and, where no
        entity is found, of the probabilities that there is none. `doc._.confidence` is the same
        number of an annotated Doc.

        Args:
            docs (Doc / Iterable[Doc]): The Docs, or one. They are not changed.

        Returns:
            list: For each Doc a number between 0 and 1; 1 for an empty Doc.

        Raises:
            MsvseError: For a method whose answer does not say how probable "no entity" is
                (MSVSE-E260).
        """
        return analysis.post_confidences(self.predictor, _several(docs))

    def explain_pictures(self, docs: Doc | Iterable[Doc]) -> list[list[analysis.PictureEffect]]:
        """Compare the predictions with all views, without any, and without each of several
        pictures. `min_confidence` does not apply.

        Args:
            docs (Doc / Iterable[Doc]): The Docs, or one. They are not changed.

        Returns:
            list: For each Doc, an effect for every span that is an entity in either pass.
        """
        return analysis.explain_pictures(self.predictor, _several(docs))

    # Saving and loading

    def round_weights(self) -> None:
        """Round the weights to values of bfloat16, so that they are saved in half the space.

        Each weight changes by less than half a per cent. Saving itself rounds nothing: weights that
        are trained further are saved in full again. A calibration is reset, with a warning
        (MSVSE-W065). The weights of extractors stay as they are.

        Raises:
            MsvseError: Before there is a network (MSVSE-E003).
        """
        round_weights(self.require_network())
        if any(self.cfg[key] != value for key, value in UNCALIBRATED.items()):
            message = Warnings.W065.format(name=self.name, temperature=self.temperature)
            warnings.warn(message, stacklevel=2)
            self.cfg.update(UNCALIBRATED)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Save the component in memory.

        Args:
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".

        Returns:
            bytes: A msgpack message of the same files that `to_disk` writes, and of their hashes.
        """
        return pack_files(self._to_files(exclude))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "MsvseNer":
        """Load the result of `to_bytes`.

        Args:
            bytes_data (bytes): The saved component.
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".

        Returns:
            MsvseNer: This component.

        Raises:
            MsvseError: If it is incomplete or damaged (MSVSE-E006), or if its weights do not fit
                changed settings (MSVSE-E027).
        """
        self._from_files(unpack_files(bytes_data), exclude)
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
            write_files(folder, self._to_files(exclude, read_component_config(path)))

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "MsvseNer":
        """Load what `to_disk` saved.

        Args:
            path (Path): The folder.
            exclude (Iterable[str]): Parts to leave out: "cfg", "vocab", "model" or "vision".

        Returns:
            MsvseNer: This component.

        Raises:
            MsvseError: If it is incomplete or damaged (MSVSE-E006), or if its weights do not fit
                changed settings (MSVSE-E027).
        """
        self._from_files(read_files(Path(path)), exclude)
        return self

    def _to_files(
        self, exclude: Iterable[str], config: Mapping[str, Any] | None = None
    ) -> dict[str, bytes]:
        files = {}
        if "cfg" not in exclude:
            # What the config shows is saved too: if it differs at load, somebody has edited it.
            configured = {k: (config or {}).get(k, v) for k, v in self._configured.items()}
            values = {**self.cfg, "settings": self.settings, "configured": configured}
            files[_SETTINGS_FILE] = dump_settings({**values, "reading": self._reading})
        if "vocab" not in exclude:
            files[_VOCAB] = self.vocab.to_bytes(exclude=exclude)
        if "model" not in exclude:
            files.update(get_shim(self.model).to_files())
        # Before initialisation the extractors have no weights to save.
        has_weights = get_shim(self.model).network is not None
        if "vision" not in exclude and self.vision is not None and has_weights:
            files.update(join_files({_VISION: self.vision.to_files()}))
        return files

    def _from_files(self, files: Mapping[str, bytes], exclude: Iterable[str]) -> None:
        changed: dict[str, Any] = {}
        if "vocab" not in exclude and _VOCAB in files:
            self.vocab.from_bytes(files[_VOCAB], exclude=exclude)
        if "cfg" not in exclude:
            if _SETTINGS_FILE not in files:
                raise MsvseError(Errors.E006.format(reason=f"'{_SETTINGS_FILE}' is missing"))
            saved = load_settings(files[_SETTINGS_FILE])
            loaded = saved.model_dump()
            self.cfg = {key: loaded[key] for key in self.cfg}
            for setting, value in self._configured.items():
                # An edited config, or the argument `config` of `spacy.load`, has priority.
                if setting in saved.settings and saved.configured.get(setting) == value:
                    setattr(self, setting, saved.settings[setting])
            reading = self._reading
            changed.update({k: v for k, v in saved.reading.items() if reading.get(k) != v})
        shim = get_shim(self.model)
        backbone = shim.backbone
        has_network = WEIGHTS_FILE in files
        if "vision" not in exclude and self.vision is not None and has_network:
            self.vision.from_files(select_files(files, _VISION))
            backbone = self._place_vision(self.vision)
        if "model" not in exclude:
            with self._model_section():
                given = self.model.attrs["settings"]
                changed.update(shim.from_files(files, backbone, given))
        if shim.network is not None:
            check_labels(self.labels, shim.network.config.types)
        if changed:
            values = ", ".join(f"{name} (trained: {value!r})" for name, value in changed.items())
            message = Warnings.W052.format(name=self.name, settings=values)
            warnings.warn(message, stacklevel=4)

    @property
    def _reading(self) -> dict[str, Any]:
        """The settings of the model, besides those of the network, that decide predictions."""
        return {name: self.model.attrs[name] for name in ("max_view_words", "normalize_urls")}

    def _place_vision(self, vision: VisualExtractor) -> Any:
        """Move the extractors to the network's device.

        Returns:
            nn.Module: The backbone that trains with the network; None if there is none.
        """
        vision.to(str(get_torch_default_device()))
        return vision.make_backbone()

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes get the feature store too. Each of them opens its file.
        settings = {"vision": self.vision, "scorer": self.scorer, **self.settings}
        state = {
            "cfg": self.cfg,
            "_configured": self._configured,
            "image_root": self.image_root,
            "fetch": self.fetch,
            "masked_views": self.masked_views,
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

    def _warn_of_more_pictures(self, count: int) -> None:
        message = Warnings.W062.format(count=count, limit=self.max_pictures)
        warnings.warn(message, stacklevel=4)

    def _warn_once(self, topic: str, message: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            warnings.warn(message, stacklevel=3)


def _leave_out_uncovered(example: Example) -> Example:
    """An example without predicted entities of types that its annotation does not cover."""
    doc = example.predicted
    kept = [entity for entity in doc.ents if is_covered(example.reference, entity.label_)]
    if len(kept) == len(doc.ents):
        return example
    copy = doc.copy()
    copy.set_ents([Span(copy, entity.start, entity.end, entity.label) for entity in kept])
    return Example(copy, example.reference)


def _several(docs: Doc | Iterable[Doc]) -> Iterable[Doc]:
    return [docs] if isinstance(docs, Doc) else docs


def _no_language() -> None:
    """In place of a reference to a pipeline."""


def _restore(
    vocab: Vocab, model: NetworkModel, name: str, settings: dict[str, Any], state: dict[str, Any]
) -> MsvseNer:
    """Rebuild a pickled component."""
    component = MsvseNer(vocab, model, name, **settings)
    for attribute, value in state.items():
        setattr(component, attribute, value)
    return component
