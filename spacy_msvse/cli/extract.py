"""`python -m spacy msvse extract`"""

import sys
import time
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy import util
from spacy.cli._util import setup_gpu
from spacy.util import registry
from thinc.api import get_torch_default_device
from tqdm import tqdm
from wasabi import msg

from ..component.factory import DEFAULT_CONFIG
from ..corpus.reader import read_docs
from ..doc import picture_source
from ..vision.extract import VisualExtractor
from ..vision.fill import WORKERS, ExtractionReport, fill_store
from ..vision.store import FeatureStore
from . import app
from .options import GpuId, ImageRoot


@app.command("extract")
def extract_cli(
    data_path: Annotated[
        Path, typer.Argument(help="The .spacy file of posts, or a folder of such", exists=True)
    ],
    store_path: Annotated[
        Path, typer.Argument(help="Folder of the feature store", file_okay=False)
    ],
    config_path: Annotated[
        Path,
        typer.Option("--config", "-c", help="Config whose extractors to use", exists=True),
    ],
    image_root: ImageRoot = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Threads that decode pictures", min=1)
    ] = WORKERS,
    gpu_id: GpuId = -1,
) -> None:
    """Look at every picture of a corpus once and keep its features in a store.

    Killed and run again, it goes on where it was. Pictures that cannot be read are listed at the
    end and hold nothing up.
    """
    try:
        extractor = load_extractor(config_path)
        extractor.initialize()
        setup_gpu(gpu_id, silent=True)
        extractor.to(str(get_torch_default_device()))
        sources = read_sources(data_path)
        start = time.perf_counter()
        with (
            FeatureStore(store_path) as store,
            tqdm(total=len(sources), unit=" pictures", disable=not sys.stderr.isatty()) as bar,
        ):
            report = fill_store(
                sources,
                extractor,
                store,
                image_root=image_root,
                workers=workers,
                progress=bar.update,
            )
    except ValueError as error:
        msg.fail(str(error), exits=1)
    print_report(report, time.perf_counter() - start)


def load_extractor(config_path: Path) -> VisualExtractor:
    """Make the extractor that a training config names, or defaults to.

    config_path (Path): The config.
    RETURNS (VisualExtractor): Without its weights. If no component looks at pictures, the command
        ends.
    """
    config = util.load_config(config_path)
    # Paths and other variables are of no matter here, so what is needed is resolved alone.
    for component in config.get("components", {}).values():
        if component.get("factory") == "msvse_ner":
            vision = component.get("vision", DEFAULT_CONFIG["vision"])
            if vision is not None:
                return registry.resolve({"vision": vision})["vision"]
    msg.fail(f"No component of {config_path} looks at pictures", exits=1)


def read_sources(data_path: Path) -> list[str | bytes]:
    """Read what pictures a corpus refers to.

    data_path (Path): The .spacy file of posts, or a folder of such.
    RETURNS (list): Paths and encoded bytes, in the order of the posts that have a picture.
    RAISES (ValueError): If there are no posts to read (MSVSE-E042), or something else than a
        picture was assigned (MSVSE-E008).
    """
    sources = (picture_source(doc) for doc in read_docs(data_path, spacy.blank("xx")))
    return [source for source in sources if source is not None]


def print_report(report: ExtractionReport, seconds: float) -> None:
    """Print what failed to standard error, and counts.

    report (ExtractionReport): What was done.
    seconds (float): How long it took.
    """
    for name, reason in report.failed:
        typer.echo(f"{name}: {reason}", err=True)
    msg.good(
        f"{report.pictures} pictures: {report.extracted} extracted, {report.stored} stored "
        f"already, {len(report.failed)} unreadable; {report.pictures / seconds:.1f} pictures/s"
    )
