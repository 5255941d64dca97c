"""What the transport loss costs in training: a U-Net on Li–O–Li (``sad``, 48³) with ``l2`` and ``sinkhorn``, in turn.

    python benchmarks/training.py [--samples 461] [--epochs 3] [--device auto] [--out FILE]

Two models with the same initial weights take the same batches and moves, a step of one after a step of the other, as
``edframe run`` does. The table gives, for each epoch, the median milliseconds of either loss, of forward and backward
pass with the optimiser, and of the whole step with their ratio; and the applications of the kernel on the grid itself:
of the solve as trained, which starts from what it kept at the last visit of the sample, and of a cold solve for the
same densities (every tenth step, not timed).
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.data.loading import Loader, Schedule
from edframe.runs.build import build, fabric_for
from edframe.seeds import seed_for
from edframe.train.loop import learning_rate, predict
from edframe.train.visits import Visits

COLD_EVERY = 10
"""Steps between two cold solves for comparison."""


class Trained:
    """A model on its way, with the times of its steps."""

    def __init__(self, model: torch.nn.Module, loss: Any, device: torch.device) -> None:
        self.model = model
        self.loss = loss
        self.device = device
        self.memory = Visits(device)
        self.optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-4)

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def step(self, batch: Any, number: int, rate: float, clip: float) -> dict[str, float]:
        """One step; milliseconds of each part, and diagnostics."""
        begin = self.now()
        predicted = predict(self.model, batch).float()
        forward = self.now()
        visit = self.memory.visit(batch, number)
        values, diagnostics = self.loss.with_diagnostics(predicted, batch.density, batch.grid, visit)
        loss = self.now()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        values.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        end = self.now()
        parts = {"forward": forward - begin, "loss": loss - forward, "backward": end - loss, "step": end - begin}
        record = {name: 1e3 * seconds for name, seconds in parts.items()}
        record |= {name: float(values.double().mean()) for name, values in diagnostics.items()}
        if "applications" in record and number % COLD_EVERY == 0:
            _, cold = self.loss.with_diagnostics(predicted.detach(), batch.density, batch.grid)
            record["cold"] = float(cold["applications"].double().mean())
        return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10**6, help="training samples (default: all of fold 0)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, help="JSON file for the table")
    arguments = parser.parse_args()

    registry = Registry.discover()
    flags = {} if arguments.device == "auto" else {"device": arguments.device}
    parts_of_step = {"data": "li-o-li", "featurizer": "sad", "model": "unet", "loss": "sinkhorn"}
    experiment, _ = resolve(registry, None, parts_of_step, ["metrics=[l2]"], flags)
    fabric = fabric_for(experiment)
    parts = build(experiment, registry, lambda done, total: None)
    loader = Loader(parts.dataset, parts.featurizer, fabric.device)
    train = parts.split.train[: arguments.samples]
    model = parts.model.to(fabric.device)
    losses = {"l2": parts.metrics["l2"], "sinkhorn": parts.loss}
    trained = {name: Trained(copy.deepcopy(model), loss, fabric.device) for name, loss in losses.items()}
    options = experiment.training.model_copy(update={"steps": arguments.epochs * len(train)})
    schedule = Schedule(train, parts.dataset.buckets, 1, experiment.seed)
    records: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for number in range(1, options.steps + 1):
        batch = loader.batch(schedule(number - 1))
        batch = loader.augmented(batch, seed_for(experiment.seed, "augmentation", number, 0))
        epoch = 1 + (number - 1) // len(train)
        for name, each in trained.items():
            record = each.step(batch, number, learning_rate(number, options), options.clip_norm)
            records[name, epoch].append(record)
        if number % 50 == 0 or number == options.steps:
            print(f"\rstep {number} of {options.steps}", end="", flush=True)

    def median(name: str, epoch: int, what: str) -> float:
        return statistics.median(record[what] for record in records[name, epoch])

    def mean(epoch: int, what: str) -> float:
        return statistics.mean(record[what] for record in records["sinkhorn", epoch] if what in record)

    print(f"\n{torch.get_num_threads()} threads, {fabric.device}, {len(train)} samples, {options.steps} steps\n")
    print(
        "| epoch | l2 loss | sinkhorn loss | forward | backward | l2 step | sinkhorn step | ratio | K warm | K cold |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for epoch in range(1, arguments.epochs + 1):
        ratios = [
            ours["step"] / theirs["step"]
            for ours, theirs in zip(records["sinkhorn", epoch], records["l2", epoch], strict=True)
        ]
        row = {
            "epoch": epoch,
            "l2 loss / ms": median("l2", epoch, "loss"),
            "sinkhorn loss / ms": median("sinkhorn", epoch, "loss"),
            "forward / ms": median("l2", epoch, "forward"),
            "backward / ms": median("l2", epoch, "backward"),
            "l2 step / ms": median("l2", epoch, "step"),
            "sinkhorn step / ms": median("sinkhorn", epoch, "step"),
            "ratio of steps": statistics.median(ratios),
            "applications as trained": mean(epoch, "applications"),
            "applications cold": mean(epoch, "cold"),
            "unconverged": sum(record["unconverged"] for record in records["sinkhorn", epoch]),
        }
        rows.append(row)
        print("| " + " | ".join(f"{value:.3g}" for key, value in row.items() if key != "unconverged") + " |")
    if arguments.out:
        command = f"python benchmarks/training.py --samples {len(train)} --epochs {arguments.epochs}"
        about = {"command": command, "threads": torch.get_num_threads(), "device": str(fabric.device), "rows": rows}
        arguments.out.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
