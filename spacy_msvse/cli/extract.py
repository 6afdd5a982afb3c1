"""`python -m spacy msvse extract`"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from spacy.cli._util import import_code, setup_gpu
from thinc.api import get_torch_default_device
from wasabi import msg

from ..corpus.sources import load_extractor, read_sources
from ..errors import MsvseError
from ..vision.extraction import WORKERS, ExtractionReport, fill_store
from ..vision.store import FeatureStore
from .options import Code, GpuId, ImageRoot
from .root import app


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
        int, typer.Option("--workers", "-w", help="Threads that decode pictures", min=0)
    ] = WORKERS,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Extract the features of a corpus, from pictures and texts, and keep them in a store.

    A run that was killed continues where it was when it is started again. Pictures that cannot be
    read are listed at the end and do not stop the run.
    """
    import_code(code)
    try:
        extractor = load_extractor(config_path)
        extractor.initialize()
        setup_gpu(gpu_id, silent=True)
        extractor.to(str(get_torch_default_device()))
        start = time.perf_counter()
        with FeatureStore(store_path) as store:
            report = fill_store(
                extractor,
                read_sources(data_path, progress=sys.stderr.isatty()),
                store,
                image_root=image_root,
                workers=workers,
            )
    except MsvseError as error:
        msg.fail(str(error), exits=1)
    print_report(report, time.perf_counter() - start)


def print_report(report: ExtractionReport, seconds: float) -> None:
    """Print failures to standard error, and the counts.

    Args:
        report (ExtractionReport): The report.
        seconds (float): Duration of the run.
    """
    for name, reason in report.failed:
        typer.echo(f"{name}: {reason}", err=True)
    msg.good(
        f"{report.posts} posts with {report.items} pictures and texts: {report.extracted} "
        f"extracted, {report.stored} stored already, {len(report.failed)} failed; "
        f"{report.posts / seconds:.1f} posts/s"
    )
