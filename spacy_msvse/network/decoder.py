"""The multi-task label decoder: two CRFs, tied by the divergence of their marginals."""

import torch
from torch import Tensor, nn

from .crf import BioCRF, Lattice


class LabelDecoder(nn.Module):
    """Emission scores and a CRF over one text representation."""

    def __init__(self, width: int, num_types: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.crf = BioCRF(num_types)
        self.emissions = nn.Linear(width, self.crf.num_tags)

    def forward(self, tokens: Tensor, mask: Tensor) -> Lattice:
        """Score all labellings of each post.

        tokens (Tensor): float of shape (P, T, d).
        mask (Tensor): bool of shape (P, T).
        RETURNS (Lattice): The scores.
        """
        # In half precision, scores summed over a post would lose what tells labellings apart.
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = self.dropout(tokens.to(self.emissions.weight.dtype))
            return self.crf.lattice(self.emissions(tokens), mask)


def tie_loss(multimodal: Lattice, text: Lattice) -> Tensor:
    """Kullback-Leibler divergence of the two label distributions.

    Eq. 24; its form is reconstructed: KL(q_m || q_t) over tokens, q the CRFs' marginals. q_m takes
    no gradient: the view that sees the picture teaches the one that does not.

    multimodal (Lattice): Scores of the multimodal CRF.
    text (Lattice): Scores of the text CRF.
    RETURNS (Tensor): float of shape (P,), a mean over the tokens of a post.
    """
    with torch.no_grad():
        teacher = multimodal.marginals()
    student = text.marginals()
    # A forbidden label has a finite log-probability on both sides, and a weight of exactly 0.
    divergence = (teacher.exp() * (teacher - student)).sum(dim=2)
    return token_mean(divergence, multimodal.mask)


def token_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each post.

    values (Tensor): float of shape (P, T).
    mask (Tensor): bool of shape (P, T).
    RETURNS (Tensor): float of shape (P,); 0 for an empty post.
    """
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
