"""`python -m spacy msvse init-bilstm`"""

from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer
from spacy.util import is_package
from thinc.api import to_numpy
from wasabi import msg

from ..errors import Errors, MsvseError
from ..network.pretrained import PACKAGED_ENCODERS
from ..network.static_vectors import save_bilstm, save_bilstm_of_encoder
from . import app


@app.command("init-bilstm")
def init_bilstm_cli(
    source: Annotated[
        str,
        typer.Argument(
            help="A spaCy pipeline with vectors, such as `spacy init vectors` makes of GloVe's; or "
            "an encoder, whose word piece embeddings are taken"
        ),
    ],
    output: Annotated[Path, typer.Argument(help="Folder to write", file_okay=False)],
    layers: Annotated[int, typer.Option("--layers", "-l", help="Layers of the LSTM", min=1)] = 1,
) -> None:
    """Make a text encoder of static vectors and a BiLSTM, the rival from before transformers.

    The folder holds the vectors; the weights of the LSTM are drawn by the seed of each training. It
    is named as any `encoder` is; no prefixes enter it. Let it learn at the rate of the rest:
    `--components.msvse_ner.model.learning_rate_factors.encoder 1.0`.
    """
    try:
        if is_pipeline(source):
            save_bilstm(*read_vectors(source), output, layers)
        else:
            save_bilstm_of_encoder(source, output, layers)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Wrote {output}")


def is_pipeline(source: str) -> bool:
    """Whether a name is that of a spaCy pipeline, by its files or as an installed package."""
    if Path(source).is_dir():
        return (Path(source) / "meta.json").exists()
    return source not in PACKAGED_ENCODERS and is_package(source)


def read_vectors(source: str) -> tuple[list[str], torch.Tensor]:
    """Read the vectors of words.

    source (str): Name or folder of a pipeline.
    RETURNS (tuple): W words, and their vectors, float of shape (W, d).
    RAISES (ValueError): If it has none, or none of words (MSVSE-E043).
    """
    vocab = spacy.load(source).vocab
    keys = {key: row for key, row in vocab.vectors.key2row.items() if row >= 0}
    if not keys:
        raise MsvseError(Errors.E043.format(source=source))
    table = torch.from_numpy(to_numpy(vocab.vectors.data))
    return [vocab.strings[key] for key in keys], table[list(keys.values())]
