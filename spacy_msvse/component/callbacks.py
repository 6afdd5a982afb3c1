"""Callbacks for `[training.before_update]`."""

from collections.abc import Callable, Mapping
from typing import Any

from spacy.language import Language

from .model import get_shim

BeforeUpdate = Callable[[Language, Mapping[str, Any]], None]


def create_gradual_unfreezing(steps_per_layer: int, component: str = "msvse_ner") -> BeforeUpdate:
    """Thaw the encoder from the top, layer by layer (Howard and Ruder 2018); registered as
    `spacy-msvse.gradual_unfreezing.v1`. At first only the parts behind the encoder learn.

    steps_per_layer (int): After how many steps each further layer begins to learn; the embeddings
        come last.
    component (str): The component's name in the pipeline.
    RETURNS (Callable): For `[training.before_update]`.
    """

    def before_update(nlp: Language, args: Mapping[str, Any]) -> None:
        thawed, since = divmod(args["step"], steps_per_layer)
        if since:
            return
        shim = get_shim(nlp.get_pipe(component).model)  # type: ignore[attr-defined]
        assert shim.network is not None
        shim.train_from_layer(max(0, shim.network.encoder.num_layers + 1 - thawed))

    return before_update
