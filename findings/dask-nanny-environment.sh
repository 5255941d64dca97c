#!/usr/bin/env bash
# dask 2026.8.0, distributed 2026.8.0, torch 2.13.0
#
# Guess: a worker of `LocalCluster` computes as the process that started it would, and that process stays as it was.
# Behaviour: the nanny sets MALLOC_TRIM_THRESHOLD_=65536 (the C library then hands each freed tensor back to the system
#   and fetches it again) and one thread for OpenMP, MKL and OpenBLAS. A training step takes up to twice as long in a
#   worker, with nothing in the log. It sets them in the environment of the client, where they stay after the cluster is
#   closed: what the client starts later has one thread and the slow memory, too. The values come from the
#   configuration `distributed.nanny.pre-spawn-environ`.
# Seen: client before {'MALLOC_TRIM_THRESHOLD_': None, 'OMP_NUM_THREADS': None}, worker {'MALLOC_TRIM_THRESHOLD_':
#   '65536', 'OMP_NUM_THREADS': '1'}, client after the cluster was closed {'MALLOC_TRIM_THRESHOLD_': '65536',
#   'OMP_NUM_THREADS': '1'}; time of a training step in a worker by that in the client, one thread each: 1.81 (printed,
#   not required)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check dask==2026.8.0 distributed==2026.8.0 torch==2.13.0
cd "$work"
unset MALLOC_TRIM_THRESHOLD_ OMP_NUM_THREADS
cat > probe.py <<'PY'
import os
import sys
import time

from distributed import Client, LocalCluster

NAMES = "MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS"


def environment():
    return {name: os.environ.get(name) for name in NAMES}


def step(n=32, channels=16, steps=6):
    import torch

    torch.set_num_threads(1)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(1, channels, 3, padding=1), torch.nn.GELU(), torch.nn.Conv3d(channels, 1, 3, padding=1)
    )
    x = torch.rand(2, 1, n, n, n)
    times = []
    for _ in range(steps):
        start = time.process_time()
        ((net(x) - x) ** 2).mean().backward()
        times.append(time.process_time() - start)
    return min(times[1:])


if __name__ == "__main__":
    before = environment()
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        worker = client.submit(environment).result()
        slow = client.submit(step).result()
    after = environment()
    print(f"client before {before}, worker {worker},")
    print(f"client after the cluster was closed {after};")
    print(f"time of a training step in a worker by that in the client, one thread each: {slow / step():.2f} (printed, not required)")
    if not (before == dict.fromkeys(NAMES) and worker == after == dict(zip(NAMES, ("65536", "1")))):
        sys.exit("Dask no longer changes the environment of its workers, or no longer that of the client")
PY
"$work/venv/bin/python" -W ignore probe.py
