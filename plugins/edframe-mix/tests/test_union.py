"""The dataset ``union``: of made-up members, and of those of edframe-pyscf in a run."""

import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from edframe_mix import plugin
from edframe_mix.union import JoinedSamples
from pymatgen.core import Lattice, Structure

from edframe.cli import main
from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.errors import ConfigError, DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Dataset
from edframe.plugin import Component, ComponentConfig, hookimpl
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated
from edframe.sample import Sample
from edframe.testing import checks, component

TINY = {
    "li-o-li": {"grid": 12, "samples": 8},
    "li2o-clusters": {"sizes": [1, 2], "samples": 2, "voxel": 0.225},
}


class Options(ComponentConfig):
    """Options of a made-up member."""

    count: int = 2
    """Number of samples."""
    spins: int = 1
    """Spin channels."""


class Atoms(Dataset):
    """``count`` samples of a single atom with a uniform density; the first two are of one group."""

    symbol, electrons, width = "He", 2.0, 4.0

    def __init__(self, config):
        self.config = config
        self.built = 0

    @property
    def ids(self):
        return [f"atom-{i}" for i in range(self.config.count)]

    @property
    def contents(self):
        return Contents((self.symbol,), 1, self.config.spins)

    @property
    def groups(self):
        return [7, 7, *range(8, 6 + self.config.count)][: self.config.count]

    @property
    def holdouts(self):
        return {"last": [self.config.count - 1]}

    @property
    def ready(self):
        return self.built > 0

    @property
    def failures(self):
        return {"atom-99": "too far"}

    def build(self, advance, *, recompute=False, workers=1, scheduler=None):
        self.built += 1
        advance(self.config.count, self.config.count)

    def describe(self):
        return {"level": "none"}

    def __getitem__(self, index):
        grid = Grid.of([self.width] * 3, 4)
        density = np.full((1, 4, 4, 4), self.electrons / self.width**3, np.float32)
        structure = Structure(Lattice.cubic(self.width), [self.symbol], [[0.01 * index, 0, 0]])
        return Sample(self.ids[index], structure, grid, density, self.electrons)

    def fingerprint(self):
        return f"{self.symbol} {self.config.count}"


class Heavier(Atoms):
    symbol, electrons, width = "Li", 3.0, 5.0

    @property
    def ids(self):
        return ["atom-0", *(f"heavier-{i}" for i in range(1, self.config.count))]


class Lighter(Atoms):
    symbol, electrons = "H", 1.0

    @property
    def ids(self):
        return [f"lighter-{i}" for i in range(self.config.count)]


@hookimpl
def edframe_datasets():
    return [
        Component("dataset", kind.__name__.lower(), "made for a test", Options, f"{__name__}:{kind.__name__}", 1)
        for kind in (Atoms, Heavier, Lighter)
    ]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """One cache for the whole module, so that nothing is evaluated twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDFRAME_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def union(monkeypatch):
    registry = Registry()
    registry.add(SimpleNamespace(edframe_datasets=edframe_datasets), "made-up", "1.0")
    registry.add(plugin, "edframe-mix", "1.0")
    monkeypatch.setattr(Registry, "discover", lambda: pytest.fail("a registry of its own is asked for"))
    monkeypatch.setattr(Component, "load", lambda self: globals()[self.factory.partition(":")[2]])

    def make(*members, **options):
        return component("dataset", "union", {"members": members, "options": options}, registry).make()

    return make


def test_samples_are_those_of_the_members_in_turn(union):
    joined = union("heavier", "atoms", heavier={"count": 3})
    assert [sample.structure[0].specie.symbol for sample in joined] == ["Li", "Li", "Li", "He", "He"]
    assert [sample.structure.frac_coords[0, 0] for sample in joined] == pytest.approx([0, 0.01, 0.02, 0, 0.01])
    assert [sample.electrons for sample in (joined[-1], joined[-5])] == [2, 3]
    for index in (5, -6):
        with pytest.raises(IndexError):
            joined[index]


def test_an_id_of_two_members_stands_behind_its_member(union):
    joined = union("atoms", "heavier")
    assert list(joined.ids) == ["atoms/atom-0", "atom-1", "heavier/atom-0", "heavier-1"]
    assert [sample.id for sample in joined] == joined.ids


def test_contents_hold_all_members(union):
    contents = union("heavier", "atoms", "lighter").contents
    assert contents == Contents(("H", "He", "Li"), 1)


def test_members_with_other_spins_are_refused(union):
    with pytest.raises(DataError, match=r"^union: atoms has spins=1 and heavier has spins=2;"):
        _ = union("atoms", "heavier", heavier={"spins": 2}).contents


def test_groups_and_grids_of_members_stay_apart(union):
    joined = union("atoms", "heavier", atoms={"count": 3}, heavier={"count": 4})
    assert joined.groups == [0, 0, 1, 2, 2, 3, 4]
    assert joined.buckets == [0, 0, 0, 1, 1, 1, 1]


def test_a_sample_that_two_members_have_is_in_one_group():
    parts = {"one": Atoms(Options(count=3)), "other": Atoms(Options(count=2)), "heavier": Heavier(Options(count=2))}
    joined = JoinedSamples(plugin.UnionConfig(members=list(parts)), parts)
    # The first two atoms of each member are one group there, and the same atoms in both.
    assert joined.groups == [0, 0, 1, 0, 0, 2, 2]


def test_holdouts_are_those_of_the_members_and_the_members(union):
    joined = union("atoms", "heavier", atoms={"count": 3})
    assert {name: list(indices) for name, indices in joined.holdouts.items()} == {
        "last": [2, 4], "atoms": [0, 1, 2], "heavier": [3, 4],
    }  # fmt: skip


def test_building_builds_what_is_not_ready_once(union):
    joined = union("atoms", "heavier")
    joined.members["atoms"].build(lambda done, total: None)
    assert not joined.ready
    joined.build(lambda done, total: None)
    assert joined.ready
    assert [member.built for member in joined.members.values()] == [1, 1]
    with pytest.raises(DataError, match=r"^union has no labels of its own"):
        joined.build(lambda done, total: None, recompute=True)


def test_failures_and_facts_name_their_member(union):
    joined = union("atoms", "heavier")
    assert joined.failures == {"atoms/atom-99": "too far", "heavier/atom-99": "too far"}
    assert joined.describe()["heavier"] == "2 samples"
    assert joined.describe()["heavier: level"] == "none"


def test_the_fingerprint_follows_each_member_and_their_order(union):
    joined = [union("atoms", "heavier"), union("heavier", "atoms"), union("atoms")]
    joined.append(union("atoms", "heavier", atoms={"count": 3}))
    assert len({one.fingerprint() for one in joined}) == 4


def test_an_absent_member_is_answered_with_the_nearest(union):
    with pytest.raises(ConfigError, match="did you mean 'atoms'"):
        union("atms")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.members=[union]", "union cannot be a member of union"),
        ("data.members=[li-o-li,li-o-li]", "a dataset can be a member once"),
        ("data.members=[]", "at least 1 item"),
        ("data.members=[li-o-l]", "there is no dataset 'li-o-l'; did you mean 'li-o-li'?"),
        ("data.options.li-o-l.samples=9", "there is no 'li-o-l' in data.members; did you mean 'li-o-li'?"),
        ("data.options.li-o-li.sample=9", "there is no option 'data.options.li-o-li.sample'; did you mean 'samples'?"),
    ],
)
def test_a_mistake_is_answered_before_anything_is_read(setting, message):
    with pytest.raises(ConfigError) as caught:
        resolve(Registry.discover(), None, {"data": "union"}, [setting])
    assert message in str(caught.value)


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_conformance(check):
    check(component("dataset", "union", {"options": TINY}))


@pytest.fixture
def edframe(monkeypatch, capsys):
    """The command line in this process, without the report of a run: its exit code, output and errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["edframe", *map(str, arguments)])
        monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path)
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return SimpleNamespace(code=code, **capsys.readouterr()._asdict())

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_run_trains_on_small_clusters_tests_on_larger_ones_and_predicts(edframe, tmp_path):
    settings = [
        f"data.options.{name}.{key}={value}" for name, options in TINY.items() for key, value in options.items()
    ] + ["splits.validation=2", "training.steps=3", "model.widths=[4]", "model.blocks=[0]"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    train = ["run", "--data", "union", "--loss", "l2", "--device", "cpu", "--runs", tmp_path / "runs", *pairs]
    done = edframe(*train, "--set", "splits.test=n>1")
    assert (done.code, done.err) == (0, "")
    (path,) = (tmp_path / "runs").iterdir()
    tested = [event.id for event in Run(path).events() if isinstance(event, Evaluated)]
    assert tested == ["li2o-2-00", "li2o-2-01"]
    assert {"edframe-mix", "edframe-pyscf"} <= set(Run(path).provenance()["versions"])

    places = [[0.3, 0.5, 0.5], [0.7, 0.5, 0.5], [0.5, 0.5, 0.5]]
    atoms = Structure(Lattice.orthorhombic(9.6, 7.2, 7.2), ["Li", "Li", "O"], places)
    atoms.to(tmp_path / "POSCAR", fmt="poscar")
    predicted = edframe("predict", path, tmp_path / "POSCAR", tmp_path / "CHGCAR")
    assert "12 electrons" in predicted.out, predicted.err

    refused = edframe(*train, "--set", "splits.test=n>5")
    assert (refused.code, list((tmp_path / "runs").iterdir())) == (2, [path])
    assert "no held-out test set 'n>5'; did you mean 'n>1'? Choices: corners, li-o-li, n>1" in refused.err
