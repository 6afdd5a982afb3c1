"""SMVAE: a span-based multimodal variational autoencoder.

Zhou, Zhang, Song, Sui, Zhao, Wang, Yuan: "A Span-based Multimodal Variational Autoencoder for
Semi-supervised Multimodal Named Entity Recognition", EMNLP 2022, 2022.emnlp-main.422.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...settings import Weight
from ..base import Network, NetworkConfig, Reads, token_vectors
from ..decoder import token_mean
from ..encoders.base import Encoder
from ..inputs import Inputs, Loss, Outputs, Targets
from ..span_candidates import list_spans, span_choices, span_means
from ..spans import ScoredSpans
from ..views import REGIONS


@dataclass(frozen=True)
class SmvaeConfig(NetworkConfig):
    """Settings of SMVAE. The defaults are those of its authors' code, except `max_tokens`.

    Attributes:
        max_tokens (int): The greatest length of an entity. Longer ones are never found.
            Reconstructed: the code drops long candidates by their gold label.
        latent_width (int): Width of the latent variables.
        reconstruction_loss_weight (float): Weight of the reconstruction of text and picture.
        divergence_loss_weight (float): Weight of the divergences from the prior.
    """

    max_tokens: Annotated[int, Field(ge=1, le=256)] = 8
    latent_width: Annotated[int, Field(ge=1, le=65536)] = 100
    reconstruction_loss_weight: Weight = 1.0
    divergence_loss_weight: Weight = 1.0

    @property
    def reads(self) -> Reads:
        """The regions, whose mean is the picture."""
        return Reads(vectors=(REGIONS,))


class Posterior(nn.Module):
    """A normal distribution of a latent variable, from a vector."""

    def __init__(self, width_in: int, width: int, latent_width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width_in, width)
        self.parameters_of = nn.Linear(width, 2 * latent_width)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log-variance.

        Args:
            vectors (Tensor): float of shape (S, d).

        Returns:
            tuple: Two tensors of shape (S, latent width).
        """
        mean, log_variance = self.parameters_of(torch.relu(self.hidden(vectors))).chunk(2, dim=1)
        return mean, log_variance


class Smvae(Network):
    """Scores every short span by its boundary states and by a latent variable of text and picture.

    Stated: the spans, the product of experts, both reconstructions and all divergences. Corrected:
    candidates do not depend on gold labels; a prediction uses the mean of the latent variable;
    each expert has its own noise. Reconstructed: spans without an entity weigh as much as entities
    together, in place of a sample of as many; the mean of the regions of all pictures of a post is
    its picture. Only supervised training is built.
    """

    Config = SmvaeConfig
    config: SmvaeConfig

    def __init__(
        self, config: SmvaeConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (SmvaeConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width, latent, labels = encoder.width, config.latent_width, len(config.types) + 1
        self.text_lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.span_lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.text_posterior = Posterior(2 * width, width, latent)
        self.picture_posterior = Posterior(config.region_dim, width, latent)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(latent + 8 * width, width)
        self.scores = nn.Linear(width, labels)
        self.text_decoder = _decoder(labels + latent, width, width)
        self.picture_decoder = _decoder(latent, width, config.region_dim)

    def kept_positions(self, size: int, added: int) -> list[int]:
        """Rows go behind the new types if they belong to "no entity", or to the latent values that
        follow it."""
        types = len(self.config.types)
        return [place if place < types else place + added for place in range(size)]

    def compute(self, inputs: Inputs) -> Outputs:
        """Score all spans.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The scored spans as `answer`; `extra` has what the loss needs, by span.
        """
        mask = inputs.token_mask
        hidden = token_vectors(self.encoder(inputs.text), inputs)
        spans = list_spans(mask, self.config.max_tokens)
        post, start, end = spans.unbind(dim=1)
        frozen = hidden.detach()
        text = self.text_posterior(span_means(_run(self.text_lstm, frozen, mask), spans))
        regions = self.read_regions(inputs, REGIONS)
        present = regions.mask.any(dim=1)
        pictures = token_mean(regions.vectors, regions.mask)
        mean, log_variance = self.picture_posterior(pictures)
        picture = (mean[post], log_variance[post])
        seen = present[post].unsqueeze(1)
        joint = product_of_experts(text, picture, seen)
        states = _run(self.span_lstm, self.dropout(hidden), mask)
        first, last = states[post, start], states[post, end - 1]
        pair = torch.cat([first, last, first - last, first * last], dim=1)
        features = torch.cat([self._draw(joint), pair], dim=1)
        scores = self.scores(functional.leaky_relu(self.hidden(features))).float()
        labels = torch.softmax(scores, dim=1).to(hidden.dtype)
        text_again = self.text_decoder(torch.cat([labels, self._draw(text)], dim=1))
        picture_again = self.picture_decoder(self._draw(picture))
        own = span_means(frozen, spans)
        shown = pictures.detach()[post]
        divergence = _divergence(text) + _divergence(picture) * seen[:, 0] + _divergence(joint)
        return Outputs(
            ScoredSpans(spans, scores),
            extra={
                "token_mask": mask,
                "text": (text_again - own).square().mean(dim=1),
                "picture": (picture_again - shown).square().mean(dim=1) * seen[:, 0],
                "divergence": divergence,
            },
        )

    def _draw(self, posterior: tuple[Tensor, Tensor]) -> Tensor:
        """A sample in training, else the mean."""
        mean, log_variance = posterior
        if not self.training:
            return mean
        return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """L = CE + r (MSE_text + MSE_picture) + d (KL_text + KL_picture + KL_joint), by span.

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "spans", "reconstruction" and "divergence", each a mean over the spans of a
                post, in which entities and other spans weigh the same. Choices that missing labels
                leave open are summed; a span of which nothing is known is left out.
        """
        answer, extra, config = outputs.answer, outputs.extra, self.config
        assert isinstance(answer, ScoredSpans)
        choices = span_choices(targets.allowed, extra["token_mask"], answer.spans)
        weights = span_weights(
            answer.spans[:, 0], ~choices[:, -1], ~choices.all(dim=1), len(extra["token_mask"])
        )
        possible = answer.scores.masked_fill(~choices, -torch.inf)
        by_span = {
            "spans": answer.scores.logsumexp(dim=1) - possible.logsumexp(dim=1),
            "reconstruction": extra["text"] + extra["picture"],
            "divergence": extra["divergence"],
        }
        terms = {
            name: (values.float() * weights).sum() / config.loss_divisor
            for name, values in by_span.items()
        }
        total = (
            terms["spans"]
            + config.reconstruction_loss_weight * terms["reconstruction"]
            + config.divergence_loss_weight * terms["divergence"]
        )
        return Loss(total, terms)


def product_of_experts(
    text: tuple[Tensor, Tensor], picture: tuple[Tensor, Tensor], seen: Tensor
) -> tuple[Tensor, Tensor]:
    """The product of two normal distributions.

    Args:
        text (tuple): Mean and log-variance, each float of shape (S, d).
        picture (tuple): The same of the picture.
        seen (Tensor): bool of shape (S, 1). Without a picture, the text is the only expert.

    Returns:
        tuple: Mean and log-variance: 1/s^2 = 1/s_t^2 + 1/s_v^2, m = s^2 (m_t/s_t^2 + m_v/s_v^2).
    """
    precision, other = (-text[1]).exp(), (-picture[1]).exp()
    total = precision + other
    mean = (text[0] * precision + picture[0] * other) / total
    return torch.where(seen, mean, text[0]), torch.where(seen, -total.log(), text[1])


def span_weights(post: Tensor, is_entity: Tensor, known: Tensor, posts: int) -> Tensor:
    """The weight of each span in the loss of its post. Those of a post add up to 1: half for
    entities, half for other spans; all for the one kind if the post lacks the other.

    Args:
        post (Tensor): int64 of shape (S,), the post of each span.
        is_entity (Tensor): bool of shape (S,).
        known (Tensor): bool of shape (S,). Other spans get 0.
        posts (int): Number of posts.

    Returns:
        Tensor: float of shape (S,).
    """
    kinds = torch.stack([is_entity & known, ~is_entity & known]).float()
    counts = kinds.new_zeros(2, posts).index_add(1, post, kinds)
    shares = (kinds / counts.clamp(min=1)[:, post]).sum(dim=0)
    return shares / (counts > 0).sum(dim=0).clamp(min=1)[post]


def _divergence(posterior: tuple[Tensor, Tensor]) -> Tensor:
    """Kullback-Leibler divergence from the standard normal distribution, float of shape (S,)."""
    mean, log_variance = posterior
    terms = mean.square() + log_variance.exp() - log_variance - 1
    return 0.5 * terms.sum(dim=1)


def _run(lstm: nn.LSTM, vectors: Tensor, mask: Tensor) -> Tensor:
    """Run an LSTM over posts without their padding: (P, T, d) -> (P, T, 2 d)."""
    lengths = mask.sum(dim=1).clamp(min=1).cpu()
    packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(
        lstm(packed)[0], batch_first=True, total_length=vectors.shape[1]
    )
    return states


def _decoder(width_in: int, width: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width), nn.ReLU(), nn.Linear(width, width_out))
