"""`python -m spacy msvse init-bilstm`"""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..corpus.vectors import is_pipeline, read_vectors
from ..network.pretrained import PACKAGED_ENCODERS
from ..network.static_vectors import save_bilstm, save_bilstm_of_encoder
from .loading import coded_loading_errors, load_code
from .lock import locked
from .options import Code
from .outputs import check_output
from .root import app


@app.command("init-bilstm")
def init_bilstm_cli(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A spaCy pipeline with word vectors, such as `spacy init vectors` makes; or an "
            "encoder, whose word piece embeddings are used"
        ),
    ],
    output: Annotated[Path, typer.Argument(help="Folder to write", file_okay=False)],
    layers: Annotated[int, typer.Option("--layers", help="Layers of the LSTM", min=1, max=32)] = 1,
    code: Code = None,
) -> None:
    """Make a text encoder of static vectors and a BiLSTM, a baseline without a transformer.

    The folder contains the vectors. The weights of the LSTM are random, from the seed of each
    training. Give the folder as the `encoder` of a config. The encoder accepts no prefixes.
    Train it at the learning rate of the other layers:
    `--components.msvse_ner.model.learning_rate_factors.encoder 1.0`.
    """
    load_code(code)
    check_output(output, Path(source))
    ctx.with_resource(locked(output))
    with coded_loading_errors(Path(source), name=source):
        if source not in PACKAGED_ENCODERS and is_pipeline(source):
            save_bilstm(*read_vectors(source), output, layers)
        else:
            save_bilstm_of_encoder(source, output, layers)
    msg.good(f"Wrote {output}")
