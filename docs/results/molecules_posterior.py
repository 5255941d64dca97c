"""Gives the shipped model molecules-hcnof the posterior of its network's last layer; it was fitted without one.

    python docs/results/molecules_posterior.py

A run of ``local-network`` does the same when it is fitted. The posterior is that of about 200 points of each training
molecule; the factor of the expected errors is that of the five validation molecules. Both are written into the folder
of the model, whose hashes are printed.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from edframe_local import linear
from edframe_local.local_network import LocalNetworkFeaturizer
from molecules_errors import MODEL, at_points, trained_on
from safetensors import safe_open

import edframe
from edframe.runs.tensors import CHECKSUM, check, pieces

POINTS = 200


def main() -> None:
    """Write ``posterior.factor`` into the featurizer's state, and ``judged`` into the header of the weights."""
    model = edframe.load("molecules-hcnof")
    featurizer = model._predictor.featurizer
    assert isinstance(featurizer, LocalNetworkFeaturizer)
    every, parts = trained_on()
    draws = featurizer.drawn([every[i] for i in parts.train], POINTS * len(parts.train))
    tables = [linear.tabulated(featurizer.basis, drawn, "cpu") for drawn in draws]
    answer = torch.cat([(table.double() @ featurizer.coefficients).float() for table in tables])
    base, volume = (
        torch.from_numpy(np.concatenate([getattr(d, name) for d in draws])).float() for name in ("base", "volume")
    )
    featurizer.judge(torch.cat(tables)[:, : featurizer.seen], base, answer, volume)
    errors, expected = [], []
    for i in parts.validation:
        sample = every[i]
        errors.append(at_points(model, sample)[0])
        expected.append(100 * (featurizer.expected_error(sample.structure, sample.grid) or 0) / sample.electrons)
    print(
        "validation: NMAE",
        np.round(errors, 2),
        "expected",
        np.round(np.array(expected) * sum(errors) / sum(expected), 2),
    )
    put("checkpoints/featurizer.safetensors", {"posterior.factor": featurizer.posterior.factor}, {})
    put("checkpoints/best.safetensors", {}, {"judged": repr(sum(errors) / sum(expected))})


def put(name: str, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
    """Write a file again with these tensors and entries of its header, and what else it holds; print its hash."""
    path = MODEL / name
    with safe_open(path, "pt") as file:
        known = {key: text for key, text in (file.metadata() or {}).items() if key != CHECKSUM}
        kept = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    ordered, text = (dict(sorted(part.items())) for part in ({**kept, **tensors}, {**known, **header}))
    path.write_bytes(b"".join(pieces(ordered, text)))  # in one order, so that its hash is the same again
    check(path)
    print(f'    "{name}": "{hashlib.sha256(path.read_bytes()).hexdigest()}",')


if __name__ == "__main__":
    main()
