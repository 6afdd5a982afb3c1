"""The optimiser: the settings of Thinc, computed by torch."""

import pytest
import torch
from thinc.api import SGD, Adam, Optimizer, RAdam
from torch import nn

from spacy_msvse.component.optimizer import NetworkOptimizer


def make_parameters() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {
        "weight": nn.Parameter(torch.randn(5, 3)),
        "matrix": nn.Parameter(torch.randn(2, 4)),
        "bias": nn.Parameter(torch.randn(5)),
    }


def make_optimizer(settings: Optimizer, parameters, **factors: float) -> NetworkOptimizer:
    return NetworkOptimizer(
        settings, parameters, {name: factors.get(name, 1.0) for name in parameters}
    )


def set_gradients(parameters, seed: int, scale: float = 1.0) -> None:
    torch.manual_seed(seed)
    for parameter in parameters.values():
        parameter.grad = scale * torch.randn_like(parameter)


def values(parameters) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("make", [Adam, SGD])
def test_equals_thincs_own_arithmetic(make, decoupled):
    """Ten steps with a schedule, for the parameters that both update in the same way. Weights decay
    before the step in torch and after it in Thinc: a difference of second order."""
    names = ("weight", "matrix")

    def make_settings():
        rates = (1e-3 / (step + 1) for step in range(100))
        return make(rates, L2=0.01, L2_is_weight_decay=decoupled, grad_clip=0.0, use_averages=False)

    ours = {name: p for name, p in make_parameters().items() if name in names}
    theirs = {name: p.detach().numpy().copy() for name, p in ours.items()}
    settings, reference = make_settings(), make_settings()
    optimizer = make_optimizer(settings, ours)
    for step in range(10):
        set_gradients(ours, seed=step)
        for name in names:
            gradient = ours[name].grad.numpy().copy()
            theirs[name], _ = reference((1, name), theirs[name], gradient)
        optimizer.step()
        settings.step_schedules()
        reference.step_schedules()
    for name in names:
        torch.testing.assert_close(
            ours[name].detach(),
            torch.from_numpy(theirs[name]),
            atol=1e-6,
            rtol=0,
        )


def test_the_small_values_of_early_steps_equal_thincs_too():
    """Epsilon matters here, so it must be at the same place of the formula as in Thinc."""
    parameters = {"weight": nn.Parameter(torch.zeros(4, 4))}
    theirs = parameters["weight"].detach().numpy().copy()
    settings = Adam(0.01, eps=1e-3, grad_clip=0.0, use_averages=False)
    optimizer = make_optimizer(settings, parameters)
    for step in range(3):
        set_gradients(parameters, seed=step, scale=1e-3)
        gradient = parameters["weight"].grad.numpy().copy()
        theirs, _ = settings((1, "weight"), theirs, gradient)
        optimizer.step()
    torch.testing.assert_close(parameters["weight"].detach(), torch.from_numpy(theirs))


def test_the_norm_of_all_gradients_together_is_clipped():
    parameters = make_parameters()
    before = values(parameters)
    settings = SGD(1.0, grad_clip=0.5, use_averages=False)
    set_gradients(parameters, seed=1, scale=10.0)
    gradients = {name: p.grad.clone() for name, p in parameters.items()}
    make_optimizer(settings, parameters).step()
    norm = torch.cat([g.flatten() for g in gradients.values()]).norm()
    for name, parameter in parameters.items():
        expected = before[name] - gradients[name] * 0.5 / norm
        torch.testing.assert_close(parameter.detach(), expected)


def test_small_gradients_are_not_clipped():
    parameters = make_parameters()
    before = values(parameters)
    set_gradients(parameters, seed=1, scale=1e-3)
    gradients = {name: p.grad.clone() for name, p in parameters.items()}
    make_optimizer(SGD(1.0, grad_clip=0.5, use_averages=False), parameters).step()
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.detach(), before[name] - gradients[name])


@pytest.mark.parametrize("make", [Adam, SGD, RAdam])
@pytest.mark.parametrize("decoupled", [True, False])
def test_biases_do_not_decay(make, decoupled):
    parameters = make_parameters()
    before = values(parameters)
    settings = make(0.1, L2=0.5, L2_is_weight_decay=decoupled, use_averages=False)
    optimizer = make_optimizer(settings, parameters)
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(parameters["bias"], before["bias"])
    assert (parameters["weight"].abs() < before["weight"].abs()).all()


@pytest.mark.parametrize("make", [Adam, SGD, RAdam])
def test_factors_scale_the_learning_rate(make):
    parameters = make_parameters()
    before = values(parameters)
    settings = make(0.1, grad_clip=0.0, use_averages=False)
    optimizer = make_optimizer(settings, parameters, matrix=0.25, bias=0.0)
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: (before[name] - p).abs().mean() for name, p in parameters.items()}
    torch.testing.assert_close(moved["matrix"], 0.25 * moved["weight"], atol=1e-5, rtol=1e-3)
    assert moved["bias"] == 0


def test_averages_follow_the_weights():
    parameters = make_parameters()
    first = values(parameters)
    optimizer = make_optimizer(SGD(1.0, grad_clip=0.0, use_averages=True), parameters)
    set_gradients(parameters, seed=1)
    optimizer.step()
    decay = 2 / 11
    for name, parameter in parameters.items():
        expected = decay * first[name] + (1 - decay) * parameter.detach()
        torch.testing.assert_close(optimizer.averages[name], expected)


def test_without_averages_none_are_kept():
    assert not make_optimizer(Adam(0.1, use_averages=False), make_parameters()).averages


def test_a_step_without_gradients_does_nothing():
    parameters = make_parameters()
    before = values(parameters)
    make_optimizer(Adam(0.1, L2=0.1), parameters).step()
    assert all(torch.equal(p, before[name]) for name, p in parameters.items())
