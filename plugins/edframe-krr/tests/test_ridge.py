"""Kernel ridge regression and its cross-validation against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_krr.ridge import combined, cross_validated, gaussian, inverted, squared_distances
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.preprocessing import StandardScaler

RNG = np.random.default_rng(0)
INPUTS, OTHERS = RNG.normal(size=(24, 5)), RNG.normal(size=(7, 5))
TARGETS = np.sin(INPUTS @ RNG.normal(size=(5, 4))) + 3


def on_centred_targets(**options):
    return TransformedTargetRegressor(KernelRidge(kernel="rbf", **options), transformer=StandardScaler(with_std=False))


@pytest.mark.parametrize(("width", "regularisation"), [(1.5, 1e-3), (4.0, 1e-6), (0.5, 1.0)])
def test_predictions_are_those_of_scikit_learn(width, regularisation) -> None:
    x, z, y = map(torch.from_numpy, (INPUTS, OTHERS, TARGETS))
    inverse = inverted(gaussian(squared_distances(x, x), width), regularisation)
    weights = combined(gaussian(squared_distances(z, x), width), inverse)
    reference = on_centred_targets(alpha=regularisation, gamma=1 / (2 * width**2)).fit(INPUTS, TARGETS)
    np.testing.assert_allclose(weights @ y, reference.predict(OTHERS), rtol=0, atol=1e-8)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=0, atol=1e-12)


def test_cross_validation_is_that_of_scikit_learn() -> None:
    widths, regularisations, folds = (0.7, 1.5, 3.0, 6.0), (1e-6, 1e-4, 1e-2, 1.0), 4
    x, y = torch.from_numpy(INPUTS), torch.from_numpy(TARGETS)
    result = cross_validated(squared_distances(x, x), y @ y.T, widths, regularisations, folds)
    search = GridSearchCV(
        on_centred_targets(),
        {"regressor__gamma": [1 / (2 * width**2) for width in widths], "regressor__alpha": regularisations},
        scoring="neg_mean_squared_error",
        cv=PredefinedSplit(np.arange(len(INPUTS)) % folds),
    ).fit(INPUTS, TARGETS)
    best = search.best_params_
    assert (1 / (2 * result.width**2), result.regularisation) == (best["regressor__gamma"], best["regressor__alpha"])
    assert result.error == pytest.approx(-search.best_score_ * TARGETS.shape[1], rel=1e-8)


def test_fewer_samples_than_folds_are_each_held_out() -> None:
    x = torch.from_numpy(INPUTS[:3])
    y = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    result = cross_validated(squared_distances(x, x), y @ y.T, [1e-3], [1e-9], 5)
    # A kernel that narrow knows nothing of other samples: the prediction is the mean of the two that are left.
    assert result.error == pytest.approx(((1 - 3) ** 2 + (2 - 2.5) ** 2 + (4 - 1.5) ** 2) / 3)
