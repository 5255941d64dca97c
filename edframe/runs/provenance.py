"""How a run was made: command, versions, device, seeds, data."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from edframe.config.experiment import Experiment
from edframe.contract.registry import Registry
from edframe.errors import RunError
from edframe.runs.build import Parts
from edframe.runs.directory import Run
from edframe.seeds import seed_for


def record_start(run: Run, facts: Mapping[str, Any]) -> None:
    """The first session's facts are the run's; a later one adds its time, command and what is no longer the same."""
    known = run.provenance()
    if "started" not in known:
        run.record(**facts, status="running")
        return
    then = run.fingerprint()
    if facts["dataset"] != known["dataset"]:
        raise RunError(
            f"{run.path} was made from other data (fingerprint {then[:12]}, now "
            f"{facts['dataset']['fingerprint'][:12]}); start again by {run.again}"
        )
    changed = {key: value for key, value in facts.items() if value != known.get(key)}
    run.record(status="running", resumed=[*known.get("resumed", []), changed])


def facts_of(experiment: Experiment, registry: Registry, parts: Parts, fabric: Fabric) -> dict[str, Any]:
    components = [registry.find(choice.kind, choice.name) for choice in experiment.components()]
    owners = {provided.distribution: provided.version for provided in components}
    libraries = ("edframe", "torch", "lightning-fabric", "numpy", "scipy", "pymatgen")
    # By key, whose case BibTeX ignores: two plugins may cite the same paper.
    references = {
        entry.partition("{")[2].partition(",")[0].strip().lower(): entry
        for provided in components
        for entry in provided.component.references
    }
    return {
        "command": shlex.join(["edframe", *sys.argv[1:]]),
        "versions": {name: version(name) for name in libraries} | owners | {"python": platform.python_version()},
        "git_commit": git_commit(Path(__file__).parents[2]),
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else str(fabric.device),
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "seeds": {
            "folds": seed_for(experiment.splits.seed, "folds"),
            **{
                purpose: seed_for(experiment.seed, purpose)
                for purpose in ("weights", "batches", "augmentation", "dropout")
            },
        },
        "dataset": {
            "name": experiment.data.name,
            "fingerprint": parts.dataset.fingerprint(),
            "samples": len(parts.dataset),
            "train": len(parts.split.train),
            "validation": len(parts.split.validation),
            "test": len(parts.split.test),
        },
        "started": now(),
        "references": list(references.values()),
    }


def git_commit(root: Path) -> str | None:
    """The commit of the checkout whose root is ``root``, "-dirty" when it has changes; None for any other folder."""
    if not (root / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        described = subprocess.run([*command, "--exclude=*"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
