"""The plan of an experiment: each row and seed with its config, its data and its folder."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.util import dot_to_object
from thinc.api import Config, get_torch_default_device

from ...component import components
from ...component.precision import choose_precision
from ...errors import Errors, MsvseError
from ...network.encoders.families import NO_CODE, auto_classes
from ...network.pretrained import find_encoder
from ...util import first_line, hash_files
from ..controls import clear_corpus, shuffle_corpus
from ..scores import describe_posts
from .rows import (
    FULL,
    TRAINED_SHUFFLED,
    WITHOUT_PICTURES,
    Settings,
    choose_rows,
    method_rows,
    vary,
    views_of,
)
from .train_run import RESULT, scored_corpora


@dataclass(frozen=True)
class TrainRun:
    """The training of one row with one seed.

    Attributes:
        row (str): Name of the row.
        seed (int): The seed of training.
        overrides (dict): The settings that the row changes in the config.
        config (Config): The config to train with, with its variables.
        fingerprint (str): Hash of the config, its variables filled in, of the data, and of an
            encoder that is a folder.
        folder (Path): The folder of its result. Equal rows share it.
    """

    row: str
    seed: int
    overrides: Settings
    config: Config
    fingerprint: str
    folder: Path

    @property
    def identity(self) -> dict[str, Any]:
        """The facts that identify the run in its result."""
        names = ("row", "seed", "overrides", "fingerprint")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return f"{self.row}, seed {self.seed}"

    def result(self) -> dict[str, Any] | None:
        """The measured result; None if the run has not ended, or had another config or data."""
        path = self.folder / RESULT
        result = srsly.read_json(path) if path.exists() else None
        return result if result and result["fingerprint"] == self.fingerprint else None


@dataclass(frozen=True)
class Plan:
    """An experiment.

    Attributes:
        runs (list): The runs, seed by seed.
        seeds (list): The seeds.
        data (dict): Split to the posts: file, hash, conversion, limit.
        left_out (list): Rows that are left out, because the config does not have their views.
        against (str): The row that all others are compared with.
    """

    runs: list[TrainRun]
    seeds: list[int]
    data: dict[str, dict[str, Any]]
    left_out: list[str]
    against: str = FULL

    @property
    def scored(self) -> str:
        """The split whose scores are compared: "test" if there are test posts, else "dev"."""
        return "test" if "test" in self.data else "dev"


def make_plan(
    nlp: Language,
    config_path: Path,
    output: Path,
    *,
    seeds: int,
    matrices: Collection[str],
    only: Collection[str] = (),
    test: Path | None = None,
    methods: Sequence[str] = (),
    bilstm: Path | None = None,
    configs: Mapping[str, Config] = {},
    against: str = FULL,
) -> Plan:
    """Plan an experiment. Nothing is written but the posts with shuffled pictures and those without
    pictures, if a row needs them.

    Args:
        nlp (Language): The pipeline of the config that all rows vary.
        config_path (Path): The file of the config.
        output (Path): The folder of the experiment.
        seeds (int): The number of seeds, from 0.
        matrices (Collection[str]): Names of matrices.
        only (Collection[str]): The rows to keep; all if there is none.
        test (Path): The test posts; by default those of `[corpora.test]`, if it is there.
        methods (Sequence[str]): Registered names of the methods of the matrix "methods"; by
            default, those of this package.
        bilstm (Path): A folder that `init-bilstm` has written, for the row "bilstm_crf".
        configs (Mapping): Further rows: name to a complete training config.
        against (str): The row that all others are compared with.

    Returns:
        Plan: The plan.

    Raises:
        MsvseError: If the config has no component of this package (MSVSE-E120), for a corpus
            without posts (MSVSE-E121), for an unknown matrix, row or method (MSVSE-E040), or if the
            learning rate of the config is not a number (MSVSE-E122).
    """
    config = nlp.config.copy()
    component = component_name(config, config_path)
    configs = {
        name: one.copy()
        for row, one in configs.items()
        for name in (row, *([row + WITHOUT_PICTURES] if views_of(one) else []))
    }
    for one in (config, *configs.values()):
        _fix_precision(one)
        if test is not None:
            dev = dot_to_object(one, one["training"]["dev_corpus"])
            one["corpora"]["test"] = _whole_corpus(dev, test)
    data = describe_data(config)
    rows, left_out = choose_rows(
        config,
        component,
        matrices,
        only,
        method_rows=method_rows(dict(components(nlp))[component]),
        methods=methods,
        bilstm=bilstm,
        further=configs,
        against=against,
    )
    if TRAINED_SHUFFLED in rows:
        rows[TRAINED_SHUFFLED] = copy_corpora(config, output / "shuffled", shuffle_corpus)
    cleared = {row for row in rows if row.endswith(WITHOUT_PICTURES)}
    folder = output / "without_pictures"
    if cleared - configs.keys():
        paths = copy_corpora(config, folder, clear_corpus)
        rows |= {row: {**rows[row], **paths} for row in cleared - configs.keys()}
    for row in cleared & configs.keys():
        rows[row] |= copy_corpora(configs[row], folder / row, clear_corpus)
    numbers = list(range(seeds))
    runs = plan_runs(config, rows, numbers, output / "runs", configs)
    return Plan(runs, numbers, data, left_out, against)


def _fix_precision(config: Config) -> None:
    """Write the precision of this machine into a config, so that runs of another machine, which may
    compute in another one, are not taken for runs of the same experiment."""
    for component in config["components"].values():
        model = component.get("model", {})
        if model.get("precision") == "auto":
            model["precision"] = choose_precision("auto", get_torch_default_device())


def check_encoders(runs: Sequence[TrainRun]) -> None:
    """Check that the text encoders of all runs without a result can be loaded. Only their
    configurations are read.

    Args:
        runs (Sequence[TrainRun]): The runs.

    Raises:
        MsvseError: If one cannot be loaded (MSVSE-E165). All of them are named, with their rows.
    """
    rows: dict[str, list[str]] = {}
    for run in runs:
        if run.result() is not None:
            continue
        for component in run.config.interpolate()["components"].values():
            encoder = component.get("model", {}).get("encoder")
            if isinstance(encoder, str) and run.row not in rows.setdefault(encoder, []):
                rows[encoder].append(run.row)
    configs, _ = auto_classes()
    missing = []
    reasons = []
    for encoder, names in rows.items():
        try:
            configs.from_pretrained(find_encoder(encoder), **NO_CODE)
        except Exception as error:  # transformers raises errors of many types
            missing.append(f"'{encoder}' (rows: {', '.join(names)})")
            reasons.append(first_line(error))
    if missing:
        encoders = "; ".join(missing)
        raise MsvseError(Errors.E165.format(encoders=encoders, reason=reasons[0]))


def component_name(config: Config, path: Path) -> str:
    """The name of the component that rows are about.

    Args:
        config (Config): A training config.
        path (Path): The file of the config.

    Returns:
        str: The name.

    Raises:
        MsvseError: If there is none (MSVSE-E120).
    """
    blocks: dict[str, dict[str, Any]] = config["components"]
    for name, block in blocks.items():
        if block.get("factory") == "msvse_ner":
            return name
    raise MsvseError(Errors.E120.format(path=path))


def corpus_paths(config: Config) -> dict[str, tuple[str, Path]]:
    """The paths of the posts.

    Args:
        config (Config): A training config.

    Returns:
        dict: "train", "dev" and, if there is one, "test", to the name of the corpus in the config
            and its path.

    Raises:
        MsvseError: For a corpus without a path (MSVSE-E121).
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


def describe_data(config: Config) -> dict[str, dict[str, Any]]:
    """Identify the posts by their content.

    Args:
        config (Config): A training config.

    Returns:
        dict: Split to the "file", its "sha256" and, if a conversion report lies beside it, the
            "source" that it was converted from, the "source_sha256" and the "label_map".

    Raises:
        MsvseError: For a corpus without a path (MSVSE-E121).
    """
    data = {}
    filled = config.interpolate()
    for split, (name, path) in corpus_paths(config).items():
        report_path = Path(f"{path}.json")
        report = srsly.read_json(report_path) if report_path.exists() else {}
        keys = ("source", "source_sha256", "label_map")
        origin = {key: report[key] for key in keys if key in report}
        limit = dot_to_object(filled, name).get("limit")
        data[split] = {**describe_posts(path), **origin, **({"limit": limit} if limit else {})}
    return data


def copy_corpora(
    config: Config, folder: Path, write: Callable[[Path, Path], None]
) -> dict[str, str]:
    """Write changed copies of the posts.

    Args:
        config (Config): A training config.
        folder (Path): The folder to write to.
        write (Callable): Takes the path of a corpus and the path of the copy to write.

    Returns:
        dict: The overrides with which the config reads these posts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overrides = {}
    for split, (name, path) in corpus_paths(config).items():
        copy = folder / f"{split}.spacy"
        write(path, copy)
        overrides[f"{name}.path"] = str(copy)
    return overrides


def plan_runs(
    config: Config,
    rows: Mapping[str, Settings],
    seeds: Sequence[int],
    folder: Path,
    configs: Mapping[str, Config] = {},
) -> list[TrainRun]:
    """Plan the runs of all rows, seed by seed, so that rows can be compared early.

    Args:
        config (Config): The config that all rows vary.
        rows (Mapping): Row to overrides.
        seeds (Sequence[int]): The seeds.
        folder (Path): The folder of the results.
        configs (Mapping): Row to another config that its overrides vary.

    Returns:
        list: The runs.
    """
    runs = []
    folders: dict[str, Path] = {}
    # Most rows have the same posts and the same encoder, which are hashed once.
    descriptions: dict[str, str] = {}
    hash_folder = cache(_hash_folder)
    for row, overrides in rows.items():
        varied = vary(configs.get(row, config), overrides)
        paths = str(corpus_paths(varied))
        if paths not in descriptions:
            descriptions[paths] = srsly.json_dumps(describe_data(varied), sort_keys=True)
        given = descriptions[paths] + "".join(map(hash_folder, _encoder_folders(varied)))
        for seed in seeds:
            seeded = vary(varied, {"system.seed": seed, "training.seed": seed})
            text = seeded.interpolate().to_str() + given
            fingerprint = hashlib.sha256(text.encode("utf8")).hexdigest()
            place = folders.setdefault(fingerprint, folder / row / str(seed))
            runs.append(TrainRun(row, seed, overrides, seeded, fingerprint, place))
    return sorted(runs, key=lambda run: run.seed)


def _hash_folder(folder: Path) -> str:
    return hash_files(sorted(path for path in folder.rglob("*") if path.is_file()))


def _whole_corpus(corpus: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings of a reader for other posts, all of which it reads."""
    whole = {"limit": 0, "max_length": 0, "augmenter": None}
    return {key: whole.get(key, value) for key, value in corpus.items()} | {"path": str(path)}


def _encoder_folders(config: Config) -> list[Path]:
    """The encoders that are local folders, whose content may change under the same name."""
    components = config.interpolate()["components"].values()
    names = (component.get("model", {}).get("encoder") for component in components)
    return [Path(name) for name in names if isinstance(name, str) and Path(name).is_dir()]
