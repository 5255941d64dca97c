"""The learning curve of molecules-hcnof: the same featurizer, fitted to fewer molecules.

    python docs/results/molecules_curve.py ../shared/data/geometries/qm9_100.xyz

For each number of training molecules, drawn by a seed, one network (the shipped model has four) with the options of
the shipped ``config.yaml``; NMAE at about 1000 points of each of the hundred molecules of QM9, and of the list's test
part. One line of JSON for each fit, in molecules_curve.jsonl beside this script; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from edframe_orbitals.featurizer import OrbitalsFeaturizer
from edframe_orbitals.plugin import OrbitalsConfig
from molecules_errors import MODEL, at_points, trained_on
from molecules_errors import samples as tested
from pages import record, records

from edframe.train.featurizer import Samples

RESULTS = Path(__file__).with_name("molecules_curve.jsonl")
SIZES = (50, 100, 200)
MOST = 1500
"""Points of each training molecule, at most."""


def main(file: str, seeds: Sequence[int], sizes: Sequence[int]) -> None:
    """A line for each number of molecules and seed that has none."""
    every, parts = trained_on()
    qm9, places = tested("qm9", file, None)
    options = yaml.safe_load((MODEL / "config.yaml").read_text(encoding="utf-8"))["featurizer"]
    options.pop("name")
    done = {(row["molecules"], row["seed"]) for row in records(RESULTS)} if RESULTS.exists() else set()
    for seed in seeds:
        for count in sizes or (*SIZES, len(parts.train)):
            if (count, seed) in done:
                continue
            start = time.process_time()
            chosen = np.random.default_rng(seed).permutation(parts.train)[:count].tolist()
            table = min(options["table"], MOST * count)
            config = OrbitalsConfig(**{**options, "members": 1, "table": table})
            featurizer = OrbitalsFeaturizer(config, every.contents)
            featurizer.fit(Samples(every, chosen))
            row = {
                "molecules": count, "seed": seed, "seconds": round(time.process_time() - start, 1),
                "qm9": [at_points(featurizer, qm9[place], 1000) for place in places],
                "list": [at_points(featurizer, every[place], 1000) for place in parts.test],
            }  # fmt: skip
            record(RESULTS, row)
            print(count, seed, [np.mean(row[of], 0).round(3).tolist() for of in ("qm9", "list")], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="of the geometries of QM9")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="numbers of molecules; default: all of them")
    given = parser.parse_args()
    main(given.file, given.seeds, given.sizes)
