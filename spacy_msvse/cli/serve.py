"""`python -m spacy msvse serve`"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import display
from ..corpus.formats.table import open_posts
from ..display.gallery import GALLERY_SIZE, read_gallery
from ..display.served import PIPELINES
from ..errors import Errors, MsvseError
from ..vision.picture import MAX_BYTES
from ..vision.store import FeatureStore
from . import options
from .loading import check_gpu, load_pipeline
from .options import Code, MinConfidence, refuse_options
from .root import app

#: Bytes that are kept in memory beyond the limit. Streamlit reads 1 MiB more before it refuses an
#: upload.
SPARE_BYTES = 2 * 2**20

#: The parameters of the command that only the page uses, and only the API.
PAGE_OPTIONS = ("examples", "image_root", "headless", "features")
API_OPTIONS = ("workers", "gpus", "min_confidence", "max_mb", "seconds", "api_key_env")

#: The addresses that LitServe can listen on, and its lowest port.
API_HOSTS, API_PORT = ("127.0.0.1", "0.0.0.0", "::"), 1024


@app.command("serve")
def serve_cli(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            help="File of posts, in any format, for a gallery, which shows the first "
            f"{GALLERY_SIZE}",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    image_root: Annotated[str | None, options.image_root("that of the gallery's posts")] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; by default, only for this machine"),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            "-p",
            help="Port to listen on; by default 8501, with --api 8000",
            min=1,
            max=65535,
        ),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser")] = False,
    code: Code = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            help="Feature store to read. Nothing is written to it",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    api: Annotated[
        bool, typer.Option("--api", help="Serve a REST interface for programs, not a page")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that annotate (--api)", min=1, max=1024)
    ] = 1,
    gpus: Annotated[
        int, typer.Option("--gpus", help="GPUs, each with --workers (--api)", min=0, max=1024)
    ] = 0,
    min_confidence: MinConfidence = None,
    max_mb: Annotated[
        int, typer.Option("--max-mb", help="MiB of the largest request (--api)", min=1, max=65536)
    ] = 100,
    seconds: Annotated[
        float,
        typer.Option(
            "--timeout", help="Seconds of the longest request (--api)", min=0.1, max=86400
        ),
    ] = 60,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            help="Name of the environment variable with the key that requests must have in the "
            "header X-API-Key (--api)",
        ),
    ] = None,
) -> None:
    """Serve a web page to try a pipeline: upload a picture, type a text, see the entities.

    The page also shows the effect of the picture, and offers the answer as JSON, in the form of
    `annotate`. Uploads and texts are kept in memory while the page is open. Nothing is stored or
    sent elsewhere. There is no login: everyone who can reach the address can use the page.

    With --api, programs send {"rows": [{"text": ..., "image": "data:..."}]} to POST /predict and
    get the rows with "spans". GET /docs describes the interface, and GET /health says
    whether it is ready. SIGTERM stops the server when the open requests are answered.
    """
    if api:
        refuse_options(ctx, PAGE_OPTIONS, "with --api")
        serve_api(
            model,
            host=host,
            port=port or 8000,
            code=code,
            min_confidence=min_confidence,
            workers=workers,
            gpus=gpus,
            max_bytes=max_mb * 2**20,
            seconds=seconds,
            key_env=api_key_env,
        )
        return
    refuse_options(ctx, API_OPTIONS, "without --api")
    if find_spec("streamlit") is None:
        raise MsvseError(Errors.E075)
    from starlette.formparsers import MultiPartParser
    from streamlit.web.cli import main as streamlit

    # Starlette writes larger uploads to a temporary file. Its default is 1 MiB.
    MultiPartParser.spool_max_size = MAX_BYTES + SPARE_BYTES
    if examples is not None:
        open_posts(examples)
        if not read_gallery(examples, image_root or examples.parent):
            raise MsvseError(Errors.E166.format(path=examples))
    # It is loaded once: an error is shown before the page opens, and the page takes it over.
    store = None if features is None else FeatureStore(features, readonly=True)
    PIPELINES[model] = load_pipeline(model, code=code, store=store)
    settings = {
        "server.address": host,
        "server.port": port or 8501,
        "server.headless": str(headless).lower(),
        "server.maxUploadSize": MAX_BYTES // 2**20,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        # A traceback contains paths of this machine, so only the terminal shows it.
        "client.showErrorDetails": "none",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    arguments = [model]
    if code is not None:
        arguments.append(f"--code={code}")
    if examples is not None:
        arguments.append(f"--examples={examples}")
        arguments.append(f"--image-root={image_root or examples.parent}")
    script = Path(display.__file__).with_name("app.py")
    # In this process, so that a signal or Ctrl+C ends it.
    streamlit(["run", *options, str(script), "--", *arguments])


def serve_api(model: str, **settings: Any) -> None:
    """Serve a REST interface until a signal stops it.

    Args:
        model (str): Name or folder of a trained pipeline.
        settings (Any): Those of `spacy_msvse.api.Service`.

    Raises:
        MsvseError: If LitServe is not installed (MSVSE-E289), if it cannot listen on the address
            (MSVSE-E290), if there is no key (MSVSE-E291), or if the pipeline cannot be loaded.
    """
    if find_spec("litserve") is None:
        raise MsvseError(Errors.E289)
    host, port = settings["host"], settings["port"]
    if host not in API_HOSTS or port < API_PORT:
        raise MsvseError(Errors.E290.format(host=host, port=port))
    key_env = settings["key_env"]
    if key_env is not None and not os.environ.get(key_env):
        raise MsvseError(Errors.E291.format(name=key_env))
    check_gpu(settings["gpus"] - 1)
    # The workers load it again. An error of theirs would be pages long.
    load_pipeline(model, code=settings["code"])
    from ..api import Service, serve

    serve(Service(model, **settings))
