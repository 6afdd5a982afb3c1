"""`python -m spacy msvse serve`"""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .. import display
from ..corpus.formats.table import open_posts
from ..display.gallery import GALLERY_SIZE, read_gallery
from ..display.served import PIPELINES
from ..errors import Errors, MsvseError
from ..vision.picture import MAX_BYTES
from ..vision.store import FeatureStore
from . import options
from .loading import load_pipeline
from .options import Code
from .root import app

#: Bytes that are kept in memory beyond the limit. Streamlit reads 1 MiB more before it refuses an
#: upload.
SPARE_BYTES = 2 * 2**20


@app.command("serve")
def serve_cli(
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
        int, typer.Option("--port", "-p", help="Port to listen on", min=1, max=65535)
    ] = 8501,
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
) -> None:
    """Serve a web page to try a pipeline: upload a picture, type a text, see the entities.

    The page also shows the effect of the picture, and offers the answer as JSON, in the form of
    `annotate`. Uploads and texts are kept in memory while the page is open. Nothing is stored or
    sent elsewhere. There is no login: everyone who can reach the address can use the page.
    """
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
        "server.port": port,
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
