"""`python -m spacy msvse shrink`"""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..component import components
from ..errors import Errors, MsvseError
from ..evaluation.report.write_card import check_copy
from ..util import replaced_when_done
from .loading import find_folder, load_pipeline
from .options import Code
from .outputs import check_output
from .root import app


@app.command("shrink")
def shrink_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    output: Annotated[
        Path, typer.Argument(help="Folder to write the smaller pipeline to", file_okay=False)
    ],
    code: Code = None,
) -> None:
    """Write a copy whose networks take half the space: their weights are rounded to bfloat16.

    Each weight changes by less than half a per cent. Calibrate and evaluate the copy: the scores
    and the temperature of the pipeline are not those of the copy, which has none.
    """
    folder = find_folder(model)
    check_output(output, folder)
    check_copy(output, folder)
    nlp = load_pipeline(model, code=code)
    found = list(components(nlp))
    if not found:
        raise MsvseError(Errors.E082.format(model=model))
    for _, component in found:
        component.round_weights()
    nlp.meta["performance"] = {}
    output.parent.mkdir(parents=True, exist_ok=True)
    with replaced_when_done(output) as new:
        nlp.to_disk(new)
    msg.good(f"Wrote {output}: {_megabytes(output)}, instead of {_megabytes(folder)}")


def _megabytes(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.1f} MB"
