"""`python -m spacy msvse calibrate`"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm
from wasabi import msg

from ..component import components
from ..errors import Errors, MsvseError
from ..evaluation.calibration import calibrate
from ..evaluation.report.write_card import check_copy
from ..util import replaced_when_done
from ..vision.store import FeatureStore
from .loading import find_writable_folder, load_examples, load_pipeline
from .messages import count
from .options import Code, Features, GpuId, ImageRoot
from .outputs import check_output
from .root import app


@app.command("calibrate")
def calibrate_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    data_path: Annotated[
        Path, typer.Argument(help="The .spacy file of gold dev posts", exists=True)
    ],
    image_root: ImageRoot = None,
    features: Features = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write there, not in place; an installed pipeline needs it",
            file_okay=False,
        ),
    ] = None,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Fit confidences to posts that the pipeline was not trained on.

    The predicted entities do not change. The confidences do not change either if the posts do not
    determine a temperature. Give the dev data, and measure on test data: `evaluate` prints the
    calibration error.
    """
    folder = find_writable_folder(model, output)
    if output is None:
        check_output(folder)
    else:
        check_output(output, data_path)
        check_copy(output, folder)
    nlp = load_pipeline(model, code=code, gpu_id=gpu_id)
    found = list(components(nlp))
    if not found:
        raise MsvseError(Errors.E082.format(model=model))
    examples = load_examples(data_path, nlp, image_root)
    changed = False
    for name, component in found:
        if features is not None:
            component.feature_store = FeatureStore(features)
        progress = tqdm(examples, unit="post", disable=not sys.stderr.isatty())
        before = dict(component.cfg)
        calibration = calibrate(component, progress, source=data_path.name)
        for result in filter(None, (calibration, calibration.without)):
            entities = count(result.entities, "entity", "entities")
            line = f"{result.posts}: temperature {result.temperature:.3f}, {entities}"
            if result.entities:
                line += f"; log loss {result.log_loss_before:.4f} before, "
                line += f"{result.log_loss_after:.4f} after"
            (msg.good if result.determined else msg.warn)(line)
        fitted = component.cfg != before
        changed |= fitted
        if output is None and fitted:
            component.to_disk(folder / name, exclude=["vocab"])
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replaced_when_done(output) as new:
            nlp.to_disk(new)
    unchanged = "the temperature is as before"
    if not changed and output is None:
        msg.warn(f"Wrote nothing: {unchanged}")
    elif not changed:
        msg.warn(f"Wrote {output}, but {unchanged}")
    else:
        msg.good(f"Wrote {output or folder}")
