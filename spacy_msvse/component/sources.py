"""Where the components of a pipeline get pictures and features from, set for one run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy.language import Language


def components(nlp: Language) -> Iterator[tuple[str, Any]]:
    """Every component of a pipeline that this package has made.

    nlp (Language): The pipeline.
    YIELDS (tuple): Name and component.
    """
    for name, component in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "msvse_ner":
            yield name, component


def set_image_root(nlp: Language, path: Path | None) -> None:
    """Confine every component that looks at pictures to a folder.

    nlp (Language): The pipeline.
    path (Path): The only folder to read pictures from; None lifts the bound.
    """
    for _, component in nlp.pipeline:
        if hasattr(component, "image_root"):
            component.image_root = path


def ignore_missing_images(nlp: Language) -> None:
    """Let no picture that cannot be read end a run; for a caller that tells of it otherwise.

    nlp (Language): The pipeline.
    """
    for _, component in nlp.pipeline:
        if hasattr(component, "on_missing_image"):
            component.on_missing_image = "ignore"


def set_feature_store(nlp: Language, path: Path) -> None:
    """Let every component that looks at pictures read a store and fill it.

    nlp (Language): The pipeline.
    path (Path): Folder of the store.
    """
    from ..vision.store import FeatureStore

    store = FeatureStore(path)
    for _, component in nlp.pipeline:
        if hasattr(component, "feature_store"):
            component.feature_store = store
