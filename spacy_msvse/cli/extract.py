"""`python -m spacy msvse extract`"""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import srsly
import typer
from spacy import util
from spacy.tokens import DocBin
from spacy.util import registry
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import msg

from ..component.factory import DEFAULT_CONFIG
from ..component.posts import picture_source
from ..vision.extract import VisualExtractor
from ..vision.fill import WORKERS, ExtractionReport, fill_store
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
    report_path: Annotated[
        Path | None,
        typer.Option("--report", "-r", help="JSON file to write counts and failures to"),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Threads that decode pictures", min=1)
    ] = WORKERS,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """Look at every picture of a corpus once and keep its features in a store.

    Killed and run again, it goes on where it was. Pictures that cannot be read are listed at the
    end and hold nothing up.
    """
    try:
        extractor = load_extractor(config_path)
        extractor.initialize()
        if gpu_id >= 0:
            extractor.to(f"cuda:{gpu_id}")
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
    if report_path is not None:
        write_report(report_path, report)


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

    data_path (Path): The .spacy file of posts.
    RETURNS (list): Paths and encoded bytes, in the order of the posts that have a picture.
    RAISES (ValueError): If something else was assigned (MSVSE-E008).
    """
    docs = DocBin().from_disk(data_path).get_docs(Vocab())
    sources = (picture_source(doc) for doc in docs)
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


def write_report(path: Path, report: ExtractionReport) -> None:
    """Write counts and failures.

    path (Path): The JSON file.
    report (ExtractionReport): What was done.
    """
    failed = [{"picture": name, "reason": reason} for name, reason in report.failed]
    path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(path, {**asdict(report), "failed": failed})
