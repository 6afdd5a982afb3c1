"""`python -m spacy msvse calibrate`"""

import sys
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import import_code, setup_gpu
from tqdm import tqdm
from wasabi import msg

from ..component import components
from ..corpus.reader import Corpus
from ..errors import Errors
from ..evaluation.calibration import calibrate
from ..vision.store import FeatureStore
from .options import Code, Features, GpuId, ImageRoot
from .root import app


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
    code: Code = None,
) -> None:
    """Fit confidences to posts that the pipeline was not trained on.

    Entities stay as they are. Confidences stay as they are too if the posts do not determine a
    temperature. Give the dev data, and measure on test data: `evaluate` prints the calibration
    error.
    """
    import_code(code)
    setup_gpu(gpu_id, silent=True)
    nlp = spacy.load(model)
    found = list(components(nlp))
    if not found:
        msg.fail(Errors.E082.format(model=model), exits=1)
    examples = list(Corpus(data_path, image_root=image_root)(nlp))
    for name, component in found:
        if features is not None:
            component.feature_store = FeatureStore(features)
        progress = tqdm(examples, unit="post", disable=not sys.stderr.isatty())
        result = calibrate(component, progress, source=data_path.name)
        line = f"{name}: temperature {result.temperature:.3f}, {result.entities} entities"
        if result.entities:
            line += f"; log loss {result.log_loss_before:.4f} before, "
            line += f"{result.log_loss_after:.4f} after"
        msg.good(line)
        if output is None:
            component.to_disk(model / name, exclude=["vocab"])
    if output is not None:
        nlp.to_disk(output)
    msg.good(f"Wrote {output or model}")
