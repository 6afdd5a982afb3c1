"""`python -m spacy msvse calibrate`"""

import sys
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.cli._util import setup_gpu
from tqdm import tqdm
from wasabi import msg

from ..component.sources import set_feature_store
from ..corpus.reader import Corpus
from ..errors import Errors
from . import app
from .options import Features, GpuId, ImageRoot


@app.command("calibrate")
def calibrate_cli(
    model: Annotated[
        Path, typer.Argument(help="Folder of a trained pipeline", exists=True, file_okay=False)
    ],
    data_path: Annotated[
        Path, typer.Argument(help="The .spacy file of gold dev posts", exists=True)
    ],
    image_root: ImageRoot = None,
    features: Features = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write there, not in place", file_okay=False),
    ] = None,
    gpu_id: GpuId = -1,
) -> None:
    """Fit confidences to posts that the pipeline was not trained on.

    Entities stay as they are, and so do confidences where the posts cannot tell a temperature. Give
    the dev data, and measure on test data: `evaluate` prints the calibration error.
    """
    setup_gpu(gpu_id, silent=True)
    nlp = spacy.load(model)
    if features is not None:
        set_feature_store(nlp, features)
    components: dict[str, Any] = {
        name: pipe for name, pipe in nlp.pipeline if hasattr(pipe, "calibrate")
    }
    if not components:
        msg.fail(Errors.E082.format(model=model), exits=1)
    examples = list(Corpus(data_path, image_root=image_root)(nlp))
    for name, component in components.items():
        progress = tqdm(examples, unit="post", disable=not sys.stderr.isatty())
        calibration = component.calibrate(progress, source=data_path.name)
        told = f"{name}: temperature {calibration.temperature:.3f}, {calibration.entities} entities"
        if calibration.entities:
            told += f"; log loss {calibration.log_loss_before:.4f} before, "
            told += f"{calibration.log_loss_after:.4f} after"
        msg.good(told)
        if output is None:
            # The settings alone have changed: one file, which is replaced as a whole.
            component.to_disk(model / name, exclude=["vocab", "model", "vision"])
    if output is not None:
        nlp.to_disk(output)
    msg.good(f"Wrote {output or model}")
