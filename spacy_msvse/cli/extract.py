"""`python -m spacy msvse extract`"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from spacy import util
from spacy.tokens import DocBin
from spacy.util import registry
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import msg

from ..component.factory import DEFAULT_CONFIG
from ..vision.extract import VisualExtractor, fill_store
from ..vision.store import FeatureStore
from . import app


@app.command("extract")
def extract_cli(
    data_path: Annotated[
        Path, typer.Argument(help="The .spacy file of posts", exists=True, dir_okay=False)
    ],
    store_path: Annotated[
        Path, typer.Argument(help="Folder of the feature store", file_okay=False)
    ],
    config_path: Annotated[
        Path,
        typer.Option("--config", "-c", help="Config whose extractors to use", exists=True),
    ],
    image_root: Annotated[
        Path | None,
        typer.Option("--image-root", "-i", help="Folder of the pictures", exists=True),
    ] = None,
) -> None:
    """Look at every picture of a corpus once and keep its features in a store.

    Killed and run again, it goes on where it was.
    """
    extractor = load_extractor(config_path)
    if extractor is None:
        msg.fail(f"No component of {config_path} looks at pictures", exits=1)
    extractor.initialize()
    docs = list(DocBin().from_disk(data_path).get_docs(Vocab()))
    sources = [doc._.image for doc in docs if doc._.image]
    with (
        FeatureStore(store_path) as store,
        tqdm(total=len(sources), unit="picture", disable=not sys.stderr.isatty()) as bar,
    ):
        report = fill_store(sources, extractor, store, image_root=image_root, progress=bar.update)
    for name, reason in report.failed:
        typer.echo(f"{name}: {reason}", err=True)
    msg.good(
        f"{report.pictures} pictures: {report.extracted} extracted, {report.stored} stored "
        f"already, {len(report.failed)} unreadable"
    )


def load_extractor(config_path: Path) -> VisualExtractor | None:
    """Make the extractor that a training config names, or defaults to.

    config_path (Path): The config.
    RETURNS (VisualExtractor): Without its weights; None if no component looks at pictures.
    """
    config = util.load_config(config_path)
    # Paths and other variables are of no matter here, so what is needed is resolved alone.
    for component in config.get("components", {}).values():
        if component.get("factory") == "msvse_ner":
            vision = component.get("vision", DEFAULT_CONFIG["vision"])
            return None if vision is None else registry.resolve({"vision": vision})["vision"]
    return None
