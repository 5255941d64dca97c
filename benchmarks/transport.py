"""Optimal transport between densities: edframe's Sinkhorn divergence against OTT-JAX and geomloss.

    python benchmarks/transport.py [--quick] [--only ott] [--problems mol near] [--out FILE] [--cache FOLDER]
    python benchmarks/transport.py --device cuda --out transport-gpu.json

Peers of which the project's requirements hold only geomloss: ``pip install jax ott-jax`` beside them; without these two
the rows of OTT-JAX are left out.

Sections, chosen by ``--sections``:

solvers  Value and gradient by the first density, debiased, cold, nothing kept between calls: all solvers on the same
         densities in one process, in turn, so that all meet the same load. Medians, the median of the ratios of each
         turn, and errors against a converged float64 answer (``converged.py``). That is kept in ``--cache``: at 64³ it
         takes minutes, and half an hour for ``near``. Boundaries are open, for the peers know no others. Compilation
         is not counted.
goals    Which of the demanded ratios and errors hold in the rows of ``solvers``.
memory   What one call allocates at its peak, inputs not counted, in float64 densities per sample.
hard     The cases that must not break it.
batch    Cold and warm starts, batches of 1 and 16. With ``--device cuda`` this is the benchmark of a GPU.

A finished row is in ``--out`` at once and is not measured again, so that a long run can be interrupted. A file from
other versions, another processor or another source of edframe-sinkhorn is refused; ``--fresh`` starts it anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

SECTIONS = ("solvers", "goals", "memory", "hard", "batch")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("transport.json"), help="file of results, read and extended")
    parser.add_argument("--cache", type=Path, help="folder of converged answers (default: in edframe's cache)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, help="default: all but batch; on a GPU, batch")
    parser.add_argument("--sizes", nargs="+", type=int, help="points per axis, powers of two (default: 32 64)")
    parser.add_argument("--problems", nargs="+", help="default: all")
    parser.add_argument("--only", nargs="+", help="solvers besides edframe's (default: all)")
    parser.add_argument("--rounds", type=int, help="turns of the solvers (default: 5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 16³, two turns")
    parser.add_argument("--fresh", action="store_true", help="start --out anew")
    return parser.parse_args()


def command(options: argparse.Namespace) -> str:
    """What was asked for, without the names of files."""
    words = ["python benchmarks/transport.py"]
    for name, value in vars(options).items():
        if name not in ("out", "cache", "fresh"):
            words.append(f"--{name} {' '.join(map(str, value)) if isinstance(value, list) else value}")
    return " ".join(words).replace(" --quick False", "").replace("--quick True", "--quick")


def main() -> None:
    options = parse()
    # Before any numerical library is loaded. Cores, for every library counts them, each in its own way.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # torch's profiler writes a line whenever it starts and stops
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # jax would take most of a GPU at once
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print("--device cuda needs a GPU and a torch built for CUDA; there is none here.", file=sys.stderr)
        raise SystemExit(2)
    torch.set_num_threads(options.threads)

    import behaviour
    import comparison
    from measuring import Results, setup
    from peers import SOLVERS
    from problems import PROBLEMS

    from edframe.data.cache import cache_folder

    for chosen, known in ((options.only, SOLVERS), (options.problems, PROBLEMS)):
        for name in chosen or ():
            if name not in known:
                raise SystemExit(f"{name} is unknown; choose from {', '.join(known)}")
    options.only = list(dict.fromkeys(["edframe", *(options.only or SOLVERS)]))
    for key in options.only:
        if SOLVERS[key].missing:
            print(f"{SOLVERS[key].name} is left out: {SOLVERS[key].missing}")
    options.only = [key for key in options.only if not SOLVERS[key].missing]
    options.cache = options.cache or cache_folder() / "converged-transport"
    options.problems = options.problems or list(PROBLEMS)
    options.sizes = options.sizes or ([16] if options.quick else [32, 64])
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.sections = options.sections or (["batch"] if options.device == "cuda" else list(SECTIONS[:-1]))

    results = Results(options.out, setup(options.device), options.fresh)
    results.begin(command(options))
    sections = {
        "solvers": (comparison.measure_solvers, comparison.print_solvers),
        "goals": (None, comparison.print_goals),
        "memory": (behaviour.measure_memory, behaviour.print_memory),
        "hard": (behaviour.measure_hard, behaviour.print_hard),
        "batch": (behaviour.measure_batch, behaviour.print_batch),
    }
    for name in options.sections:
        if measure := sections[name][0]:
            measure(results, options)
    print("\n" + ", ".join(f"{name} {value}" for name, value in results.setup.items() if value))
    for name in options.sections:
        sections[name][1](results)


if __name__ == "__main__":
    main()
