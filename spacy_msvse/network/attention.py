"""How much attention the words of a post pay to each of its views."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .encoders.base import Prefixes
from .fusion import ViewFeatures
from .inputs import MsvseInputs, MsvseOutputs
from .msvse import Msvse, gather_tokens
from .prefix import PrefixGenerator


@contextmanager
def recorded_attention(network: Msvse) -> Iterator[list[dict[str, Tensor]]]:
    """Record the attention that goes to the prefixes, for every batch that a network reads.

    A token's attention in an encoder layer is spread over the prefix slots and the text, and adds
    up to 1. What goes to a slot is passed on to the view's vectors as the slot was pooled of them.
    The mean is over the layers that see prefixes, and over their heads.

    network (Msvse): The network.
    YIELDS (list): Grows by one for each batch: view to float of shape (P, T, V), V the vectors of
        the view; 0 where the view is absent. It stays empty for a network without prefixes.
    """
    record: list[dict[str, Tensor]] = []
    if "prefix" not in network.fusion:
        yield record
        return
    pools: list[Tensor] = []
    present: list[Tensor] = []
    slot_weights = network.encoder.slot_weights = []

    def keep_pools(
        generator: PrefixGenerator, arguments: tuple[ViewFeatures], prefixes: Prefixes
    ) -> None:
        pools[:] = [generator.pool_weights(*pair) for pair in arguments[0].split()]
        present[:] = [prefixes.mask.any(dim=1)]

    def keep_batch(network: Msvse, arguments: tuple[MsvseInputs], outputs: MsvseOutputs) -> None:
        (inputs,) = arguments
        sizes = [pool.shape[1] for pool in pools]
        weights = pools[0].new_zeros(*inputs.text.mask.shape, sum(sizes))
        if slot_weights:
            mean = torch.stack(slot_weights).mean(dim=0)[:, : weights.shape[1]].to(weights)
            # Windows without a prefix may have been read along, for their joint view.
            weights[present[0], : mean.shape[1]] = mean[mean.flatten(1).any(dim=1)]
        slot_weights.clear()
        views = zip(network.config.prefix_views, weights.split(sizes, dim=2), pools, strict=True)
        record.append(
            {view: gather_tokens(part @ pool, inputs).float() for view, part, pool in views}
        )

    handles = [
        network.fusion["prefix"].register_forward_hook(keep_pools),
        network.register_forward_hook(keep_batch),
    ]
    try:
        yield record
    finally:
        network.encoder.slot_weights = None
        for handle in handles:
            handle.remove()
