"""Linear-chain CRFs over BIO labels: the parameters of pytorch-crf, and algorithms on lattices.

The parameters are those of pytorch-crf. The algorithms are here, because pytorch-crf computes no
marginals, accepts no missing labels and no empty sequences, and decodes sample by sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torchcrf
from torch import Tensor, nn

from .spans import double_device

#: The score of a forbidden transition. Finite, so that no infinity turns into NaN in a gradient.
FORBIDDEN = -1e4


def bio_labels(types: tuple[str, ...]) -> tuple[str, ...]:
    """The labels for some entity types: O, then B and I of each type.

    Args:
        types (tuple): Entity types.

    Returns:
        tuple: 2 * len(types) + 1 labels.
    """
    return ("O", *(f"{position}-{name}" for name in types for position in "BI"))


@dataclass
class Lattice:
    """The scores of all labellings of a batch of sequences: a `SpanDistribution`.

    Attributes:
        emissions (Tensor): float of shape (B, T, K).
        transitions (Tensor): float of shape (K, K), from label to label; or (B, K, K).
        start (Tensor): float of shape (K,), or (B, K).
        end (Tensor): float of shape (K,), or (B, K).
        mask (Tensor): bool of shape (B, T): True on tokens, which come before all padding. A
            sequence may be empty.
    """

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    mask: Tensor
    _sums: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def restrict(self, allowed: Tensor) -> "Lattice":
        """Keep the labellings that use only allowed labels.

        Args:
            allowed (Tensor): bool of shape (B, T, K).

        Returns:
            Lattice: A lattice in which all other labellings have a weight of almost 0.
        """
        return replace(self, emissions=self.emissions.masked_fill(~allowed, FORBIDDEN))

    def interpolate(self, other: "Lattice", weight: float) -> "Lattice":
        """Mix all scores of two lattices over the same sequences (method: joint decoding).

        Args:
            other (Lattice): The other lattice.
            weight (float): Its share, in [0, 1].

        Returns:
            Lattice: (1 - weight) of this lattice plus weight of the other.
        """
        return Lattice(
            torch.lerp(self.emissions, other.emissions, weight),
            torch.lerp(self.transitions, other.transitions, weight),
            torch.lerp(self.start, other.start, weight),
            torch.lerp(self.end, other.end, weight),
            self.mask,
        )

    def tempered(self, temperature: float | Tensor) -> "Lattice":
        """Divide all scores by a temperature. The order of the labellings does not change.

        Args:
            temperature (float or Tensor): A positive scalar, or one for each sequence, of shape
                (B,); above 1, probabilities become more even.

        Returns:
            Lattice: The tempered lattice. Forbidden labels and transitions stay forbidden.
        """
        own = torch.as_tensor(temperature, dtype=self.emissions.dtype, device=self.mask.device)

        def divide(scores: Tensor, dims: int) -> Tensor:
            divisor = own.view(-1, *[1] * dims) if own.ndim else own
            return torch.where(scores > FORBIDDEN / 2, scores / divisor, scores)

        return Lattice(
            divide(self.emissions, 2),
            divide(self.transitions, 2),
            divide(self.start, 1),
            divide(self.end, 1),
            self.mask,
        )

    def double(self) -> "Lattice":
        """Copy the scores in double precision, detached from the network. A copy that is made
        outside of inference mode can be differentiated.

        Returns:
            Lattice: The copy; in main memory if the device has no double precision.
        """
        device = double_device(self.mask.device)

        def copy(scores: Tensor) -> Tensor:
            return scores.detach().to(device, torch.double, copy=True)

        return Lattice(
            copy(self.emissions),
            copy(self.transitions),
            copy(self.start),
            copy(self.end),
            self.mask.to(device, copy=True),
        )

    def log_partition(self) -> Tensor:
        """Log of the summed weight of all labellings.

        Returns:
            Tensor: float of shape (B,); 0 for an empty sequence.
        """
        if not torch.is_grad_enabled() and "forward" in self._sums:
            return self.partition_of(self._sums["forward"])
        return self.partition_of(sum_forward([self])[0])

    def partition_of(self, forward: Tensor) -> Tensor:
        """Log of the summed weight of all labellings, from the sums of `sum_forward`.

        Args:
            forward (Tensor): float of shape (B, T, K), of this lattice or of a restricted one.

        Returns:
            Tensor: float of shape (B,); 0 for an empty sequence.
        """
        if forward.shape[1] == 0:
            return forward.new_zeros(len(forward))
        log_partition = torch.logsumexp(forward[:, -1] + self.end, dim=1)
        return torch.where(self.mask[:, 0], log_partition, 0.0)

    def marginals(self) -> Tensor:
        """Log-probability of each label at each token.

        Returns:
            Tensor: float of shape (B, T, K); rows of padding are 0 everywhere.
        """
        return self.marginals_of(*self._both_sums())

    def marginals_of(self, forward: Tensor, backward: Tensor) -> Tensor:
        """Log-probability of each label at each token, from the sums before and after it.

        Args:
            forward (Tensor): float of shape (B, T, K), as `sum_forward` returns them.
            backward (Tensor): float of shape (B, T, K), as `sums_after` returns them.

        Returns:
            Tensor: float of shape (B, T, K); rows of padding are 0 everywhere.
        """
        log_weights = forward + backward
        log_marginals = log_weights - torch.logsumexp(log_weights, dim=2, keepdim=True)
        return log_marginals.masked_fill(~self.mask.unsqueeze(2), 0.0)

    def best_entities(self) -> Tensor:
        """The entities of the best labelling of each sequence.

        Returns:
            Tensor: int64 of shape (E, 4): sequence, first token, token after the last, and index of
                the type, ordered by sequence and first token.
        """
        return label_entities(self.best_labels())

    def best_labels(self) -> Tensor:
        """The labelling of the highest score (Viterbi).

        Returns:
            Tensor: int64 of shape (B, T); 0 on padding.
        """
        return self._search(1)[0][:, 0]

    def best_labellings(self, k: int) -> tuple[Tensor, Tensor]:
        """The k labellings of the highest scores, and their log-probabilities.

        Args:
            k (int): How many, at least 1.

        Returns:
            tuple: int64 of shape (B, k, T), 0 on padding, the best first, equal ones ordered by
                their last label that differs; and float of shape (B, k), -inf where a sequence has
                fewer legal labellings.
        """
        labels, scores = self._search(k)
        return labels, scores - self.log_partition().unsqueeze(1)

    def _search(self, k: int) -> tuple[Tensor, Tensor]:
        """The k best labellings (B, k, T) and their scores (B, k). Viterbi keeps k per label."""
        batch, length, labels = self.emissions.shape
        # An empty sequence has one labelling.
        only = self.emissions.new_full((k,), -torch.inf)
        only[0] = 0.0
        if length == 0:
            return self.mask.new_zeros((batch, k, length), dtype=torch.long), only.expand(batch, k)
        emissions, transitions, start = (
            scores.masked_fill(scores < FORBIDDEN / 2, -torch.inf)
            for scores in (self.emissions, self.transitions, self.start)
        )
        # A state is a label and a rank among the partial labellings that end in this label.
        score = emissions.new_full((batch, labels, k), -torch.inf)
        score[:, :, 0] = start + emissions[:, 0]
        stay = torch.arange(labels * k, device=score.device).view(1, labels, k)
        pointers = []
        for t in range(1, length):
            ahead = score.unsqueeze(3) + transitions.unsqueeze(-2)
            step, pointer = ranked(ahead.flatten(1, 2).transpose(1, 2), k)
            inside = self.mask[:, t, None, None]
            score = torch.where(inside, step + emissions[:, t].unsqueeze(2), score)
            pointers.append(torch.where(inside, pointer, stay).flatten(1))
        best, state = ranked((score + self.end.unsqueeze(-1)).flatten(1), k)
        states = [state]
        for pointer in reversed(pointers):
            states.append(pointer.gather(1, states[-1]))
        found = torch.stack(states[::-1], dim=2) // k
        best = torch.where(self.mask[:, :1], best, only)
        return found.masked_fill(~self.mask.unsqueeze(1), 0), best

    def span_log_probabilities(self, entities: Tensor) -> Tensor:
        """Log-probability that a labelling has exactly this entity: these tokens, this type.

        Args:
            entities (Tensor): int64 of shape (E, 4): sequence, first token, token after the last,
                and index of the type.

        Returns:
            Tensor: float of shape (E,).
        """
        if len(entities) == 0:
            return self.emissions.new_zeros(0)
        sequence, first, end, entity_type = entities.to(self.mask.device).unbind(dim=1)
        last = end - 1
        begin, inside = 2 * entity_type + 1, 2 * entity_type + 2
        forward, backward = self._both_sums()
        batch, _, labels = self.emissions.shape
        transitions = self.transitions.expand(batch, labels, labels)
        stop = self.end.expand(batch, labels)
        log_partition = torch.logsumexp(forward[:, -1] + stop, dim=1)[sequence]
        # Inside the entity the path is fixed: B, then I up to the last token. The sum over its I
        # labels is a difference of running sums.
        running = self.emissions.cumsum(dim=1)
        repeat = transitions[sequence, inside, inside]
        score = forward[sequence, first, begin]
        inside_score = (
            transitions[sequence, begin, inside]
            + running[sequence, last, inside]
            - running[sequence, first, inside]
            + repeat * (last - first - 1)
        )
        longer = last > first
        score = score + torch.where(longer, inside_score, 0.0)
        # After the entity: every label except one more I of the same type.
        label = torch.where(longer, inside, begin)
        following = end.clamp(max=self.emissions.shape[1] - 1)
        after = (
            transitions[sequence, label]
            + self.emissions[sequence, following]
            + backward[sequence, following]
        )
        after = after.scatter(1, inside.unsqueeze(1), FORBIDDEN)
        followed = (following > last) & self.mask[sequence, following]
        rest = torch.where(followed, torch.logsumexp(after, dim=1), stop[sequence, label])
        return score + rest - log_partition

    def absence_log_probabilities(self, entities: Tensor, posts: int) -> Tensor:
        """The least certain token outside of the entities.

        Args:
            entities (Tensor): int64 of shape (E, 4): the best entities.
            posts (int): Number of sequences.

        Returns:
            Tensor: float of shape (B,): for each sequence the lowest log-probability that such a
                token is in no entity; 0 if there is none.
        """
        if self.emissions.shape[1] == 0:
            return self.emissions.new_zeros(posts)
        # +1 at the first token, -1 after the last one: the running sum is 1 inside.
        sequence, first, end, _ = entities.to(self.mask.device).unbind(dim=1)
        edges = self.emissions.new_zeros(posts, self.emissions.shape[1] + 1)
        edges[sequence, first] += 1
        edges[sequence, end] -= 1
        inside = edges.cumsum(dim=1)[:, :-1] > 0.5
        # A log-probability of padding is 0.
        return self.marginals()[..., 0].masked_fill(inside, 0.0).amin(dim=1)

    def detach(self) -> "Lattice":
        """The same scores without a gradient.

        Returns:
            Lattice: Its scores share the memory of this lattice.
        """
        return Lattice(
            self.emissions.detach(),
            self.transitions.detach(),
            self.start.detach(),
            self.end.detach(),
            self.mask,
        )

    def mirror(self) -> "Lattice":
        """The same labellings, read from the last token to the first.

        Returns:
            Lattice: The tokens of each sequence in reverse, before the padding.
        """
        return Lattice(
            self._reverse(self.emissions),
            self.transitions.transpose(-1, -2),
            self.end,
            self.start,
            self.mask,
        )

    def sums_after(self, forward_of_mirror: Tensor) -> Tensor:
        """Log of the summed weight of all partial labellings after a token and label.

        Args:
            forward_of_mirror (Tensor): float of shape (B, T, K): the sums of `sum_forward` for the
                mirrored lattice.

        Returns:
            Tensor: float of shape (B, T, K); any values on padding.
        """
        return self._reverse(forward_of_mirror) - self.emissions

    def _reverse(self, values: Tensor) -> Tensor:
        """Put the tokens of each sequence, (B, T, K), in reverse."""
        steps = torch.arange(values.shape[1], device=values.device)
        rows = (self.mask.sum(dim=1, keepdim=True) - 1 - steps).clamp(min=0)
        return values.gather(1, rows.unsqueeze(2).expand_as(values))

    def _both_sums(self) -> tuple[Tensor, Tensor]:
        """Log of the summed weight of all partial labellings up to a token and label, and after it,
        each (B, T, K). Those of a prediction are kept: several probabilities need them."""
        keep = not torch.is_grad_enabled()
        if keep and self._sums:
            return self._sums["forward"], self._sums["backward"]
        forward, of_mirror = sum_forward([self, self.mirror()])
        backward = self.sums_after(of_mirror)
        if keep:
            self._sums |= {"forward": forward, "backward": backward}
        return forward, backward


def sum_forward(lattices: Sequence[Lattice]) -> list[Tensor]:
    """Log of the summed weight of all partial labellings up to a token and label.

    All lattices pass one recursion. Its steps are short, so on a GPU its time depends on the number
    of steps and hardly on that of sequences.

    Args:
        lattices (Sequence[Lattice]): Lattices over sequences of equal length and with equal labels.

    Returns:
        list: For each lattice, float of shape (B, T, K). Padding repeats the last token.
    """
    emissions = torch.cat([one.emissions for one in lattices])
    mask = torch.cat([one.mask for one in lattices]).unsqueeze(2)
    sizes = [len(one.emissions) for one in lattices]
    transitions = _join([one.transitions for one in lattices], sizes, 2)
    if emissions.shape[1] == 0:
        return [*torch.split(emissions, sizes)]
    score = _join([one.start for one in lattices], sizes, 1) + emissions[:, 0]
    scores = [score]
    for t in range(1, emissions.shape[1]):
        step = torch.logsumexp(score.unsqueeze(2) + transitions, dim=1)
        score = torch.where(mask[:, t], step + emissions[:, t], score)
        scores.append(score)
    return [*torch.split(torch.stack(scores, dim=1), sizes)]


def _join(scores: Sequence[Tensor], sizes: Sequence[int], dims: int) -> Tensor:
    """Scores of several lattices for each sequence of all. Those of one lattice may stay shared."""
    if len(scores) == 1:
        return scores[0]
    expanded = (
        one.expand(size, *one.shape[-dims:]) for one, size in zip(scores, sizes, strict=True)
    )
    return torch.cat([*expanded])


def label_entities(labels: Tensor) -> Tensor:
    """Read the entities from legal labellings.

    Args:
        labels (Tensor): int64 of shape (B, T), indices into `bio_labels`; 0 on padding.

    Returns:
        Tensor: int64 of shape (E, 4): row, first token, token after the last, and index of the
            type, ordered by row and first token.
    """
    # A column of O ends the entities of each row.
    labels = nn.functional.pad(labels, (0, 1))
    flat = labels.flatten()
    starts = (flat % 2 == 1).nonzero().squeeze(1)
    stops = ((flat % 2 == 1) | (flat == 0)).nonzero().squeeze(1)
    ends = stops[torch.searchsorted(stops, starts, right=True)]
    row = starts // labels.shape[1]
    offset = row * labels.shape[1]
    return torch.stack([row, starts - offset, ends - offset, (flat[starts] - 1) // 2], dim=1)


def ranked(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest values of the last dimension and their indices; the first of equal values.

    Args:
        scores (Tensor): float of shape (..., N).
        k (int): How many.

    Returns:
        tuple: float and int64, both of shape (..., k), the highest first.
    """
    # `topk` and `max` do not define which of equal values comes first.
    values, index = scores.sort(dim=-1, descending=True, stable=True)
    return values[..., :k], index[..., :k]


class BioCRF(nn.Module):
    """A CRF in which I follows only B or I of its own type.

    pytorch-crf's module holds the three parameters. The forbidden transitions are a fixed mask over
    them, not parameters.
    """

    forbidden_transitions: Tensor
    forbidden_start: Tensor

    def __init__(self, num_types: int) -> None:
        """Create the parameters.

        Args:
            num_types (int): Number of entity types; the labels are those of `bio_labels`.
        """
        super().__init__()
        self.num_labels = 2 * num_types + 1
        self.scores = torchcrf.CRF(self.num_labels, batch_first=True)
        inside = torch.arange(2, self.num_labels, 2)
        forbidden = torch.zeros(self.num_labels, self.num_labels)
        forbidden[:, inside] = FORBIDDEN
        forbidden[inside - 1, inside] = 0.0
        forbidden[inside, inside] = 0.0
        start = torch.zeros(self.num_labels)
        start[inside] = FORBIDDEN
        # Derived from num_types, so it is not saved.
        self.register_buffer("forbidden_transitions", forbidden, persistent=False)
        self.register_buffer("forbidden_start", start, persistent=False)

    def forward(self, emissions: Tensor, mask: Tensor) -> Lattice:
        """Score all labellings.

        Args:
            emissions (Tensor): float of shape (B, T, K).
            mask (Tensor): bool of shape (B, T).

        Returns:
            Lattice: The scores.
        """
        return Lattice(
            emissions,
            self.scores.transitions + self.forbidden_transitions,
            self.scores.start_transitions + self.forbidden_start,
            self.scores.end_transitions,
            mask,
        )


def negative_log_likelihood(lattice: Lattice, allowed: Tensor) -> Tensor:
    """Negative log-likelihood of the allowed labellings; missing labels are marginalised.

    Args:
        lattice (Lattice): All labellings.
        allowed (Tensor): bool of shape (B, T, K).

    Returns:
        Tensor: float of shape (B,).
    """
    # In one recursion.
    log_all, log_allowed = map(
        lattice.partition_of, sum_forward([lattice, lattice.restrict(allowed)])
    )
    return log_all - log_allowed
