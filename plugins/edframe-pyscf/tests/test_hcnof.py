"""The training set of molecules-hcnof: without the held-out molecules, and labels at the level stated."""

import json
import re
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from edframe_pyscf.geometries import read
from edframe_pyscf.hcnof import GEOMETRIES, HCNOF, bonds, graph
from edframe_pyscf.levels import PBE_TZV2P_200, PBE_TZV2P_QUICK
from edframe_pyscf.molecules import label
from edframe_pyscf.plugin import HCNOFConfig
from edframe_pyscf.qm9 import boxed
from rdkit import Chem

SHARED = Path(__file__).parents[4] / "shared" / "data" / "geometries"
FRAMES = re.findall(r'^smiles="(.+)" kelvin=(\d+)$', GEOMETRIES.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def held_out():
    """Each frame of the test files."""
    if not SHARED.exists():
        pytest.skip(f"the geometries that are held out are not there ({SHARED})")
    return [frame for file in sorted(SHARED.glob("*.xyz")) for frame in ase.io.read(file, ":")]


@pytest.fixture(scope="module")
def molecules():
    return read(GEOMETRIES, None, PBE_TZV2P_QUICK)


def test_no_held_out_molecule_is_in_the_list_whatever_its_geometry(molecules, held_out):
    """The graph of bonds, with hydrogen, is coarser than a canonical SMILES: it tells fewer molecules apart."""
    tested = {graph(frame.get_chemical_symbols(), frame.positions) for frame in held_out}
    assert len(tested) > 100
    ours = [graph(molecule.species, molecule.positions) for molecule in molecules]
    assert not tested & {*ours}
    assert len({*ours}) == len(ours) == 600


def test_no_held_out_smiles_is_in_the_list(held_out):
    from rdkit.Chem import rdDetermineBonds

    tested = set()
    for frame in held_out:
        rows = [f"{s} {x:.8f} {y:.8f} {z:.8f}" for s, (x, y, z) in zip(frame.symbols, frame.positions, strict=True)]
        mol = Chem.MolFromXYZBlock("\n".join([str(len(frame)), "", *rows]))
        if "S" in frame.symbols:  # no such element is in the list
            continue
        rdDetermineBonds.DetermineBonds(mol, charge=0)
        tested.add(Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False))
    assert {"C", "CCO"} <= tested
    assert not tested & {Chem.CanonSmiles(smiles) for smiles, _ in FRAMES}


def test_each_frame_is_the_molecule_of_its_smiles(molecules):
    for molecule, (smiles, _) in zip(molecules, FRAMES, strict=True):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        assert [atom.GetSymbol() for atom in mol.GetAtoms()] == [*molecule.species]
        wanted = {tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in mol.GetBonds()}
        assert bonds(molecule.species, molecule.positions) == wanted
        assert mol.GetNumHeavyAtoms() <= 7


def test_any_first_part_has_every_element_and_both_kinds_of_geometry():
    first = FRAMES[:40]
    assert {"C", "N", "O", "F"} <= set("".join(smiles.upper() for smiles, _ in first))
    assert 10 <= sum(kelvin == "0" for _, kelvin in first) <= 30


def test_a_part_keeps_its_labels_in_the_same_place_with_the_same_keys():
    some, every = HCNOF(HCNOFConfig(samples=20)), HCNOF(HCNOFConfig())
    assert some.folder == every.folder
    assert [job.key for job in some.jobs()] == [job.key for job in every.jobs()[:20]]
    assert json.dumps(some.jobs()[0].inputs)


@pytest.mark.slow
@pytest.mark.parametrize("smiles", ["CF", "C#CF"])
def test_the_quick_level_changes_a_density_by_less_than_a_fiftieth_of_a_percent(molecules, smiles):
    place = [name for name, _ in FRAMES].index(smiles)
    quick = label(boxed(molecules[place], PBE_TZV2P_QUICK)).density.astype(float)
    published = label(boxed(molecules[place], PBE_TZV2P_200)).density.astype(float)
    nmae = 100 * np.abs(quick - published).sum() / published.sum()
    print(f"{smiles}: {nmae:.4f} %")
    assert nmae < 0.02


def test_the_quick_level_differs_in_mesh_and_thresholds_alone():
    assert replace(
        PBE_TZV2P_QUICK, name=PBE_TZV2P_200.name, spacing=PBE_TZV2P_200.spacing, conv_tol=1e-11, precision=1e-8
    ) == PBE_TZV2P_200  # fmt: skip
