"""`python -m spacy msvse extract`"""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from thinc.api import get_torch_default_device
from wasabi import msg

from ..corpus.files import check_corpus
from ..corpus.sources import load_max_pictures, load_vision, make_extractor, read_sources
from ..errors import Errors, MsvseError
from ..ray.cluster import running
from ..ray.extraction import PictureActors
from ..vision.extraction import WORKERS, ExtractionReport, fill_store
from ..vision.extractor import VisualExtractor
from ..vision.picture_reader import PictureReader
from ..vision.store import FeatureStore
from .asking import asking_server
from .loading import coded_loading_errors, load_code, use_gpu
from .messages import count
from .options import (
    Actors,
    Ask,
    ChatKeyEnv,
    ChatUrl,
    Code,
    GpuId,
    ImageRoot,
    NumGpus,
    OnRay,
    refuse_options,
)
from .outputs import check_output
from .root import app


@app.command("extract")
def extract_cli(
    ctx: typer.Context,
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
    ray: OnRay = False,
    actors: Actors = 1,
    num_gpus: NumGpus = 0,
) -> None:
    """Extract the features of a corpus, from pictures and texts, and keep them in a store.

    A run that was killed can be started again. It continues after the last stored batch. Pictures
    that cannot be read are listed at the end and do not stop the run. If none can be read, the exit
    status is 1.

    With --ray, actors decode and extract the pictures, in batches. This process reads the files,
    writes the store, and does what reads texts or whole posts. Actors get the weights from it.

    Nothing is sent to a server without --ask and --chat-url.
    """
    if ray:
        refuse_options(ctx, ("gpu_id",), "with --ray")
    else:
        refuse_options(ctx, ("actors", "num_gpus"), "without --ray")
    load_code(code)
    check_corpus(data_path)
    check_output(store_path, data_path)
    with coded_loading_errors(config_path):
        vision = load_vision(config_path)
        extractor = make_extractor(vision)
        max_pictures = load_max_pictures(config_path)
    use_gpu(gpu_id)
    extractor.initialize()
    extractor.to(str(get_torch_default_device()))
    start = time.perf_counter()
    refused: list[tuple[str, str]] = []
    with (
        asking_server(ask, chat_url, chat_key_env, extractor, config_path),
        FeatureStore(store_path) as store,
        picture_actors(ray, extractor, vision, actors, num_gpus, code) as picture_reader,
    ):
        report = fill_store(
            extractor,
            read_sources(
                data_path, refused, max_pictures=max_pictures, progress=sys.stderr.isatty()
            ),
            store,
            image_root=image_root,
            workers=workers,
            picture_reader=picture_reader,
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


@contextmanager
def picture_actors(
    ray: bool,
    extractor: VisualExtractor,
    vision: dict[str, Any],
    actors: int,
    num_gpus: float,
    code: Path | None,
) -> Iterator[PictureReader | None]:
    """Start actors of Ray, if they are wanted, and end them afterwards.

    Args:
        ray (bool): Whether they are wanted.
        extractor (VisualExtractor): The extractors, with their weights.
        vision (dict): The section [vision] that they were made of.
        actors (int): The number of actors.
        num_gpus (float): GPUs for each actor.
        code (Path): A file with registered functions.

    Yields:
        PictureReader: The actors; None without Ray.

    Raises:
        MsvseError: If Ray is not installed (MSVSE-E281), the cluster is too small (MSVSE-E282), or
            an actor cannot be started (MSVSE-E286).
    """
    if not ray:
        yield None
        return
    with running(actors):
        made = PictureActors(extractor, vision, actors=actors, num_gpus=num_gpus, code=code)
        with closing(made) as reader:
            yield reader


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
