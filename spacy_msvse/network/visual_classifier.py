"""The visual entity classifier: which entity types does each view speak of?"""

from torch import Tensor, nn
from torch.nn import functional


class VisualEntityClassifier(nn.Module):
    """Decodes each view's visual semantic features into the post's entity types.

    Stated: all views must agree on the types. Reconstructed: p = sigmoid(W meanpool(S) + b), shared
    over views.
    """

    def __init__(self, width: int, num_types: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_types)

    def forward(self, means: Tensor) -> Tensor:
        """Classify views.

        means (Tensor): Mean visual semantic feature of each view, float of shape (B, S, d).
        RETURNS (Tensor): Logits, float of shape (B, S, Y).
        """
        return self.linear(means)


def visual_loss(logits: Tensor, present: Tensor, types: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy, a mean over a post's present views and known types.

    logits (Tensor): float of shape (P, S, Y).
    present (Tensor): bool of shape (P, S).
    types (Tensor): float of shape (P, Y).
    known (Tensor): bool of shape (P, Y).
    RETURNS (Tensor): float of shape (P,); 0 for a post without views.
    """
    targets = types.unsqueeze(1).expand_as(logits)
    weights = (present.unsqueeze(2) & known.unsqueeze(1)).to(logits.dtype)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=1)
