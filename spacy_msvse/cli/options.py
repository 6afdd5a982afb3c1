"""Options that several commands share, and what some of them do to a pipeline for one run."""

from pathlib import Path
from typing import Annotated

import typer
from spacy.language import Language

ImageRoot = Annotated[
    Path | None, typer.Option("--image-root", "-i", help="Folder of the pictures", exists=True)
]
Features = Annotated[
    Path | None, typer.Option("--features", help="Feature store to read and fill", file_okay=False)
]
GpuId = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")]


def set_image_root(nlp: Language, path: Path) -> None:
    """Confine every component that looks at pictures to a folder.

    nlp (Language): The pipeline.
    path (Path): The only folder to read pictures from.
    """
    for _, component in nlp.pipeline:
        if hasattr(component, "image_root"):
            component.image_root = path


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
