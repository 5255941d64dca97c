"""What waiting threads cost: a step of the default training with several settings of OpenMP, quiet and shared.

    python benchmarks/threads.py [--rounds 6] [--steps 8] [--settings default 10000 1000 passive]

One process per setting, each started with it in its environment, takes the same training steps in turn, some at a time,
so that what else the machine does meets all of them alike. Shared: two more processes compute on one thread each
meanwhile. The table gives the median milliseconds of a step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

SETTINGS = {
    "default": {},
    "10000": {"GOMP_SPINCOUNT": "10000"},
    "1000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = "import numpy; a = numpy.random.rand(600, 600)\nwhile True: a @ a"


def train() -> None:
    """Takes as many steps as each line of the input says; answers with the milliseconds of each."""
    import torch
    from training import Trained

    from edframe.config.resolve import resolve
    from edframe.contract.registry import Registry
    from edframe.data.loading import Loader, Schedule
    from edframe.runs.build import build
    from edframe.seeds import seed_for

    registry = Registry.discover()
    experiment, _ = resolve(registry, None, {"featurizer": "sad", "loss": "sinkhorn"})
    parts = build(experiment, registry, lambda done, total: None)
    loader = Loader(parts.dataset, parts.featurizer, "cpu")
    schedule = Schedule(parts.split.train[:8], parts.dataset.buckets, 1, experiment.seed)
    trained = Trained(parts.model, parts.loss, torch.device("cpu"))
    number = 0
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            batch = loader.augmented(loader.batch(schedule(number)), seed_for(experiment.seed, "augmentation", number))
            number += 1
            times.append(trained.step(batch, 10 * number + 1, 1e-3, experiment.training.clip_norm)["step"])
        print(*times, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8, help="of each setting in a round")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train()
        return
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "MKL_"))}
    workers = {}
    for name in arguments.settings:
        workers[name] = subprocess.Popen(
            [sys.executable, __file__, "--train"], env={**plain, **SETTINGS[name]}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert workers[name].stdout.readline() == "ready\n"  # type: ignore[union-attr]

    def steps(name: str, count: int) -> list[float]:
        worker = workers[name]
        worker.stdin.write(f"{count}\n")  # type: ignore[union-attr]
        worker.stdin.flush()  # type: ignore[union-attr]
        return [float(value) for value in worker.stdout.readline().split()]  # type: ignore[union-attr]

    rows = {}
    for kind, others in (("quiet", 0), ("shared", 2)):
        busy = [
            subprocess.Popen([sys.executable, "-c", BUSY], env={**plain, "OPENBLAS_NUM_THREADS": "1"})
            for _ in range(others)
        ]
        for name in workers:
            steps(name, 3)
        durations: dict[str, list[float]] = {name: [] for name in workers}
        for turn in range(arguments.rounds):
            order = list(workers)
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                durations[name] += steps(name, arguments.steps)
        for process in busy:
            process.kill()
        rows[kind] = {name: statistics.median(times) for name, times in durations.items()}
    for worker in workers.values():
        worker.stdin.close()  # type: ignore[union-attr]
        worker.wait()
    print(f"{os.cpu_count()} cores\n\n| | " + " | ".join(workers) + " |\n|---" * 1 + "|---" * len(workers) + "|")
    for kind, times in rows.items():
        print(f"| {kind} | " + " | ".join(f"{value:.0f}" for value in times.values()) + " |")


if __name__ == "__main__":
    main()
