"""Numbers of parameters, with and without the extractors of pictures.

Published numbers are compared only if they are counted alike: some include a frozen extractor.
"""

from collections.abc import Iterator

import torch
from spacy.language import Language
from thinc.api import Model
from torch import nn

from ...component.pipe import MsvseNer

#: The part of a network that computes regions from pixels and trains with it.
BACKBONE = "backbone."


def count_parameters(nlp: Language) -> dict[str, int]:
    """Count the parameters of a pipeline.

    Args:
        nlp (Language): The pipeline, initialised.

    Returns:
        dict: "parameters", those of all networks without extractors of pictures;
            "trainable_parameters", those of them that are trained; "extractor_parameters", those of
            the extractors whose views a network reads, frozen or not.
    """
    counts = {"parameters": 0, "trainable_parameters": 0, "extractor_parameters": 0}
    for _, component in nlp.pipeline:
        if isinstance(component, MsvseNer):
            own, trained, extractors = _count_component(component)
        else:
            own = trained = _count_thinc(getattr(component, "model", None))
            extractors = 0
        counts["parameters"] += own
        counts["trainable_parameters"] += trained
        counts["extractor_parameters"] += extractors
    return counts


def _count_component(component: MsvseNer) -> tuple[int, int, int]:
    network = component.require_network()
    named = list(network.named_parameters())
    own = [p for name, p in named if not name.startswith(BACKBONE)]
    # A network that is used for several views counts once.
    extractors = {id(p): p for name, p in named if name.startswith(BACKBONE)}
    used = component.vision.extractors if component.vision is not None else {}
    for view in network.config.views:
        module = getattr(used.get(view), "network", None)
        if isinstance(module, nn.Module):
            extractors |= {id(p): p for p in module.parameters()}
    trained = sum(p.numel() for p in own if p.requires_grad)
    return _total(iter(own)), trained, _total(iter(extractors.values()))


def _count_thinc(model: object) -> int:
    """The parameters of another component of spaCy, all of which are trained."""
    if not isinstance(model, Model):
        return 0
    total = 0
    for node in model.walk():
        for name in node.param_names:
            total += node.get_param(name).size if node.has_param(name) else 0
        for shim in node.shims:
            module = getattr(shim, "_model", None)
            total += _total(module.parameters()) if isinstance(module, nn.Module) else 0
    return total


def _total(parameters: Iterator[torch.Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
