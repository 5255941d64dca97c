"""Training of the network per point: its optimiser against PyTorch's, its inputs against their covariance."""

from __future__ import annotations

import pytest
import torch
from edframe_local.network import PointNetwork, components, train
from edframe_local.orthogonal import Orthogonal, orthogonalised


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (12, 12)])
def test_singular_values_become_alike_and_vectors_stay(shape) -> None:
    matrix = normal(*shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.T @ orthogonalised(matrix) @ v.T
    values = turned.diagonal()
    assert values.min() > 0.6
    assert values.max() < 1.3
    torch.testing.assert_close(turned, torch.diag(values), rtol=0, atol=1e-4)


def test_a_step_goes_against_the_gradient_and_is_as_large_as_one_of_adam() -> None:
    gradient = normal(24, 40) @ torch.diag(torch.logspace(0, -3, 40))
    matrix = torch.nn.Parameter(torch.zeros(24, 40))
    optimiser = Orthogonal([matrix], lr=0.05)
    matrix.grad = gradient.clone()
    optimiser.step()
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    assert float((matrix.detach() * (u @ v)).sum()) < -0.9 * float(matrix.detach().norm() * (u @ v).norm())
    assert float(matrix.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.05, rel=0.3)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has it from 2.9 on; the pinned version does")
def test_steps_are_those_of_pytorch() -> None:
    """torch.optim.Muon, which computes in bfloat16."""
    start, ours, theirs = normal(24, 40), *(torch.nn.Parameter(normal(24, 40)) for _ in range(2))
    optimisers = [
        Orthogonal([ours], lr=0.05),
        torch.optim.Muon([theirs], lr=0.05, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
    ]
    for step in range(3):
        ours.grad = theirs.grad = normal(24, 40, seed=step)
        for optimiser in optimisers:
            optimiser.step()
    moved = (theirs - start).detach()
    assert float((ours - theirs).detach().norm() / moved.norm()) < 0.02


def test_components_are_uncorrelated_and_without_directions_that_are_not_there() -> None:
    inputs = normal(4000, 3) @ torch.tensor([[9.0, 1.0, 0.0, 2.0], [0.0, 0.3, 0.0, 1.0], [0.01, 0.0, 0.02, 0.0]])
    inputs = torch.cat([inputs, inputs[:, :1]], 1) + 5
    centre, projection = components(inputs)
    assert projection.shape == (5, 3)
    covariance = torch.cov(((inputs - centre) @ projection).T)
    variances = covariance.diagonal()
    torch.testing.assert_close(covariance, torch.diag(variances), rtol=0, atol=1e-3 * float(variances.max()))
    original = torch.linalg.eigvalsh(torch.cov(inputs.T)).flip(0)
    assert variances[0] / variances[2] == pytest.approx(float(original[0] / original[2]) ** 0.25, rel=0.02)


def test_the_network_that_was_trained_is_the_one_that_remains() -> None:
    functions, base = normal(3000, 10), normal(3000, 1, seed=1).abs() + 0.1
    linear = 0.01 * normal(3000, 1, seed=2)
    network = PointNetwork(10, 1, 24, 2)
    target = base + linear + 0.02 * base * torch.sin(functions[:, :1])
    train(
        network, functions, base, linear, target, torch.ones(3000), steps=300, points=256, rate=5e-3, seed=0
    )  # fmt: skip
    with torch.no_grad():
        rest = (target - base - linear - network(functions, base, linear)).abs().mean()
    remains = float(rest / (target - base - linear).abs().mean())
    assert remains < 0.2
