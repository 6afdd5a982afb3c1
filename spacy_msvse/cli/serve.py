"""`python -m spacy msvse serve`"""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from spacy.util import is_package
from wasabi import msg

from .. import display
from ..errors import Errors
from ..vision.picture import MAX_BYTES
from . import app

#: Bytes kept in memory beyond the limit: Streamlit reads 1 MiB on before it refuses an upload.
SPARE_BYTES = 2 * 2**20


@app.command("serve")
def serve_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            "-e",
            help="JSONL file of posts for a gallery, which shows the first 12",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root",
            "-i",
            help="Folder of the gallery's pictures; by default that of its posts",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen at; by default, for this machine alone"),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="Port to listen at")] = 8501,
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no browser, as on a server")
    ] = False,
) -> None:
    """Serve a page to try a pipeline on: drop a picture, type a text, see what is found.

    It shows what the picture did, too, and offers the answer as JSON, in the form in which
    `annotate` writes it. Uploads and texts are held in memory while the page is open; nothing is
    stored and nothing sent elsewhere. There is no login: whoever reaches the address can use it.
    """
    if find_spec("streamlit") is None:
        msg.fail(Errors.E075, exits=1)
    from starlette.formparsers import MultiPartParser

    # What is larger than this passes through a file in the temporary folder; by default, 1 MiB.
    MultiPartParser.spool_max_size = MAX_BYTES + SPARE_BYTES
    if not is_package(model) and not Path(model).exists():
        msg.fail(Errors.E076.format(model=model), exits=1)
    settings = {
        "server.address": host,
        "server.port": port,
        "server.headless": str(headless).lower(),
        "server.maxUploadSize": MAX_BYTES // 2**20,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        # A traceback tells of this machine, and goes to its terminal.
        "client.showErrorDetails": "none",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    gallery: list[str] = []
    if examples is not None:
        gallery = [f"--examples={examples}", f"--image-root={image_root or examples.parent}"]
    script = Path(display.__file__).with_name("app.py")
    # `python -m streamlit run`, in this process, which a signal or Ctrl+C then ends.
    sys.argv = ["streamlit", "run", *options, str(script), "--", model, *gallery]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
