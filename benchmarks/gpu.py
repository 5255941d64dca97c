"""Everything that edframe does on a GPU, in one script of at most six minutes: tests, then a table for each part.

    python benchmarks/gpu.py [--budget 360] [--sections transport bf16] [--out benchmarks/gpu.json]
    python benchmarks/gpu.py --device cpu --tiny --out FILE

tests       the tests marked ``gpu``: results on the device against those of the CPU
transport   value and gradient on 32³ to 128³ points, cold and warm, beside flash-sinkhorn and geomloss by KeOps
keops       edframe-sinkhorn's own kernel of all pairs, by KeOps, beside the kernel of separate axes
steps       a training step of the default U-Net with each loss
prediction  from a structure file to the density in the computer's memory, in voxels per second
bf16        the training step with 32-bit numbers and in mixed precision
ddp         the training step plain and under DistributedDataParallel with one process

Each row is in ``--out`` as soon as it is measured, so that a run that is ended leaves what it finished. Once the budget
is spent, the rest is skipped and named. A peer that is not installed is named, too. ``--tiny`` calls all of it on the
smallest problems that there are: it measures nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from measuring import Results, Row, print_table, setup
from peers import SOLVERS, Unsupported, divergence
from problems import mol
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
BUDGET = 360.0
"""Seconds."""
REPEATS = 7
TOLERANCE = 1e-3
"""Marginal error at which a transport stops."""
PAIRS = 64
"""Points per axis up to which all pairs are evaluated: 128³ would take minutes."""
MORE = {"mix": ["loss.weights={l2: 1, sinkhorn: 1}"]}
"""Options that a loss does not do without."""
NEEDED = {"tests": 40, "transport": 60, "keops": 60, "steps": 60, "prediction": 20, "bf16": 15, "ddp": 15}
"""Seconds that must be left for a section to begin."""


class Run:
    """Where to measure, how much, and how much time is left."""

    def __init__(self, device: str, tiny: bool, budget: float) -> None:
        self.device, self.tiny = device, tiny
        self.end = time.monotonic() + budget
        self.skipped: list[str] = []

    def left(self, what: str, seconds: float) -> bool:
        """Whether there is time for it; noted where there is not."""
        if time.monotonic() + seconds <= self.end:
            return True
        self.skipped.append(what)
        return False

    def seconds(self, call: Callable[[], Any]) -> float:
        """Median of some calls after a first one, which compiles and allocates; the device is waited for."""
        laps = []
        for _ in range(2 if self.tiny else REPEATS + 1):
            begin = time.perf_counter()
            call()
            if self.device == "cuda":
                torch.cuda.synchronize()
            laps.append(time.perf_counter() - begin)
        return statistics.median(laps[1:])


def tests(run: Run) -> Iterator[Row]:
    """pytest in a process of its own; --tiny only collects, because on a CPU they would compare it with itself."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "--tb=line", str(ROOT / "tests" / "test_gpu.py")]
    limit = max(1.0, run.end - time.monotonic())
    if run.tiny:
        command.append("--collect-only")
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        yield {"result": f"ended after {limit:.0f} s", "failed": None}
        return
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
    yield {"result": lines[-1].strip("= "), "failed": [line for line in lines if re.match("FAILED|ERROR", line)]}


def transport(run: Run) -> Iterator[Row]:
    for n in (8,) if run.tiny else (32, 64, 128):
        problem = mol(n)
        a, b = (torch.from_numpy(density)[None].to(run.device) for density in (problem.a, problem.b))
        found = divergence(a, b, problem.grid, None, TOLERANCE)
        noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(5), dtype=a.dtype).to(a)
        moved, value = a * (1 + 0.01 * noise), found.value.item()
        for name, first, start in (("cold", a, None), ("warm", moved, found.start)):
            seconds = run.seconds(partial(divergence, first, b, problem.grid, None, TOLERANCE, start))
            yield {"points": n, "solver": f"edframe, {name}", "ms": 1e3 * seconds, "value / Å²": value}
        for name, solve in (("flash-sinkhorn", _flash), ("geomloss by KeOps", _geomloss)):
            row = {"points": n, "solver": name}
            if n > PAIRS or not run.left(f"transport, {name} at {n}³", 15):
                yield row | {"note": f"left out beyond {PAIRS}³, or no time"}
                continue
            try:
                call, read = solve(problem, run.device)
                seconds = run.seconds(call)
            except Unsupported as reason:
                yield row | {"note": str(reason)}
            else:
                yield row | {"ms": 1e3 * seconds, "value / Å²": read(call())}


def _flash(problem: Any, device: str) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    """The points of the grid with float32 coordinates, ε scaling as geomloss has it; value and gradient."""
    if find_spec("flash_sinkhorn") is None:
        raise Unsupported("not installed: flash-sinkhorn")
    if device != "cuda":
        raise Unsupported("flash-sinkhorn computes on CUDA alone")
    from flash_sinkhorn import SamplesLoss

    points = torch.from_numpy(problem.grid.coordinates().reshape(-1, 3)).float().to(device).contiguous()
    a, b = (torch.from_numpy(mass.ravel()).float().to(device) for mass in problem.masses)
    loss = SamplesLoss("sinkhorn", blur=problem.voxel, scaling=0.5, debias=True, potentials=True, half_cost=True)

    def solve() -> Any:
        with torch.no_grad():
            return loss(a, points, b, points)

    return solve, lambda found: float((a * found[0].view(-1)).sum() + (b * found[1].view(-1)).sum())


def _geomloss(problem: Any, device: str) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    solver = SOLVERS["geomloss-samples"]
    if solver.missing:
        raise Unsupported(solver.missing)
    if problem.grid.shape[0] < 16:
        raise Unsupported("its formulas are compiled at first use: not with --tiny")
    prepared = solver.prepare(problem, problem.voxel, TOLERANCE, device)
    return prepared.solve, lambda found: prepared.read(found).value


def keops(run: Run) -> Iterator[Row]:
    from edframe_sinkhorn import sinkhorn_divergence

    for n in (4,) if run.tiny else (16, 32):
        problem = mol(n)
        a, b = (torch.from_numpy(density)[None].to(run.device) for density in (problem.a, problem.b))
        for backend in ("separable", "toeplitz" if run.tiny else "keops"):  # KeOps compiles for seconds
            solve = partial(sinkhorn_divergence, a, b, problem.grid, tol=TOLERANCE, backend=backend)
            if run.left(f"keops, {backend} at {n}³", 20):
                row = {"points": n, "backend": backend, "ms": 1e3 * run.seconds(solve)}
                yield row | {"value / Å²": solve().value.item()}


class Step:
    """The default U-Net on samples of Li–O–Li with one of the losses, and a step of its training."""

    def __init__(self, run: Run, loss: str, precision: str = "32-true", ddp: bool = False) -> None:
        from edframe.config.resolve import resolve
        from edframe.contract.registry import Registry
        from edframe.data.loading import Loader
        from edframe.runs.build import build, fabric_for
        from edframe.train.visits import Visits

        small: list[str] = ["data.grid=8", "model.widths=[4,8]", "model.blocks=[0,0]"] if run.tiny else ["data.grid=48"]
        chosen = [*small, "data.samples=16", "metrics=[]", *MORE.get(loss, ()), f"training.precision={precision}"]
        registry = Registry.discover()
        experiment, _ = resolve(registry, None, {"featurizer": "sad", "loss": loss}, chosen, {"device": run.device})
        if ddp:
            from lightning_fabric import Fabric

            os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
            self.fabric = Fabric(accelerator=run.device, devices=1, strategy="ddp", precision=precision)
            self.fabric.launch()
        else:
            self.fabric = fabric_for(experiment)
        parts = build(experiment, registry, lambda done, total: None)
        self.batch = Loader(parts.dataset, parts.featurizer, self.fabric.device).batch([0])
        self.loss, self.memory = parts.loss, Visits(self.fabric.device)
        adamw = torch.optim.AdamW(parts.model.parameters())
        self.model, self.optimiser = self.fabric.setup(_OnGrid(parts.model, self.batch.grid), adamw)
        self.count = 0

    def __call__(self) -> float:
        """One step; the value of the loss."""
        self.count += 1
        features = self.batch.features
        predicted = self.model(features.channels, features.baseline, self.batch.electrons).float()
        visit = self.memory.visit(self.batch, self.count)
        value = self.loss.with_diagnostics(predicted, self.batch.density, self.batch.grid, visit)[0].mean()
        self.fabric.backward(value)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return float(value)


class _OnGrid(nn.Module):
    """A model whose arguments are tensors, which Fabric casts to the precision; it fails on a Grid."""

    def __init__(self, model: nn.Module, grid: Any) -> None:
        super().__init__()
        self.model, self.grid = model, grid

    def forward(self, channels: torch.Tensor, baseline: torch.Tensor, electrons: torch.Tensor) -> torch.Tensor:
        density: torch.Tensor = self.model(channels, baseline, self.grid, electrons)
        return density


def steps(run: Run) -> Iterator[Row]:
    from edframe.contract.registry import Registry
    from edframe.errors import EdframeError

    names = Registry.discover().names("loss")
    for name in sorted(names, key=lambda name: (name not in ("l2", "sinkhorn"), name)):
        if run.tiny and name == "geomloss":
            yield {"loss": name, "note": "its formulas are compiled at first use: not with --tiny"}
        elif run.left(f"steps, {name}", 8):
            try:
                step = Step(run, name)
                yield {"loss": name, "ms": 1e3 * run.seconds(step), "value": step()}
            except (EdframeError, ImportError) as error:
                yield {"loss": name, "note": " ".join(str(error).split())}


def prediction(run: Run) -> Iterator[Row]:
    from prediction import MODELS, lap

    from edframe.config.resolve import resolve
    from edframe.contract.registry import Registry
    from edframe.runs.build import build

    registry = Registry.discover()
    sizes = (16,) if run.tiny else (64, 96, 128)
    for name in MODELS:
        chosen = ["data.samples=16", "data.grid=8", "metrics=[]"]
        experiment, _ = resolve(
            registry, None, {"featurizer": "sad", "loss": "l2", "model": name}, chosen, {"device": run.device}
        )
        parts = build(experiment, registry, lambda done, total: None)
        model = parts.model.to(run.device).eval()
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            file = Path(folder) / "POSCAR"
            parts.dataset[0].structure.to(str(file), fmt="poscar")
            for points in sizes:
                if run.left(f"prediction, {name} at {points}³", 8):
                    laps = [
                        lap(file, points, parts.featurizer, model, run.device) for _ in range(2 + 3 * (not run.tiny))
                    ]
                    reading, features, network = (statistics.median(column) for column in zip(*laps[1:], strict=True))
                    total = reading + features + network
                    yield {"model": name, "points": points, "reading / ms": 1e3 * reading,
                           "features / ms": 1e3 * features, "model / ms": 1e3 * network,
                           "million voxels/s": points**3 / total / 1e6}  # fmt: skip


def bf16(run: Run) -> Iterator[Row]:
    for precision in ("32-true", "bf16-mixed"):
        step = Step(run, "l2", precision)
        first = step()
        yield {"precision": precision, "ms": 1e3 * run.seconds(step), "first value": first, "last value": step()}


def ddp(run: Run) -> Iterator[Row]:
    for name in ("plain", "DDP, one process"):
        step = Step(run, "l2", ddp=name != "plain")
        first = step()
        yield {"training": name, "ms": 1e3 * run.seconds(step), "first value": first, "last value": step()}
    torch.distributed.destroy_process_group()


SECTIONS: dict[str, Callable[[Run], Iterator[Row]]] = {
    section.__name__: section for section in (tests, transport, keops, steps, prediction, bf16, ddp)
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 where a section failed, which does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="call everything once, on the smallest problems")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for all of it")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "there is no GPU here, or PyTorch was built without CUDA; --device cpu --tiny tries the script",
            file=sys.stderr,
        )
        return 2
    run = Run(options.device, options.tiny, options.budget)
    results = Results(options.out, setup(options.device), fresh=True)
    results.begin("python benchmarks/gpu.py" + f" --device {options.device}" * (options.device != "cuda")
                  + " --tiny" * options.tiny)  # fmt: skip
    failed = False
    for name in options.sections:
        if not run.left(name, 0 if run.tiny else NEEDED[name]):
            continue
        began = time.monotonic()
        try:
            for row in SECTIONS[name](run):
                results.add(section=name, **row)
        except Exception as error:  # one section must not cost the others
            failed = True
            results.add(section=name, error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        rows = results.find(section=name)
        print(f"\n{name}, {time.monotonic() - began:.0f} s\n", flush=True)
        columns = tuple(dict.fromkeys(key for row in rows for key in row if key != "section"))
        print_table(columns, (tuple(_said(row.get(column)) for column in columns) for row in rows))
    if run.skipped:
        results.add(section="skipped", names=run.skipped)
        print(f"\nNo time was left for: {'; '.join(run.skipped)}.")
    return 1 if failed or any(row.get("failed") for row in results.rows) else 0


def _said(value: Any) -> Any:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
