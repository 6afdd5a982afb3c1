"""Settings of the components of a pipeline that hold for one run and are not saved."""

from pathlib import Path

from spacy.language import Language

from . import components


def set_image_root(nlp: Language, path: Path | None) -> None:
    """Confine every component that reads pictures to a folder.

    nlp (Language): The pipeline.
    path (Path): The only folder to read pictures from; None allows any path.
    """
    for _, component in components(nlp):
        component.image_root = path


def ignore_missing_images(nlp: Language) -> None:
    """Let no unreadable picture end a run or give a warning, for a caller that reports it itself.

    nlp (Language): The pipeline.
    """
    for _, component in components(nlp):
        component.on_missing_image = "ignore"


def set_feature_store(nlp: Language, path: Path) -> None:
    """Let every component that reads pictures use a feature store.

    nlp (Language): The pipeline.
    path (Path): Folder of the store.
    """
    from ..vision.store import FeatureStore

    store = FeatureStore(path)
    for _, component in components(nlp):
        component.feature_store = store
