"""`python -m spacy msvse extract`"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from thinc.api import get_torch_default_device
from wasabi import msg

from ..corpus.files import check_corpus
from ..corpus.sources import load_extractor, load_max_pictures, read_sources
from ..errors import Errors, MsvseError
from ..vision.extraction import WORKERS, ExtractionReport, fill_store
from ..vision.store import FeatureStore
from .asking import asking_server
from .loading import coded_loading_errors, load_code, use_gpu
from .messages import count
from .options import Ask, ChatKeyEnv, ChatUrl, Code, GpuId, ImageRoot
from .outputs import check_output
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
        typer.Option(
            "--config", "-c", help="Config whose extractors to use", exists=True, dir_okay=False
        ),
    ],
    image_root: ImageRoot = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Threads that decode pictures", min=0, max=256)
    ] = WORKERS,
    gpu_id: GpuId = -1,
    code: Code = None,
    ask: Ask = False,
    chat_url: ChatUrl = None,
    chat_key_env: ChatKeyEnv = None,
) -> None:
    """Extract the features of a corpus, from pictures and texts, and keep them in a store.

    A run that was killed can be started again. It continues after the last stored batch. Pictures
    that cannot be read are listed at the end and do not stop the run. If none can be read, the exit
    status is 1.

    Nothing is sent to a server without --ask and --chat-url.
    """
    load_code(code)
    check_corpus(data_path)
    check_output(store_path, data_path)
    with coded_loading_errors(config_path):
        extractor = load_extractor(config_path)
        max_pictures = load_max_pictures(config_path)
    use_gpu(gpu_id)
    extractor.initialize()
    extractor.to(str(get_torch_default_device()))
    start = time.perf_counter()
    refused: list[tuple[str, str]] = []
    with (
        asking_server(ask, chat_url, chat_key_env, extractor, config_path),
        FeatureStore(store_path) as store,
    ):
        report = fill_store(
            extractor,
            read_sources(
                data_path, refused, max_pictures=max_pictures, progress=sys.stderr.isatty()
            ),
            store,
            image_root=image_root,
            workers=workers,
        )
    report.posts += len(refused)
    report.items += len(refused)
    report.failed += refused
    print_report(report, time.perf_counter() - start)
    if not report.posts:
        raise MsvseError(Errors.E154.format(path=data_path))
    if report.failed and len(report.failed) >= report.items:
        first = ": ".join(report.failed[0]).rstrip(".")
        counted = len(report.failed)
        raise MsvseError(Errors.E157.format(count=counted, path=data_path, first=first))


def print_report(report: ExtractionReport, seconds: float) -> None:
    """Print failures to standard error, and the counts.

    Args:
        report (ExtractionReport): The report.
        seconds (float): Duration of the run.
    """
    for name, reason in report.failed:
        typer.echo(f"{name}: {reason}", err=True)
    show = msg.warn if report.failed or not report.items else msg.good
    show(
        f"{count(report.posts, 'post')} with {report.items} pictures and texts: {report.extracted} "
        f"extracted, {report.stored} stored already, {len(report.failed)} failed"
        f"{f', {report.left_out} not asked for' if report.left_out else ''}; "
        f"{report.posts / seconds:.1f} posts/s"
    )
