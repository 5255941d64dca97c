"""The light module: what it offers, what it refuses, and what it does not import."""

import subprocess
import sys

import pytest
from edframe_gaussian.plugin import GaussianConfig, SADConfig, edframe_featurizers
from pydantic import ValidationError


def test_importing_the_plugin_imports_no_torch():
    code = (
        "import sys, edframe_gaussian.plugin; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pymatgen')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_offers_three_featurizers():
    offered = [(c.kind, c.name) for c in edframe_featurizers()]
    assert offered == [("featurizer", "gaussian"), ("featurizer", "atoms"), ("featurizer", "sad")]


@pytest.mark.parametrize("config", [GaussianConfig, SADConfig])
@pytest.mark.parametrize("widths", [(0.0,), (-0.5,), (0.5, 2.1), (float("nan"),), (0.5, 0.5), ("wide",)])
def test_impossible_widths_are_refused(config, widths):
    with pytest.raises(ValidationError, match="widths"):
        config(widths=widths)


def test_no_widths_are_possible_only_beside_densities():
    assert SADConfig(widths=()).widths == ()
    with pytest.raises(ValidationError, match="at least 1 item"):
        GaussianConfig(widths=())


def test_a_misspelt_kind_of_channel_is_refused_with_the_choices():
    with pytest.raises(ValidationError, match="'per_species' or 'per_atom'"):
        GaussianConfig(channels="per_element")
