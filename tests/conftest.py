"""What many tests share: made-up components, real distributions that are broken, and the command line on a tiny run."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import flit_core.buildapi
import pytest
from pydantic import Field, model_validator

from edframe.contract.registry import Registry
from edframe.plugin import Component, ComponentConfig, hookimpl


class Plain(ComponentConfig):
    """No options."""


class Levels(ComponentConfig):
    depth: int = Field(3, ge=1)
    """Number of levels."""
    width: int = Field(16, ge=1)
    """Channels of the finest level."""


class UNet(ComponentConfig):
    levels: Levels = Levels()
    """The resolutions."""
    widths: tuple[int, ...] = (16, 32)
    """Channels per level."""


class Sinkhorn(ComponentConfig):
    blur: float = Field(0.4, gt=0)
    """Width of the blur in Å."""
    scaling: float = Field(0.5, gt=0, lt=1)
    """Factor between the blurs of successive iterations."""
    coarsen: int = Field(1, ge=1)
    """Voxels per axis that are averaged before transport."""

    @model_validator(mode="after")
    def _blur_exceeds_scaling(self) -> Sinkhorn:
        if self.blur < 0.01 * self.coarsen:
            raise ValueError("blur must be at least 0.01 Å times coarsen")
        return self


class Folder(ComponentConfig):
    folder: str
    """Where the files are."""


class Wide(ComponentConfig):
    width: float = 0.1


def record(kind, name, config=Plain, **fields):
    return Component(kind, name, f"the {kind} {name}", config, f"made_up:{name}", 1, **fields)


@hookimpl
def edframe_datasets():
    suited = {"training.steps": 200, "featurizer.width": 0.3}
    return [
        record("dataset", "li-o-li", featurizer="sad"), record("dataset", "vasp", Folder),
        record("dataset", "suited", featurizer="wide", settings=suited),
    ]  # fmt: skip


@hookimpl
def edframe_featurizers():
    plain = [record("featurizer", name) for name in ("sad", "gaussian", "atoms")]
    return [*plain, record("featurizer", "wide", Wide)]


@hookimpl
def edframe_models():
    return [record("model", "unet", UNet), record("model", "krr")]


@hookimpl
def edframe_losses():
    return [record("loss", "sinkhorn", Sinkhorn), record("loss", "l1"), record("loss", "l2")]


@pytest.fixture
def registry() -> Registry:
    plugin = SimpleNamespace(
        edframe_datasets=edframe_datasets,
        edframe_featurizers=edframe_featurizers,
        edframe_models=edframe_models,
        edframe_losses=edframe_losses,
    )
    registry = Registry()
    registry.add(plugin, "made-up", "1.0")
    return registry


HEADER = """
'''A plugin made for a test.'''
from edframe.plugin import Component, ComponentConfig, hookimpl

class Options(ComponentConfig):
    pass

def loss(name, **fields):
    return Component(**{"kind": "loss", "name": name, "summary": "made for a test", "config": Options,
                        "factory": __name__ + ":Options", "api": 1, **fields})
"""

PLUGINS = {
    "healthy": "@hookimpl\ndef edframe_losses(): return [loss('healthy')]",
    "generous": "@hookimpl\ndef edframe_losses(): yield loss('generous')\n"
    "@hookimpl\ndef edframe_models(): return [loss('large', kind='model')]",
    "unimportable": "import a_package_that_is_absent",
    "raising": "@hookimpl\ndef edframe_losses(): raise ValueError('no licence')",
    "leaving": "import sys\nsys.exit('no licence')",
    "twin-a": "@hookimpl\ndef edframe_losses(): return [loss('twin'), loss('single')]",
    "twin-b": "@hookimpl\ndef edframe_losses(): return [loss('twin')]",
    "repeating": "@hookimpl\ndef edframe_losses(): return [loss('again'), loss('again')]",
    "misspelt": "@hookimpl\ndef edframe_loses(): return [loss('unseen')]",
    "unmarked": "def edframe_losses(): return [loss('unseen')]",
    "hookless": "losses = [loss('unseen')]",
    "older": "@hookimpl\ndef edframe_losses(): return [loss('unseen', api=0)]",
    "newer": "@hookimpl\ndef edframe_losses(): return [loss('unseen', api=99)]",
    "arguments": "@hookimpl\ndef edframe_losses(registry): return [loss('unseen')]",
    "bare": "@hookimpl\ndef edframe_losses(): return loss('unseen')",
    "tuples": "@hookimpl\ndef edframe_losses(): return [('loss', 'unseen')]",
    "misplaced": "@hookimpl\ndef edframe_models(): return [loss('unseen')]",
    "unconfigured": "@hookimpl\ndef edframe_losses(): return [loss('unseen', config=dict)]",
    "renaming": "class Named(ComponentConfig):\n    name: str = ''\n"
    "@hookimpl\ndef edframe_losses(): return [loss('unseen', config=Named)]",
    "dotted": "@hookimpl\ndef edframe_losses(): return [loss('l1.5')]",
    "shouting": "@hookimpl\ndef edframe_losses(): return [loss('L1')]",
    "spaced": "@hookimpl\ndef edframe_losses(): return [loss('l 1')]",
    "holding": "from typing import Annotated, Any\nfrom edframe.plugin import OptionsOf\n"
    "class Holding(ComponentConfig):\n    one: Annotated[dict[str, Any], OptionsOf('loss', named_in='one')] = {}\n"
    "    other: Annotated[dict[str, Any], OptionsOf('model', named_in='other')] = {}\n"
    "@hookimpl\ndef edframe_losses(): return [loss('unseen', config=Holding)]",
    "pathless": "@hookimpl\ndef edframe_losses(): return [loss('unseen', factory='somewhere.Loss')]",
    "factoryless": "@hookimpl\ndef edframe_losses(): return [loss('hollow', factory=__name__ + ':Absent'), "
    "loss('lost', factory='a_module_that_is_absent:Loss')]",
}


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    """A folder with all PLUGINS installed by pip, each from its own wheel."""
    sources, wheels, target = (tmp_path_factory.mktemp(name) for name in ("sources", "wheels", "site"))
    for name, body in PLUGINS.items():
        module = f"edframe_test_{name}".replace("-", "_")
        folder = sources / name
        folder.mkdir()
        (folder / f"{module}.py").write_text(f"{HEADER}\n{body}\n", encoding="utf-8")
        (folder / "pyproject.toml").write_text(
            textwrap.dedent(f"""
                [build-system]
                requires = ["flit_core"]
                build-backend = "flit_core.buildapi"
                [project]
                name = "edframe-test-{name}"
                version = "1.2.3"
                description = "Made for a test."
                [project.entry-points.edframe]
                {name} = "{module}"
            """),
            encoding="utf-8",
        )
        with contextlib.chdir(folder):
            flit_core.buildapi.build_wheel(str(wheels))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(target), *map(str, wheels.glob("*.whl"))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return target


TINY = {
    "data.grid": 12,
    "data.samples": 16,
    "featurizer.name": "sad",
    "splits.validation": 2,
    "model.widths": [4, 8],
    "model.blocks": [0, 1],
    "model.dropout": 0.2,
    "training.steps": 6,
    "training.evaluate_every": 3,
    "training.checkpoint_every": 2,
}
"""An experiment of a second."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Environment of a process that runs edframe: one thread, and a cache that all tests share."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "EDFRAME_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "80", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def edframe(environment):
    """The command line in this process: ``edframe("run", "--fold", "1")`` has ``code``, ``out`` and ``err``.

    ``report=False`` leaves out the report of a run, which takes most of the time of a tiny one.
    """

    def call(*arguments, report=True):
        from edframe.cli import main

        out, err = io.StringIO(), io.StringIO()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["edframe", *map(str, arguments)])
            for name in ("EDFRAME_CACHE", "COLUMNS", "NO_COLOR"):
                patch.setenv(name, environment[name])
            if not report:
                patch.setattr("edframe.runs.execute.write_report", lambda path: path)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                    code = 0
                except SystemExit as end:
                    code = end.code
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())

    return call


@pytest.fixture(scope="session")
def tiny():
    """Arguments of ``edframe run`` for a tiny experiment on one CPU thread; keywords change single options."""

    def arguments(runs, **settings):
        import torch

        torch.set_num_threads(1)
        values = {**TINY, **{key.replace("__", "."): value for key, value in settings.items()}}
        pairs = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        return ["run", "--device", "cpu", "--loss", "l2", "--runs", str(runs), *pairs]

    return arguments


@pytest.fixture(scope="session")
def finished(edframe, tiny, tmp_path_factory):
    """The directory of a finished tiny run. Not to be changed: copy it."""
    runs = tmp_path_factory.mktemp("finished")
    result = edframe(*tiny(runs))
    assert result.code == 0, result.err
    return next(runs.iterdir())


@pytest.fixture(scope="session")
def small():
    """Parts that need no plugin: a dataset of one Gaussian atom per sample, a featurizer, a model with dropout."""
    import numpy as np
    import torch
    from pymatgen.core import Lattice, Structure

    from edframe.grid import Grid
    from edframe.interfaces import Contents, Dataset, Features, Featurizer
    from edframe.sample import Sample

    def gaussian(grid, centre, width=0.8):
        total = np.zeros(grid.shape)
        for image in itertools.product(range(-2, 3), repeat=grid.dimension):
            away = (grid.fractions() - np.asarray(centre) % 1 + image) @ grid.vectors
            total += np.exp(-(away**2).sum(-1) / (2 * width**2))
        return total

    class Atoms(Dataset):
        def __init__(self, count, shapes=((6, 6, 6),)):
            self.grids = [Grid.of([4.0, 4.0, 4.0], shapes[i % len(shapes)]) for i in range(count)]
            self.centres = np.random.default_rng(0).random((count, 3))
            self.read = []

        @property
        def ids(self):
            return [f"atom-{i}" for i in range(len(self.grids))]

        @property
        def contents(self):
            return Contents(species=("He",), max_atoms=1)

        def __getitem__(self, index):
            self.read.append(index)
            grid, centre = self.grids[index], self.centres[index]
            density = gaussian(grid, centre)[None].astype(np.float32)
            density *= 2 / (density.sum() * grid.voxel_volume)
            return Sample(self.ids[index], Structure(Lattice(grid.vectors), ["He"], [centre]), grid, density, 2.0)

        def fingerprint(self):
            return "made up"

    class Blur(Featurizer):
        has_baseline = True
        channels = ("wide", "narrow")

        def __call__(self, structures, grid, device):
            wide, narrow = (
                torch.from_numpy(np.stack([gaussian(grid, s.frac_coords[0], width) for s in structures])).float()
                for width in (1.2, 0.6)
            )
            return Features(torch.stack([wide, narrow], dim=1).to(device), wide[:, None].to(device))

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Conv3d(2, 4, 3, padding=1), torch.nn.Conv3d(4, 1, 1)
            self.dropout = torch.nn.Dropout(0.3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, channels, baseline, grid, electrons):
            if self.training:
                self.calls += 1
            hidden = self.dropout(torch.tanh(self.first(channels)))
            total = baseline * self.last(hidden).exp()
            norm = total.sum((1, 2, 3, 4), keepdim=True) * grid.voxel_volume
            return total * electrons.reshape(-1, 1, 1, 1, 1) / norm

    return SimpleNamespace(dataset=Atoms, featurizer=Blur, model=Tiny, gaussian=gaussian)
