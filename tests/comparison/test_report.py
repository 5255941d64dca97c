"""The report of a comparison: its numbers against SciPy, its files against each other, its page in a browser."""

import base64
import hashlib
import html
import html.parser
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pandas
import pytest
from scipy import stats

from edframe.comparison.outcome import Outcome, frame
from edframe.comparison.report import differences, files, page, write
from edframe.comparison.report.examples import Example, examples
from edframe.comparison.report.isosurfaces import STEP, scenes
from edframe.comparison.report.looks import looks
from edframe.comparison.report.rows import rows
from edframe.comparison.statistics import effects
from edframe.contract.registry import Registry
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.report.scenes import around, averaged, level
from edframe.report.style import png
from edframe.runs.directory import Run
from edframe.runs.events import Step, Validation

HOSTILE = '</script><b onclick="x">50 % & $a_1$'
UNITS = {
    "nmae": "%",
    "rmse": "e/Å³",
    "electron_count_error": "e",
    "dipole_error": "e·Å",
    "l1": "1",
    "baseline_nmae": "%",
}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def made_up(variant, level, seed, *, condition=None, run=None, samples=6, training=40):
    """A run whose test samples have an NMAE of about ``level`` in %, with the other metrics in proportion."""
    noise = np.random.default_rng([seed, samples]).normal(0, 0.02, samples)  # the same for all variants of a seed
    own = np.random.default_rng([seed, len(variant)]).normal(0, 0.002, samples)
    values = level * (1 + noise + own)
    scale = dict(zip(UNITS, (1, 0.01, 1e-8, 0.1, 0.01, 0), strict=True))
    measured = {f"s-{i}": {name: x * scale[name] for name in UNITS} for i, x in enumerate(values)}
    for sample in measured.values():
        sample["baseline_nmae"] = 17.0
    validations = [Validation(10 * i, level + 10 / i, 2.0 * i) for i in (1, 2, 3)]
    return Outcome(
        variant=variant, condition=condition or {}, fold=0, seed=seed, run=run, samples=measured,
        groups={name: i for i, name in enumerate(measured)}, units=UNITS, training=training, step_seconds=0.1,
        memory=512e6, steps=[Step(30, 0.1, 1e-3, 0.01, 6.5)], validations=validations,
    )  # fmt: skip


def density(grid, centre, width):
    away = grid.coordinates() - centre
    return np.exp(-(away**2).sum(-1) / (2 * width**2)).astype(np.float32)


def example(dimension=3, variants=("good", "bad"), id="s-1"):
    grid = Grid.of([8.0] * dimension, (24,) * dimension)
    middle = np.full(dimension, 4.0)
    aside = np.eye(dimension)[0]
    predicted = {name: density(grid, middle + 0.05 * i * aside, 0.8) for i, name in enumerate(variants, 1)}
    errors = {name: float(i) for i, name in enumerate(variants)}
    return Example(id, grid, ("He",), middle[None], density(grid, middle, 0.8), predicted, errors)


@pytest.fixture
def run(tmp_path):
    """The directory of a run that has its provenance alone."""
    made = Run.create(tmp_path / "runs", "made-up", "name: x\n")
    made.record(status="finished", versions={"edframe": "1.2.3"}, git_commit="abc123", device=HOSTILE, seconds=9.0)
    return made.path


@pytest.fixture
def outcomes(run):
    return [
        made_up(v, x, seed, run=run) for seed in range(4) for v, x in (("good", 4.0), ("bad", 5.0), ("same", 5.001))
    ]


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are put together but not drawn: for tests of the text."""
    for module in ("comparison.report.curves", "comparison.report.differences", "report.densities"):
        monkeypatch.setattr(f"edframe.{module}.png", lambda figure: b"\x89PNG")


def renamed(outcomes, variant):
    """With a hostile label for a variant."""
    return [
        replace(outcome, variant=HOSTILE if outcome.variant == variant else outcome.variant) for outcome in outcomes
    ]


def written(folder, outcomes, monkeypatch, shown=(), reference="bad", **texts):
    """Write a report of made-up runs, with made-up examples; return the folder."""
    monkeypatch.setattr(page, "examples", lambda *_: list(shown))
    given = {
        "title": "A comparison",
        "axis": "loss",
        "command": "edframe compare x",
        "declared": "axis: loss\n",
        **texts,
    }
    write(
        folder,
        outcomes=outcomes,
        effects=effects(outcomes, reference),
        reference=reference,
        registry=Registry(),
        **given,
    )
    return folder


class Page(html.parser.HTMLParser):
    """Tags, and the text of each kind of place."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.inside, self.texts = [], [], {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.setdefault(self.inside[-1] if self.inside else "", []).append(data)

    @property
    def words(self):
        return " ".join(" ".join(x for tag, texts in self.texts.items() if tag != "script" for x in texts).split())


def test_rows_are_students_mean_over_the_means_of_runs(outcomes):
    by_variant = {row.variant: row for row in rows(outcomes, effects(outcomes, "bad"), "bad")}
    for variant, row in by_variant.items():
        means = [np.mean([s["nmae"] for s in o.samples.values()]) for o in outcomes if o.variant == variant]
        interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
        mean = row.means["nmae"]
        assert (mean.value, mean.low, mean.high) == pytest.approx((np.mean(means), interval.low, interval.high))
        assert (row.runs, row.step, row.seconds, row.memory) == (4, pytest.approx(100), 6.5, 512)
    assert by_variant["good"].best == {"nmae", "rmse", "dipole_error", "l1"}  # the electron count is not judged
    assert by_variant["bad"].best == by_variant["same"].best == set()


def test_a_fold_of_more_samples_counts_more_as_in_the_sentences(run):
    runs = [made_up(v, x, i, run=run, samples=n) for v, x in (("a", 4.0), ("b", 5.0)) for i, n in enumerate((3, 30))]
    every = effects(runs, "b")
    row = rows(runs, every, "b")[0]
    assert row.means["nmae"].value == pytest.approx(every[0].variant_mean)
    assert row.means["nmae"].value != pytest.approx(np.mean([outcome.mean("nmae") for outcome in runs[:2]]), rel=1e-6)


def test_the_matrix_has_every_effect_and_colours_what_is_claimed(outcomes, tmp_path, monkeypatch, undrawn):
    """Of nmae, dipole and l1, good is 20% below bad, and same is not claimed to differ from it."""
    text = (written(tmp_path / "out", outcomes, monkeypatch) / "compare.html").read_text()
    table = text[text.index('<table id="effects"') : text.index("</table>", text.index('<table id="effects"'))]
    rows = table.split("<tr")[2:]
    assert [re.search(r'class="id">(\w+)', row)[1] for row in rows] == ["good", "same"]
    good, same = (re.findall(r'<td class="n( lower| higher)?">(?:<strong>)?([+−\d.]+)', row) for row in rows)
    assert good == [(" lower", "−20")] * 3
    assert [way for way, _ in same] == [""] * 3
    assert all(abs(float(value.replace("−", "-"))) < 1 for _, value in same)
    assert "<details open>" not in text[text.index('id="said"') : text.index('id="training"')]


def test_what_no_sample_has_is_a_dash_and_no_panel(run, tmp_path, monkeypatch):
    """A crystal has no dipole: under one condition nobody has the metric, under the other all."""

    def without(outcome):
        samples = {name: {**values, "dipole_error": np.nan} for name, values in outcome.samples.items()}
        return replace(outcome, samples=samples)

    every = [
        made_up(variant, level, seed, run=run, condition={"data": data})
        for data in ("molecules", "crystals") for seed in range(2) for variant, level in (("bad", 5.0), ("good", 4.0))
    ]  # fmt: skip
    some = [without(outcome) if outcome.condition["data"] == "crystals" else outcome for outcome in every]
    for outcomes, columns in ((some, 3), ([without(outcome) for outcome in every], 3)):
        text = (
            written(tmp_path / str(len(list(tmp_path.iterdir()))), outcomes, monkeypatch) / "compare.html"
        ).read_text()
        start = text.index('<table id="effects"')
        rows = text[start : text.index("</table>", start)].split("<tr")[2:]
        values = [re.findall(r'<td class="n[^"]*">(?:<strong>)?([+−–\d.]+)', row) for row in rows]
        assert [len(row) for row in values] == [columns] * 2
        assert values[1][1] == "–"
        assert (values[0][1] == "–") == (outcomes is not some)


def test_the_lowest_is_not_marked_when_chance_explains_it(outcomes):
    pair = [outcome for outcome in outcomes if outcome.variant != "good"]
    assert all(not row.best for row in rows(pair, effects(pair, "bad"), "bad"))
    others = [outcome for outcome in outcomes if outcome.variant != "same"]
    marked = {row.variant: "nmae" in row.best for row in rows(others, effects(others, "good"), "good")}
    assert marked == {"good": True, "bad": False}


def test_a_single_run_has_the_interval_of_its_samples(run):
    (row,) = rows([made_up("one", 4.0, 0, run=run, samples=400)], [], "one")
    values = [sample["nmae"] for sample in made_up("one", 4.0, 0, samples=400).samples.values()]
    reach = 1.96 * np.std(values) / 20  # of many samples the bootstrap's is the normal one
    assert row.means["nmae"].low == pytest.approx(np.mean(values) - reach, abs=0.1 * reach)
    assert row.means["nmae"].high == pytest.approx(np.mean(values) + reach, abs=0.1 * reach)


def test_differences_of_runs_are_those_of_their_shared_samples(outcomes):
    effect = next(e for e in effects(outcomes, "bad") if (e.variant, e.metric) == ("good", "nmae"))
    table = frame(outcomes).pivot_table(index=["seed", "id"], columns="variant", values="nmae")
    expected = (table["good"] - table["bad"]).groupby("seed").mean().to_numpy()
    assert differences.run_differences(outcomes, effect) == pytest.approx(expected)


def test_files_hold_every_sample_of_every_run(outcomes, tmp_path, monkeypatch, undrawn):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    folder = written(tmp_path / "out", outcomes, monkeypatch)
    csv = pandas.read_csv(folder / "compare.csv", float_precision="round_trip")
    parquet = pyarrow.read_table(folder / "compare.parquet").to_pandas()
    pandas.testing.assert_frame_equal(csv, parquet, check_dtype=False, check_exact=True)
    assert len(csv) == sum(len(outcome.samples) for outcome in outcomes)
    for outcome in outcomes:
        here = csv[(csv.variant == outcome.variant) & (csv.seed == outcome.seed)].set_index("id")
        assert here["rmse"].to_dict() == {name: sample["rmse"] for name, sample in outcome.samples.items()}


def test_without_pyarrow_the_page_says_what_to_install(outcomes, tmp_path, monkeypatch, undrawn):
    (tmp_path / "compare.parquet").write_bytes(b"of an earlier time")
    missing = ImportError("Missing optional dependency 'pyarrow'")  # what pandas raises
    monkeypatch.setattr(pandas.DataFrame, "to_parquet", Mock(side_effect=missing))
    folder = written(tmp_path, outcomes, monkeypatch)
    assert "pip install 'edframe[compare]'" in Page(folder / "compare.html").words
    assert (folder / "compare.csv").exists()
    assert not (folder / "compare.parquet").exists()


def test_tex_is_escaped_and_rounds_to_the_interval(outcomes):
    hostile = [
        replace(outcome, variant=HOSTILE if outcome.variant == "same" else outcome.variant) for outcome in outcomes
    ]
    table = rows(hostile, effects(hostile, "bad"), "bad")
    text = files.tex(table, {name: UNITS[name] for name in ("nmae", "dipole_error", "l1")}).decode()
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}\n") == 1
    assert text.count("{") == text.count("}")
    assert r"variant & runs & NMAE (\%)" in text
    assert r"50 \% \& \$a\_1\$" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({len(re.split(r"(?<!\\)&", line)) for line in lines}) == 1  # as many cells in each
    good = re.search(r"\{\\boldmath\$([\d.]+) \\pm ([\d.]+)\$\}", text)
    mean = next(row.means["nmae"] for row in table if row.variant == "good")
    assert float(good[1]) == pytest.approx(mean.value, abs=0.05 * (mean.high - mean.low))
    assert float(good[2]) == pytest.approx((mean.high - mean.low) / 2, rel=0.05)


@pytest.mark.parametrize(
    ("mean", "text"),
    [
        ((4.5, 3.5, 5.5), r"$4.5 \pm 1.0$"),
        ((4.5, 4.4, 4.7), "$4.50$ [$4.40$, $4.70$]"),
        ((-1.2e-7, np.nan, np.nan), r"$-1.20 \times 10^{-7}$"),
        ((np.nan, np.nan, np.nan), "--"),
        ((17.0, 17.0, 17.0), "$17.0$"),
    ],
)
def test_a_mean_in_latex(mean, text):
    from edframe.comparison.report.rows import Mean

    assert files.measured(Mean(*mean)) == text


def test_page_says_what_is_told_apart_and_by_what(outcomes, tmp_path, monkeypatch, undrawn):
    folder = written(tmp_path / "out", outcomes, monkeypatch)
    words = Page(folder / "compare.html").words
    assert re.search(
        r"In NMAE, significantly different from bad: good \(20\.\d % lower\); not significantly different: same\.",
        words,
    )
    assert re.search(r"NMAE: good is 20\.\d % lower than bad \(4\.\d+ against 5\.\d+ %", words)
    assert "NMAE: same and bad do not differ significantly" in words
    for text in ("4 pairs of runs", "Benjamini–Hochberg", "edframe compare x", "axis: loss", "1.2.3", "abc123", "± ",
                 "No test sample was evaluated by all variants", "12 runs", "../runs/"):  # fmt: skip
        assert text in words


def test_figures_of_conditions_and_sizes(run, tmp_path, monkeypatch):
    many = [
        made_up(v, x * n**-0.3, seed, run=run, training=n, condition={"training.size": str(n), "model": "$unet$"})
        for n in (10, 40)
        for seed in range(2)
        for v, x in ((HOSTILE, 4.0), ("a label that is much longer than a panel is wide", 5.0), ("bad", 6.0))
    ]
    folder = written(tmp_path / "out", many, monkeypatch)
    parsed = Page(folder / "compare.html")
    names = [attrs["id"] for tag, attrs in parsed.tags if tag == "figure"]
    assert names == ["differences", "pairs", "sizes-1", "learning-1", "learning-2"]
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    assert all(image["alt"] and image["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert "Under training.size 10, model $unet$" in parsed.words


def test_twenty_variants_look_different():
    variants = [made_up(str(i), 4.0, 0) for i in range(20)]
    assert len(set(looks(variants).values())) == 20


def test_text_from_files_is_inert(outcomes, tmp_path, monkeypatch, undrawn):
    hostile = [
        replace(outcome, variant=HOSTILE if outcome.variant == "good" else outcome.variant) for outcome in outcomes
    ]
    shown = [example(variants=(HOSTILE, "bad"), id=HOSTILE)]
    folder = written(
        tmp_path / "out", hostile, monkeypatch, shown, title=HOSTILE, command=HOSTILE, declared=HOSTILE, axis=HOSTILE
    )
    parsed = Page(folder / "compare.html")
    assert "b" not in {tag for tag, _ in parsed.tags}
    assert [attrs.get("type") for tag, attrs in parsed.tags if tag == "script"] == ["application/json", None, None]
    data = json.loads(next(text for text in parsed.texts["script"] if text.startswith("[{")))
    assert (data[0]["id"], data[0]["variants"]) == (HOSTILE, [HOSTILE, "bad"])
    for tag, attrs in parsed.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attrs.get(name) or "data:").startswith("data:"), tag
    policy = next(attrs["content"] for _, attrs in parsed.tags if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert "unsafe" not in policy.partition("script-src")[2]
    assert (folder / "compare.html").stat().st_size < 10e6


@pytest.mark.parametrize("dimension", [1, 2])
def test_flat_grids_have_slices_and_no_script(dimension, outcomes, tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr("edframe.report.densities.png", png)
    folder = written(tmp_path / "out", outcomes, monkeypatch, [example(dimension)])
    parsed = Page(folder / "compare.html")
    assert "example-1-1" in [attrs.get("id") for _, attrs in parsed.tags]
    assert any("iVBOR" in attrs["src"] for tag, attrs in parsed.tags if tag == "img")
    assert "the densities are not three-dimensional" in parsed.words
    assert not parsed.texts.get("script")


def test_a_folder_that_cannot_be_written_is_refused(outcomes, tmp_path, monkeypatch, undrawn):
    (tmp_path / "compare.csv").mkdir()
    with pytest.raises(DataError, match=r"compare\.csv cannot be written"):
        written(tmp_path, outcomes, monkeypatch)
    assert not (tmp_path / "compare.html").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file cannot be made"):
        written(tmp_path / "file", outcomes, monkeypatch)


def test_more_variants_than_fit_go_to_a_second_figure_and_eight_scenes(outcomes, tmp_path, monkeypatch, undrawn):
    names = [f"v{i}" for i in range(10)]
    many = [replace(outcomes[0], variant=name) for name in names]
    folder = written(tmp_path / "out", many, monkeypatch, [example(variants=names)], reference="v0")
    parsed = Page(folder / "compare.html")
    assert [x["id"] for tag, x in parsed.tags if tag == "figure"][-4:] == [f"example-1-{i}" for i in (1, 2, 3, 4)]
    assert sum(attrs.get("class") == "scene" for _, attrs in parsed.tags) == 8
    assert "Shown are the first 8 of 10 variants" in parsed.words


# Isosurfaces: the fields that are drawn


def wave(grid):
    """A smooth periodic field of three long waves."""
    return np.cos(2 * np.pi * grid.fractions()).sum(-1)


def wave_at(points, grid):
    return np.cos(2 * np.pi * (points @ np.linalg.inv(grid.vectors))).sum(-1)


def placed(grid, positions):
    return replace(example(), grid=grid, positions=np.asarray(positions, dtype=float))


def test_a_rectangular_cell_is_cropped_at_its_own_points():
    grid = Grid.of([6.0, 10.0, 8.0], (24, 40, 32))
    field = np.random.default_rng(0).normal(size=grid.shape)
    chosen = placed(grid, [[1.0, 1.1, 7.9]])  # near the boundary: the box reaches around it
    box = around(np.zeros((1, 3)), chosen.positions[0], grid, 10**6)
    index = (box.points() + chosen.positions[0]) / grid.spacing
    assert index == pytest.approx(np.rint(index), abs=1e-9)
    places = np.moveaxis(np.rint(index).astype(int) % grid.shape, -1, 0)
    assert averaged(field, box, grid, chosen.positions[0]) == pytest.approx(field[tuple(places)])
    inside = [sum(abs(k / 4 - x) <= 2.6 for k in range(-20, 60)) for x in chosen.positions[0]]  # in steps of 0.25 Å
    assert list(box.shape) == inside


@pytest.mark.parametrize("points", [10**6, 9000])
@pytest.mark.parametrize(
    "cell", [np.diag([6.0, 7.0, 8.0]), [[6.0, 0, 0], [2.0, 6.0, 0], [1.0, -1.0, 7.0]], np.diag([-6.0, 7.0, 8.0])]
)
def test_a_smooth_field_is_sampled_where_the_box_says(cell, points):
    """Also of blocks, whose mean is the value in their middle but for the curvature over their length."""
    grid = Grid.of(cell, (48, 48, 48))
    positions = np.array([[0.2, 0.3, 0.1], [1.2, 0.3, 0.4]])
    middle = positions.mean(0)
    box = around(positions - middle, middle, grid, points)
    assert np.prod(box.shape) <= points
    values = averaged(wave(grid), box, grid, middle)
    curvature = 3 * (2 * np.pi / 5.5) ** 2
    assert values == pytest.approx(wave_at(box.points() + middle, grid), abs=curvature * box.step.max() ** 2 / 6)


def test_the_level_halves_the_error():
    errors = [np.array([[4.0, -1.0, 0.5]]), np.array([[-3.0, 1.0, 0.5]])]  # 10 in all; 4 + 3 reach half
    assert level(errors) == 3.0
    assert level([np.zeros((2, 2))]) == 1.0


def test_scenes_hold_what_plotly_reads():
    (scene,) = scenes([example()])
    assert scene["species"] == ["He"]
    assert scene["atoms"] == [[0.0, 0.0, 0.0]]
    field = np.frombuffer(base64.b64decode(scene["fields"][1]["bdata"]), "<i2").reshape(scene["shape"])
    assert scene["fields"][1]["dtype"] == "i2"
    height = float(re.search(r"±([\d.]+) e/Å³", scene["caption"])[1])
    expected = example().predicted["bad"] - example().reference
    assert np.abs(field).max() / STEP * height == pytest.approx(np.abs(expected).max(), rel=0.05)
    assert scenes([example(2)]) == []


# Examples: predicted by runs


@pytest.fixture(scope="module")
def trained(edframe, tiny, tmp_path_factory):
    """Two finished tiny runs, of l2 and of l1."""
    folder = tmp_path_factory.mktemp("compared")
    for loss in ("l2", "l1"):
        arguments = tiny(folder / loss)
        arguments[arguments.index("--loss") + 1] = loss
        result = edframe(*arguments, report=False)
        assert result.code == 0, result.err
    return {loss: Run.open(next((folder / loss).iterdir())) for loss in ("l2", "l1")}


@pytest.fixture
def two(trained, environment, monkeypatch):
    monkeypatch.setenv("EDFRAME_CACHE", environment["EDFRAME_CACHE"])
    return [Outcome.read(run, loss, {}, 0, 0) for loss, run in trained.items()]


def test_examples_are_what_the_runs_predicted(two, trained):
    by_id = {shown.id: shown for shown in examples(two, "l2", Registry.discover(), count=4)}
    compared = 0
    for loss, run in trained.items():
        for role in ("best", "median", "worst"):
            tensors, about = run.load_tensors(f"predictions/{role}.safetensors")
            if about["id"] in by_id:
                shown = by_id[about["id"]]
                assert shown.predicted[loss] == pytest.approx(tensors["predicted"][0].numpy(), abs=1e-6)
                assert (shown.reference == tensors["reference"][0].numpy()).all()
                assert shown.species == ("Li", "O", "Li")
                assert shown.positions == pytest.approx(np.array(json.loads(about["positions"])), abs=1e-9)
                error = 100 * np.abs(shown.predicted[loss] - shown.reference).sum() / shown.reference.sum()
                assert shown.nmae[loss] == pytest.approx(error, rel=1e-4)
                compared += 1
    assert compared >= 2


def test_examples_are_the_samples_widest_apart_one_of_each_group(two):
    ids = list(two[0].samples)
    l2, groups = dict.fromkeys(ids, 1.0), dict.fromkeys(ids, 0) | {ids[3]: 1}
    l1 = {**l2, ids[0]: 1.1, ids[1]: 3.0, ids[3]: 2.0}
    given = [
        replace(outcome, samples={name: {"nmae": x} for name, x in errors.items()}, groups=groups)
        for outcome, errors in zip(two, (l2, l1), strict=True)
    ]
    chosen = examples(given, "l2", Registry.discover())
    assert [shown.id for shown in chosen] == [ids[1], ids[3]]
    assert chosen[0].nmae == {"l2": 1.0, "l1": 3.0}


# In a browser

PROBE = """addEventListener("load", async () => {
  const drawings = [...document.querySelectorAll(".drawing")], choice = document.getElementById("isosurface-choice");
  const shown = () => drawings.filter((drawing) => !drawing.parentElement.hidden);
  document.body.dataset.first = shown().length;
  document.body.dataset.label = document.querySelector(".variant").textContent;
  const images = shown().map((drawing) => Plotly.toImage(drawing, { format: "png", width: 160, height: 160 }));
  document.body.dataset.images = (await Promise.all(images)).join(" ");
  choice.value = 1;
  choice.dispatchEvent(new Event("change"));
  document.body.dataset.second = shown().length;
})"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_the_page_draws_its_isosurfaces_under_its_own_policy(outcomes, tmp_path, monkeypatch, undrawn):
    """In the copy that is looked at, the policy allows one script more: that which reports what was drawn."""
    from matplotlib.image import imread

    shown = [example(variants=(HOSTILE, "bad")), example(variants=("bad",), id="s-2")]
    file = written(tmp_path / "out", renamed(outcomes, "good"), monkeypatch, shown) / "compare.html"
    allowed = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = file.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{allowed}' ", 1)
    file.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    page, log = browse(file, tmp_path)
    console = [line for line in log.splitlines() if "CONSOLE" in line]
    assert not [line for line in console if re.search("Uncaught|Refused|Error|violat", line)], console
    assert re.search('data-first="2".*data-second="1"', page)
    assert html.unescape(re.search('data-label="([^"]*)"', page)[1]) == HOSTILE
    images = re.search('data-images="([^"]*)"', page)[1].split()
    assert len(images) == 2
    for image in images:
        pixels = imread(io.BytesIO(base64.b64decode(image.partition(",")[2])))[..., :3].reshape(-1, 3)
        red = (pixels[:, 0] > 0.55) & (pixels[:, 1:] < 0.55).all(axis=1)
        blue = (pixels[:, 2] > 0.55) & (pixels[:, 0] < 0.4)
        assert red.mean() > 0.02  # in front of the atom that was moved
        assert blue.mean() > 0.02  # behind it


def browse(file, tmp_path):
    """The page as it is after its scripts, and what the browser logged."""
    command = [CHROMIUM, "--headless", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--enable-logging=stderr", "--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'profile'}",
               "--dump-dom", file.as_uri()]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # chromium refuses to run as root with its sandbox, as in containers
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr
