"""Decoders: labels of tokens by a CRF, entity types by view, and the losses that tie them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .crf import BioCRF, Lattice, negative_log_likelihood, sum_forward


class LabelDecoder(nn.Module):
    """Emission scores and a CRF over one text representation."""

    def __init__(self, width: int, num_types: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.crf = BioCRF(num_types)
        self.emissions = nn.Linear(width, self.crf.num_labels)

    def forward(self, tokens: Tensor, mask: Tensor) -> Lattice:
        """Score all labellings of each post.

        Args:
            tokens (Tensor): float of shape (P, T, d).
            mask (Tensor): bool of shape (P, T).

        Returns:
            Lattice: The scores.
        """
        lattice: Lattice = self.crf(self.score(tokens), mask)
        return lattice

    def score(self, tokens: Tensor) -> Tensor:
        """Score the labels of each token.

        Args:
            tokens (Tensor): float of shape (P, T, d).

        Returns:
            Tensor: Emissions, float of shape (P, T, K).
        """
        # Full precision: in half precision, scores summed over a post lose small differences.
        with torch.autocast(tokens.device.type, enabled=False):
            emissions: Tensor = self.emissions(self.dropout(tokens.to(self.emissions.weight.dtype)))
            return emissions


def token_loss(lattice: Lattice, allowed: Tensor) -> Tensor:
    """Negative log-likelihood of the allowed labellings for each token.

    Args:
        lattice (Lattice): All labellings.
        allowed (Tensor): bool of shape (P, T, K).

    Returns:
        Tensor: float of shape (P,), a mean over the tokens of a post.
    """
    return negative_log_likelihood(lattice, allowed) / lattice.mask.sum(dim=1).clamp(min=1)


def tied_losses(
    teacher: Lattice, student: Lattice, allowed: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The losses of two CRFs over the same tokens, and the divergence of their label distributions,
    KL(q_t || q_s). All come from one recursion over the tokens.

    Paper (MSVSE, eq. 24): stated, a sum of p log p over both CRFs. Reconstructed: a mean over
    tokens, q the CRFs' marginals. The teacher gets no gradient from the divergence. With a
    temperature t the marginals are softmax(log q / t), and the divergence is multiplied by t * t
    (ITA).

    Args:
        teacher (Lattice): Scores of the CRF with more views.
        student (Lattice): Scores of the CRF with fewer views.
        allowed (Tensor): bool of shape (P, T, K): the labellings whose likelihood is the loss.
        temperature (float): Above 1, the marginals become more even.

    Returns:
        tuple: The teacher's loss and the student's, as `token_loss`, and the divergence; each float
            of shape (P,), a mean over the tokens of a post.
    """
    fixed = teacher.detach()
    lattices = [one for crf in (teacher, student) for one in (crf, crf.restrict(allowed))]
    all_t, allowed_t, all_s, allowed_s, after_t, after_s = sum_forward(
        [*lattices, fixed.mirror(), student.mirror()]
    )
    tokens = teacher.mask.sum(dim=1).clamp(min=1)
    teacher_loss = (teacher.partition_of(all_t) - teacher.partition_of(allowed_t)) / tokens
    student_loss = (student.partition_of(all_s) - student.partition_of(allowed_s)) / tokens
    target = fixed.marginals_of(all_t.detach(), fixed.sums_after(after_t))
    marginals = student.marginals_of(all_s, student.sums_after(after_s))
    if temperature != 1.0:
        target = torch.log_softmax(target / temperature, dim=2)
        marginals = torch.log_softmax(marginals / temperature, dim=2)
    # A forbidden label has a finite log-probability on both sides, and a weight of exactly 0.
    divergence = (target.exp() * (target - marginals)).sum(dim=2)
    return teacher_loss, student_loss, temperature**2 * token_mean(divergence, teacher.mask)


def token_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens, or the regions, of each post.

    Args:
        values (Tensor): float of shape (P, T) or (P, T, d).
        mask (Tensor): bool of shape (P, T).

    Returns:
        Tensor: float of shape (P,) or (P, d); 0 for an empty post.
    """
    weights = mask if values.ndim == 2 else mask.unsqueeze(2)
    return (values * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class VisualEntityClassifier(nn.Module):
    """Decodes the visual semantic features of each view into the entity types of the post.

    Stated: all views must agree on the types. Reconstructed: p = sigmoid(W meanpool(S) + b), shared
    over views.
    """

    def __init__(self, width: int, num_types: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_types)

    def forward(self, means: Tensor) -> Tensor:
        """Classify views.

        Args:
            means (Tensor): Mean visual semantic feature of each of S views, float of shape (B, S,
                d).

        Returns:
            Tensor: Logits, float of shape (B, S, Y).
        """
        logits: Tensor = self.linear(means)
        return logits


def visual_loss(logits: Tensor, present: Tensor, types: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy, a mean over a post's present views and known types.

    Args:
        logits (Tensor): float of shape (P, S, Y).
        present (Tensor): bool of shape (P, S).
        types (Tensor): float of shape (P, Y).
        known (Tensor): bool of shape (P, Y).

    Returns:
        Tensor: float of shape (P,); 0 for a post without views.
    """
    targets = types.unsqueeze(1).expand_as(logits)
    weights = (present.unsqueeze(2) & known.unsqueeze(1)).to(logits.dtype)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=1)
