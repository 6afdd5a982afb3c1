"""The temperature is the one that entities of known odds ask for."""

import pytest
import torch

from spacy_msvse.network.calibration import LIMIT, Judged, fit_temperature, is_limit, log_loss
from spacy_msvse.network.crf import Lattice


def coins(share_right: float, logit: float, count: int = 1000) -> Judged:
    """Posts of one token that is an entity by a probability of sigmoid(logit), and of which a share
    is right."""
    emissions = torch.zeros(count, 1, 3, dtype=torch.double)
    emissions[:, :, 1] = logit
    emissions[:, :, 2] = -1e4
    lattice = Lattice(
        emissions,
        torch.zeros(3, 3, dtype=torch.double),
        torch.zeros(3, dtype=torch.double),
        torch.zeros(3, dtype=torch.double),
        torch.ones(count, 1, dtype=torch.bool),
    )
    entities = torch.zeros(count, 4, dtype=torch.long)
    entities[:, 0] = torch.arange(count)
    return Judged(lattice, entities, torch.arange(count) < share_right * count)


@pytest.mark.parametrize(("share", "logit"), [(0.8, 4.0), (0.9, 1.0), (0.6, 0.4)])
def test_the_temperature_makes_confidence_the_share_that_is_right(share, logit):
    batches = [coins(share, logit, 100), coins(share, logit, 900)]
    expected = logit / torch.logit(torch.tensor(share)).item()
    assert fit_temperature(batches) == pytest.approx(expected, rel=1e-3)


def test_the_fit_lowers_the_log_loss():
    batches = [coins(0.7, 5.0)]
    assert log_loss(batches, fit_temperature(batches)) < log_loss(batches, 1.0)


@pytest.mark.parametrize("count", [20, 200])
def test_entities_that_are_all_right_make_the_next_one_likely_but_not_certain(count):
    """By Laplace's rule of succession, right n times of n is n + 1 of n + 2 for the next."""
    expected = 1.0 / torch.logit(torch.tensor((count + 1) / (count + 2))).item()
    fitted = fit_temperature([coins(1.0, 1.0, count)])
    assert fitted == pytest.approx(expected, rel=1e-3)
    assert not is_limit(fitted)


def test_entities_that_are_all_wrong_ask_for_a_limit():
    fitted = fit_temperature([coins(0.0, 1.0)])
    assert fitted == pytest.approx(LIMIT, rel=0.05)
    assert is_limit(fitted)
    assert not is_limit(fit_temperature([coins(0.999, 4.0)]))


def test_what_was_read_in_inference_mode_can_be_fitted_to():
    batch = coins(0.8, 4.0)
    with torch.inference_mode():
        lattice = Lattice(
            batch.lattice.emissions.float(),
            *(getattr(batch.lattice, name).float() for name in ("transitions", "start", "end")),
            batch.lattice.mask.clone(),
        )
    judged = Judged(lattice.double(), batch.entities, batch.right)
    assert fit_temperature([judged]) == pytest.approx(fit_temperature([batch]), rel=1e-4)
