"""Cycles of PySCF from the density that molecules-hcnof predicts, and from PySCF's own start.

    edframe data build qm9-li2025 --set data.file=../shared/data/geometries/qm9_100.xyz
    python docs/results/molecules_starts.py ../shared/data/geometries/qm9_100.xyz

Every tenth of the hundred molecules, in the periodic box of its label, PBE, gth-tzv2p, the mesh of pbe-tzv2p-quick
(0.105 Å), to 1e-9 hartree and a gradient of 1e-5. A density starts PySCF at every second point of the label's grid: the
predicted one, and as the best that a model can be, the label. The seconds are those of the processor; "before" is the
prediction and the three Fock matrices of the start. One line of JSON for each start, in molecules_starts.jsonl beside
this script; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from edframe_pyscf.levels import PBE_TZV2P_QUICK
from edframe_pyscf.plugin import QM9Config
from edframe_pyscf.qm9 import QM9
from edframe_pyscf.scf import LADDER, cell_of, drive
from pages import record, records
from pyscf.pbc import dft

import edframe
from edframe.grid import Grid
from edframe.io.volume import Volume
from edframe.restart.fock import dm0
from edframe.sample import Sample

RESULTS = Path(__file__).with_name("molecules_starts.jsonl")
STARTS = ("default", "molecules-hcnof", "label")


def measured(model: edframe.Trained, sample: Sample, start: str) -> dict[str, Any]:
    """Cycles and seconds of an SCF from a start. Raises SystemExit when it does not converge."""
    cell = cell_of(sample.structure, PBE_TZV2P_QUICK)
    field, began = dft.RKS(cell).multigrid_numint(), time.process_time()
    field.xc, matrix = "pbe", None
    if start != "default":
        values = sample.density[0, ::2, ::2, ::2].astype(float)
        grid = Grid.of(sample.structure.lattice.matrix, values.shape)
        if start != "label":
            values = model(sample.structure, grid=grid.shape, electrons=sample.electrons).values[0].astype(float)
        matrix = dm0(field, Volume(sample.structure, grid, {"total": values}))
    before, began = time.process_time() - began, time.process_time()
    done, cycles = drive(dft.RKS(cell).multigrid_numint(), LADDER[0], matrix)
    if not done.converged:
        raise SystemExit(f"{sample.id}: the SCF from {start} did not converge")
    return {"id": sample.id, "formula": sample.structure.composition.formula, "start": start, "cycles": cycles,
            "seconds": round(time.process_time() - began, 2), "before": round(before, 2),
            "energy": float(done.e_tot)}  # fmt: skip


def main(file: str) -> None:
    """A line for each start that has none yet."""
    model, dataset = edframe.load("molecules-hcnof"), QM9(QM9Config(file=file))
    done = {(row["id"], row["start"]) for row in records(RESULTS)}
    for start in STARTS:
        for number in range(0, len(dataset.ids), 10):
            if (dataset.ids[number], start) in done:
                continue
            row = measured(model, dataset[number], start)
            record(RESULTS, row)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="of the geometries of qm9-li2025")
    main(parser.parse_args().file)
