"""Error of bands at a fixed density against the electrostatic energy of the density's error: Si8 in pw.x.

python benchmarks/band_error.py FOLDER

Each row is a density of known error: NMAE, coulomb_error (eV per electron), low_g_error, the largest error of a
valence energy in meV after the mean shift is taken off, their ratio as ``edframe bands`` takes it, and seconds of the
processor. Needs quantum-espresso and quantum-espresso-data of Debian 12.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "results"))
from restarts import noisy

from edframe.metrics.standard import coulomb_error, low_g_error
from edframe.restart.bands import bands
from edframe.restart.espresso import Espresso

INPUT = """&control
 calculation='{kind}', prefix='x', outdir='./tmp', pseudo_dir='/usr/share/espresso/pseudo' /
&system
 ibrav=1, A=5.43, ecutwfc=18, nat=8, ntyp=1, nbnd=20 /
&electrons
 conv_thr=1e-10 /
ATOMIC_SPECIES
Si 28.085 Si.pz-vbc.UPF
ATOMIC_POSITIONS crystal
{atoms}
K_POINTS {points}
"""
SITES = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
LEVELS = (0.1, 0.3, 0.5, 1.0, 3.0)


def main(folder: Path) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(3):
        sites = np.array(SITES + [[x + 0.25 for x in site] for site in SITES])
        sites += np.random.default_rng(seed).normal(0, 0.01, sites.shape)
        atoms = "\n".join("Si " + " ".join(f"{x:.6f}" for x in site) for site in sites.tolist())
        scf, path = folder / f"scf-{seed}.in", folder / f"bands-{seed}.in"
        scf.write_text(INPUT.format(kind="scf", atoms=atoms, points="automatic\n2 2 2 0 0 0"))
        path.write_text(INPUT.format(kind="bands", atoms=atoms, points="crystal\n3\n0 0 0 1\n0.25 0 0 1\n0.5 0 0 1"))
        (folder / f"own-{seed}").mkdir(exist_ok=True)
        found = Espresso().converged(scf, folder / f"own-{seed}")
        exact = bands(found.density, path, folder / f"exact-{seed}")
        for level in LEVELS:
            density = noisy(found.density, level, np.random.default_rng(100 * seed + round(10 * level)))
            made = bands(density, path, folder / f"off-{seed}-{level:g}")
            pair = [torch.from_numpy(v.fields["total"])[None, None] for v in (density, found.density)]
            energy = float(coulomb_error(pair[0], pair[1], found.density.grid)[0])
            low = float(low_g_error(pair[0], pair[1], found.density.grid)[0])
            off = (made.energies - exact.energies)[:, : exact.occupied]
            spread = 1e3 * float(np.abs(off - off.mean()).max())
            row = {"seed": seed, "nmae": level, "coulomb": energy, "low_g": low, "max_mev": spread,
                   "rms_mev": 1e3 * float(off.std()), "ratio": 1e-3 * float(off.std()) * 1e3 / np.sqrt(energy),
                   "scf_s": found.outcome.seconds, "bands_s": made.seconds}  # fmt: skip
            print(json.dumps({k: float(f"{v:.4g}") for k, v in row.items()}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
