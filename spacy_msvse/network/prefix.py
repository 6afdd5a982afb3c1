"""Prefixes of every encoder layer, computed from visual semantic features."""

import torch
from torch import Tensor, nn

from .encoders.base import Prefixes
from .interaction import masked_softmax
from .views import ViewFeatures


class PrefixGenerator(nn.Module):
    """Multi-scale visual semantic prefixes.

    Stated: the features enter the text encoder as prefixes. Reconstructed: learned queries attend
    over each view's vectors; a bottleneck computes a key and a value for every layer; a gate of
    every layer weighs the values of the present views.
    """

    def __init__(self, width: int, num_layers: int, length: int, bottleneck: int) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.length = length
        self.queries = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.queries, std=0.02)
        self.bottleneck = nn.Sequential(
            nn.Linear(width, bottleneck),
            nn.Tanh(),
            nn.Linear(bottleneck, 2 * num_layers * width),
        )
        # A bias would add the same to every view, which the softmax over views removes.
        self.gate = nn.Linear(width, num_layers, bias=False)

    def forward(self, views: ViewFeatures) -> Prefixes:
        """Compute the prefixes of a batch.

        Args:
            views (ViewFeatures): Visual semantic features of S views.

        Returns:
            Prefixes: S * length slots; those of absent views are masked out.
        """
        present = views.present
        pooled = torch.stack(
            [self.pool_weights(vectors, mask) @ vectors for vectors, mask in views.split()], dim=1
        )
        states = self.bottleneck(pooled)
        batch, num_views = present.shape
        # (B, S, m, 2 L d) -> (2, L, B, S, m, d)
        states = states.view(batch, num_views, self.length, 2, self.num_layers, -1)
        keys, values = states.permute(3, 4, 0, 1, 2, 5)
        values = values * self._gate(views.mean(), present)[..., None, None]
        mask = present.repeat_interleave(self.length, dim=1)
        return Prefixes(keys.flatten(2, 3), values.flatten(2, 3), mask)

    def pool_weights(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """The weight of each vector of a view in each of its slots.

        Args:
            vectors (Tensor): float of shape (B, V, d).
            mask (Tensor): bool of shape (B, V).

        Returns:
            Tensor: float of shape (B, m, V); the weights of a slot add up to 1.
        """
        scores = torch.einsum("md,bvd->bmv", self.queries, vectors) / vectors.shape[2] ** 0.5
        return masked_softmax(scores, mask.unsqueeze(1))

    def _gate(self, means: Tensor, present: Tensor) -> Tensor:
        """Weigh the present views in every layer: (L, B, S), a row without views is 0."""
        logits = self.gate(means)
        return masked_softmax(logits.permute(2, 0, 1), present.unsqueeze(0))
