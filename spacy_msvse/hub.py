"""Send a pipeline to the hub of Hugging Face: its files, its wheel, and its card with metadata."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import srsly
from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
)
from spacy.cli.package import package

from .errors import Errors, MsvseError
from .util import first_line

#: Keys of the performance of a pipeline, and the metrics of the hub.
METRICS = {"ents_p": "precision", "ents_r": "recall", "ents_f": "f1"}

#: Tags of the card.
TAGS = ["spacy", "spacy-msvse", "token-classification"]

#: What licences have as an identifier of the hub.
_LICENSE_ID = re.compile(r"[a-z0-9.+-]+")


@dataclass(frozen=True)
class Upload:
    """The files of a push.

    Attributes:
        files (dict): The name of each file to its size in bytes.
        url (str): The page of the commit; None if nothing was sent.
    """

    files: dict[str, int]
    url: str | None = None


def push(folder: Path, repo: str, *, public: bool = False, dry_run: bool = False) -> Upload:
    """Send a pipeline to a repository of the hub, which is created if it does not exist.

    The token is that of the login of `huggingface_hub` (`hf auth login`), or HF_TOKEN.

    Args:
        folder (Path): The folder of the pipeline.
        repo (str): The repository, such as "name/en_msvse_posts".
        public (bool): Whether everyone can read a new repository.
        dry_run (bool): Whether nothing is sent.

    Returns:
        Upload: The files, and the page of the commit.

    Raises:
        MsvseError: If the wheel cannot be built (MSVSE-E292), or if the files cannot be sent
            (MSVSE-E293).
    """
    with TemporaryDirectory() as name:
        made = make_repository(folder, Path(name))
        paths = sorted(path for path in made.rglob("*") if path.is_file())
        files = {path.relative_to(made).as_posix(): path.stat().st_size for path in paths}
        if dry_run:
            return Upload(files)
        api = HfApi()
        try:
            api.create_repo(repo, private=not public, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo, folder_path=made, commit_message=f"Pipeline {made.name}"
            )
        except (
            HTTPError,
            HfHubHTTPError,
            HFValidationError,
            OfflineModeIsEnabled,
            OSError,
        ) as error:
            reason = first_line(error)
            raise MsvseError(Errors.E293.format(repo=repo, reason=reason)) from error
        return Upload(files, commit.commit_url)


def make_repository(folder: Path, parent: Path) -> Path:
    """Write the files of a repository: those of the pipeline, its wheel, and its card with the
    metadata that the hub reads.

    Args:
        folder (Path): The folder of the pipeline.
        parent (Path): The folder to write to.

    Returns:
        Path: The folder of the repository.

    Raises:
        MsvseError: If the wheel cannot be built (MSVSE-E292).
    """
    packages = parent / "packages"
    packages.mkdir()
    try:
        package(folder, packages, create_sdist=False, create_wheel=False)
    except SystemExit as error:
        reason = "`spacy package` has refused it"
        raise MsvseError(Errors.E292.format(path=folder, reason=reason)) from error
    (source,) = packages.iterdir()
    # What it needs is installed: nothing is fetched.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        reason = (built.stderr or built.stdout).strip().splitlines()[-1]
        raise MsvseError(Errors.E292.format(path=folder, reason=reason))
    made = parent / source.name
    shutil.copytree(folder, made, ignore=shutil.ignore_patterns(".*"))
    for wheel in (source / "dist").glob("*.whl"):
        shutil.copy(wheel, made)
    # As `spacy package` found or wrote it.
    card = ModelCard((source / "README.md").read_text("utf-8"), ignore_metadata_errors=True)
    for key, value in _describe(srsly.read_json(source / "meta.json")).items():
        if card.data.get(key) is None:
            card.data[key] = value
    (made / "README.md").write_text(str(card), "utf-8")
    return made


def _describe(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a card, with the index of scores."""
    name = f"{meta['lang']}_{meta['name']}"
    # Only `spacy train` writes scores. A file of another tool may lack further keys.
    scores = meta.get("performance") or {}
    results = [
        EvalResult(
            task_type="token-classification",
            task_name="NER",
            dataset_type="posts",
            dataset_name="the posts of the card",
            metric_type=metric,
            metric_name=f"NER {metric}",
            metric_value=scores[key],
        )
        for key, metric in METRICS.items()
        if isinstance(scores.get(key), int | float)
    ]
    license = (meta.get("license") or "").strip()
    known = _LICENSE_ID.fullmatch(license.lower())
    data = ModelCardData(
        language=meta["lang"],
        license=license.lower() if known else "other",
        license_name=None if known else license or "not stated",
        library_name="spacy",
        tags=TAGS,
        model_name=name if results else None,
        eval_results=results or None,
    )
    return {key: value for key, value in data.__dict__.items() if value is not None}
