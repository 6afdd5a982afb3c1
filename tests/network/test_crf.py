"""The CRF's lattice against brute-force enumeration of all labellings."""

import math
from itertools import product

import pytest
import torch
import torchcrf

from spacy_msvse.network.crf import (
    FORBIDDEN,
    BioCRF,
    Lattice,
    bio_labels,
    label_entities,
    negative_log_likelihood,
    sum_forward,
)
from spacy_msvse.network.decoder import tied_losses

TYPES = ("PER", "LOC")
LABELS = bio_labels(TYPES)


def random_lattice(lengths: list[int], seed: int = 0) -> Lattice:
    torch.manual_seed(seed)
    crf = BioCRF(len(TYPES)).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter).requires_grad_(False)
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    emissions = torch.randn(len(lengths), max(lengths), len(LABELS), dtype=torch.double)
    return crf(emissions, mask)


def labellings(lattice: Lattice, row: int) -> dict[tuple[int, ...], float]:
    """Every labelling of one sequence and its score."""
    length = int(lattice.mask[row].sum())
    scores = {}
    for path in product(range(len(LABELS)), repeat=length):
        score = torch.zeros((), dtype=torch.double)
        for t, label in enumerate(path):
            score = score + lattice.emissions[row, t, label]
            score = score + (lattice.transitions[path[t - 1], label] if t else lattice.start[label])
        if path:
            score = score + lattice.end[path[-1]]
        scores[path] = float(score)
    return scores


def log_sum(scores) -> float:
    return float(torch.logsumexp(torch.tensor(list(scores), dtype=torch.double), 0))


def entities(path: tuple[int, ...]) -> set[tuple[int, int, int]]:
    """First token, token after the last and type index of the entities of a labelling."""
    found, start = set(), None
    for t, label in enumerate((*path, 0)):
        inside = label and label % 2 == 0
        if start is not None and not inside:
            found.add((start, t, (path[start] - 1) // 2))
            start = None
        if label % 2 == 1:
            start = t
    return found


LENGTHS = [4, 1, 0, 3]


@pytest.mark.parametrize("seed", range(3))
def test_log_partition_equals_enumeration(seed):
    lattice = random_lattice(LENGTHS, seed)
    for row, value in enumerate(lattice.log_partition().tolist()):
        assert value == pytest.approx(log_sum(labellings(lattice, row).values()), abs=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_viterbi_equals_enumeration(seed):
    lattice = random_lattice(LENGTHS, seed)
    best = lattice.best_labels()
    for row, length in enumerate(LENGTHS):
        scores = labellings(lattice, row)
        assert tuple(best[row, :length].tolist()) == max(scores, key=scores.__getitem__)
        assert not best[row, length:].any()


def ranking(lattice: Lattice, row: int) -> list[tuple[tuple[int, ...], float]]:
    """The legal labellings of one sequence and their log-probabilities, the best first; equal ones
    by the last label that differs."""
    scores = labellings(lattice, row)
    total = log_sum(scores.values())
    legal = [(path, score - total) for path, score in scores.items() if score > FORBIDDEN / 2]
    return sorted(legal, key=lambda pair: (-pair[1], pair[0][::-1]))


def check_best_labellings(lattice: Lattice, k: int) -> None:
    labels, log_probabilities = lattice.best_labellings(k)
    assert labels.shape == (len(LENGTHS), k, max(LENGTHS))
    for row, length in enumerate(LENGTHS):
        expected = ranking(lattice, row)[:k]
        found = [tuple(path) for path in labels[row, :, :length].tolist()][: len(expected)]
        assert found == [path for path, _ in expected]
        values = log_probabilities[row].tolist()
        assert values[: len(expected)] == pytest.approx([v for _, v in expected], abs=1e-6)
        assert values[len(expected) :] == [-math.inf] * (k - len(expected))
        assert not labels[row, :, length:].any()


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("seed", range(3))
def test_k_best_labellings_equal_enumeration(seed, k):
    check_best_labellings(random_lattice(LENGTHS, seed), k)
    check_best_labellings(random_lattice(LENGTHS, seed).tempered(2.5), k)


def test_asking_for_more_labellings_than_there_are_gives_all_legal_ones():
    check_best_labellings(random_lattice(LENGTHS), 400)


def test_labellings_of_equal_scores_come_in_a_fixed_order():
    lattice = random_lattice(LENGTHS)
    for scores in (lattice.emissions, lattice.transitions, lattice.start, lattice.end):
        scores[scores > FORBIDDEN / 2] = 0.0
    check_best_labellings(lattice, 60)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_a_temperature_is_a_power_of_every_labelling_and_leaves_the_best_one(temperature):
    lattice = random_lattice(LENGTHS)
    tempered = lattice.tempered(temperature)
    assert torch.equal(tempered.best_labels(), lattice.best_labels())
    for row in range(len(LENGTHS)):
        before, after = labellings(lattice, row), labellings(tempered, row)
        for path, score in before.items():
            if score > FORBIDDEN / 2:
                assert after[path] == pytest.approx(score / temperature)
            else:
                assert after[path] < FORBIDDEN / 2


def test_a_temperature_for_each_sequence_is_that_of_the_sequence_alone():
    lattice = random_lattice(LENGTHS, 0)
    temperatures = [0.5 + 0.7 * row for row in range(len(LENGTHS))]
    together = lattice.tempered(torch.tensor(temperatures))
    assert torch.equal(together.best_labels(), lattice.best_labels())
    entities = lattice.best_entities()
    for row, temperature in enumerate(temperatures):
        alone = lattice.tempered(temperature)
        assert torch.allclose(together.marginals()[row], alone.marginals()[row], atol=1e-5)
        assert together.log_partition()[row] == pytest.approx(float(alone.log_partition()[row]))
        for mixed, single in zip(
            together.best_labellings(3), alone.best_labellings(3), strict=True
        ):
            assert torch.allclose(mixed[row].float(), single[row].float(), atol=1e-5)
        own = entities[entities[:, 0] == row]
        assert torch.allclose(
            together.span_log_probabilities(own), alone.span_log_probabilities(own), atol=1e-5
        )


@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_marginals_equal_enumeration(seed, temperature):
    lattice = random_lattice(LENGTHS, seed).tempered(temperature)
    marginals = lattice.marginals()
    for row, length in enumerate(LENGTHS):
        scores = labellings(lattice, row)
        total = log_sum(scores.values())
        for t, label in product(range(length), range(len(LABELS))):
            expected = log_sum(s for path, s in scores.items() if path[t] == label) - total
            assert float(marginals[row, t, label].exp()) == pytest.approx(
                math.exp(expected), abs=1e-8
            )
        assert not marginals[row, length:].any()


def test_marginals_are_the_gradient_of_log_partition():
    lattice = random_lattice(LENGTHS)
    lattice.emissions.requires_grad_()
    (gradient,) = torch.autograd.grad(lattice.log_partition().sum(), lattice.emissions)
    marginals = lattice.marginals().exp() * lattice.mask.unsqueeze(2)
    torch.testing.assert_close(gradient, marginals)


def test_marginals_are_differentiable_and_work_in_inference_mode():
    lattice = random_lattice(LENGTHS)
    with torch.inference_mode():
        assert lattice.marginals().isfinite().all()
    lattice.emissions.requires_grad_()
    lattice.marginals()[0, 1, 1].backward()
    assert lattice.emissions.grad.isfinite().all()
    assert lattice.emissions.grad[0].any()


@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_span_probabilities_equal_enumeration(seed, temperature):
    lattice = random_lattice(LENGTHS, seed).tempered(temperature)
    spans = [
        (row, start, end, entity_type)
        for row, length in enumerate(LENGTHS)
        for start in range(length)
        for end in range(start + 1, length + 1)
        for entity_type in range(len(TYPES))
    ]
    log_probabilities = lattice.span_log_probabilities(torch.tensor(spans))
    for (row, *entity), value in zip(spans, log_probabilities.tolist(), strict=True):
        scores = labellings(lattice, row)
        holding = [s for path, s in scores.items() if tuple(entity) in entities(path)]
        expected = log_sum(holding) - log_sum(scores.values())
        assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_absence_is_that_of_the_least_certain_token_outside_of_the_entities(seed, temperature):
    lattice = random_lattice(LENGTHS, seed).tempered(temperature)
    found = lattice.best_entities()
    values = lattice.absence_log_probabilities(found, len(LENGTHS)).exp().tolist()
    assert len(found), "a test without an entity shows nothing"
    for row, length in enumerate(LENGTHS):
        scores = labellings(lattice, row)
        total = log_sum(scores.values())
        covered = {t for r, first, end, _ in found.tolist() if r == row for t in range(first, end)}
        outside = [
            math.exp(log_sum(s for path, s in scores.items() if path[t] == 0) - total)
            for t in range(length)
            if t not in covered
        ]
        assert values[row] == pytest.approx(min(outside, default=1.0), abs=1e-8)
    assert lattice.absence_log_probabilities(found[:0], len(LENGTHS)).exp().min() <= min(values)


@pytest.mark.parametrize("seed", range(3))
def test_best_entities_are_those_of_the_best_labelling(seed):
    lattice = random_lattice([5, 1, 0, 6, 6], seed)
    expected = [
        (row, *entity)
        for row, path in enumerate(lattice.best_labels().tolist())
        for entity in sorted(entities(tuple(path)))
    ]
    assert [tuple(entity) for entity in lattice.best_entities().tolist()] == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["O"], []),
        (["B-PER", "I-PER", "O"], [(0, 2, 0)]),
        (["B-PER", "B-PER", "I-PER"], [(0, 1, 0), (1, 3, 0)]),
        (["O", "B-LOC", "B-PER", "I-PER"], [(1, 2, 1), (2, 4, 0)]),
    ],
)
def test_entities_are_read_from_a_labelling(labels, expected):
    path = torch.tensor([[LABELS.index(label) for label in labels]])
    assert [tuple(row[1:]) for row in label_entities(path).tolist()] == expected


def test_missing_labels_are_marginalised():
    lattice = random_lattice([4])
    allowed = torch.zeros(1, 4, len(LABELS), dtype=torch.bool)
    known = {0: LABELS.index("B-LOC"), 2: LABELS.index("O")}
    for t in range(4):
        allowed[0, t, known[t] if t in known else slice(None)] = True
    scores = labellings(lattice, 0)
    agreeing = [s for path, s in scores.items() if all(path[t] == k for t, k in known.items())]
    expected = log_sum(scores.values()) - log_sum(agreeing)
    assert negative_log_likelihood(lattice, allowed).item() == pytest.approx(expected, abs=1e-8)


def test_likelihood_equals_pytorch_crf():
    lattice = random_lattice([4, 2])
    reference = torchcrf.CRF(len(LABELS), batch_first=True).double()
    reference.transitions.data = lattice.transitions.detach()
    reference.start_transitions.data = lattice.start.detach()
    reference.end_transitions.data = lattice.end.detach()
    tags = torch.tensor([[1, 2, 0, 3], [3, 4, 0, 0]])
    allowed = torch.nn.functional.one_hot(tags, len(LABELS)).bool()
    expected = -reference(lattice.emissions, tags, mask=lattice.mask, reduction="none")
    torch.testing.assert_close(negative_log_likelihood(lattice, allowed), expected)


def test_lattices_that_share_a_recursion_have_the_sums_of_their_own():
    lattices = [random_lattice([4, 0, 2]), random_lattice([4, 1, 3]), random_lattice([4])]
    lattices.append(lattices[0].mirror())
    for lattice, found in zip(lattices, sum_forward(lattices), strict=True):
        torch.testing.assert_close(found, sum_forward([lattice])[0])
        expected = [log_sum(labellings(lattice, row).values()) for row in range(len(found))]
        torch.testing.assert_close(lattice.partition_of(found), torch.tensor(expected).double())


def test_the_losses_of_two_crfs_need_one_recursion(monkeypatch):
    """On a GPU the number of operations is the time."""
    calls = []
    sum_up = torch.logsumexp
    monkeypatch.setattr(
        torch, "logsumexp", lambda *args, **kw: calls.append(1) or sum_up(*args, **kw)
    )

    def count(length: int) -> int:
        calls.clear()
        teacher, student = random_lattice([length]), random_lattice([length])
        tied_losses(teacher, student, torch.ones(1, length, len(LABELS), dtype=torch.bool))
        return len(calls)

    assert count(30) - count(10) == 20


def test_only_legal_labellings_are_decoded():
    lattice = random_lattice([6])
    inside = [LABELS.index("I-PER"), LABELS.index("I-LOC")]
    lattice.emissions[:, :, inside] += 50.0
    path = [LABELS[i] for i in lattice.best_labels()[0].tolist()]
    for before, label in zip(["O", *path], path, strict=False):
        if label.startswith("I-"):
            assert before[1:] == label[1:]


def test_forbidden_transitions_are_a_finite_mask_and_no_parameter():
    crf = BioCRF(2)
    assert set(dict(crf.named_parameters())) == {
        "scores.start_transitions",
        "scores.end_transitions",
        "scores.transitions",
    }
    assert "forbidden_transitions" not in crf.state_dict()
    lattice = crf(torch.zeros(1, 1, 5), torch.ones(1, 1, dtype=torch.bool))
    assert lattice.transitions.isfinite().all()
    assert lattice.transitions[LABELS.index("O"), LABELS.index("I-PER")] < FORBIDDEN / 2
    assert lattice.transitions[LABELS.index("B-PER"), LABELS.index("I-LOC")] < FORBIDDEN / 2
    assert lattice.transitions[LABELS.index("B-PER"), LABELS.index("I-PER")] > FORBIDDEN / 2


def test_batches_without_any_token():
    lattice = BioCRF(2)(torch.zeros(2, 0, 5), torch.zeros(2, 0, dtype=torch.bool))
    assert lattice.log_partition().tolist() == [0.0, 0.0]
    assert lattice.best_labels().shape == (2, 0)
    assert lattice.best_labellings(2)[1].tolist() == [[0.0, -math.inf]] * 2
    assert lattice.marginals().shape == (2, 0, 5)
    nothing = torch.zeros(0, 4, dtype=torch.long)
    assert lattice.absence_log_probabilities(nothing, 2).tolist() == [0.0, 0.0]


def test_interpolation_mixes_every_score():
    first, second = random_lattice([3], 0), random_lattice([3], 1)
    mixed = first.interpolate(second, 0.25)
    for name in ("emissions", "transitions", "start", "end"):
        expected = 0.75 * getattr(first, name) + 0.25 * getattr(second, name)
        torch.testing.assert_close(getattr(mixed, name), expected)
