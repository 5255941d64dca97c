"""The posterior of the network's last layer, against a Gaussian process of scikit-learn, and the error it expects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_local.local_network import LocalNetworkFeaturizer
from edframe_local.plugin import LocalNetworkConfig
from edframe_local.posterior import PRIOR, Posterior
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

from edframe.testing import examples

NETWORK = {
    "cutoff": 3.0, "pairs": 6, "radial": 3, "angular": 2, "triples": 20, "products": 0, "points": 1000, "steps": 40,
    "width": 16, "inputs": 10, "table": 1000, "batch": 128, "rate": 0.02, "folds": 2,
}  # fmt: skip


def test_deviations_are_those_of_a_ridge_regression() -> None:
    """A Gaussian process with the kernel h·h'/λ and a noise of one is that regression; 50 points of equal volume."""
    hidden = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    posterior = Posterior(4).double()
    assert not posterior.known
    posterior.fit(hidden[:50], torch.full((50,), 0.3, dtype=torch.float64))
    assert posterior.known
    rows = np.column_stack([hidden.numpy(), np.ones(60)])
    prior = 50 * PRIOR * np.linalg.eigvalsh(rows[:50].T @ rows[:50] / 50)[-1]
    process = GaussianProcessRegressor(
        ConstantKernel(1 / prior, "fixed") * DotProduct(0, "fixed"), alpha=1.0, optimizer=None
    )
    _, expected = process.fit(rows[:50], rows[:50, 0]).predict(rows[50:], return_std=True)
    np.testing.assert_allclose(posterior.deviations(hidden[50:]).numpy() / 50**0.5, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def fitted() -> LocalNetworkFeaturizer:
    featurizer = LocalNetworkFeaturizer(LocalNetworkConfig(**NETWORK), examples.CONTENTS)
    featurizer.fit(examples.labelled(4))
    return featurizer


def test_a_stretched_molecule_is_expected_to_be_wrong_by_more(fitted) -> None:
    sample = examples.labelled(4)[0]
    far = sample.structure.copy()
    far.translate_sites([0], [0.12, -0.1, 0.1])
    usual = fitted.expected_error(sample.structure, sample.grid)
    assert 0 < 1.05 * usual < fitted.expected_error(far, sample.grid)
    assert fitted.expected_error(sample.structure, sample.grid) == usual


def test_an_older_state_expects_no_error(fitted) -> None:
    other = LocalNetworkFeaturizer(LocalNetworkConfig(**NETWORK), examples.CONTENTS)
    other.restore({name: tensor for name, tensor in fitted.state().items() if name != "posterior.factor"})
    sample = examples.labelled(2)[0]
    assert other.expected_error(sample.structure, sample.grid) is None
    other.restore(fitted.state())
    assert other.expected_error(sample.structure, sample.grid) == fitted.expected_error(sample.structure, sample.grid)
