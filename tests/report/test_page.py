"""The page, from complete and from incomplete runs."""

import html.parser
import json
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from edframe.errors import RunError
from edframe.grid import Grid
from edframe.report import write_report
from edframe.report.numbers import number
from edframe.report.read import read_run
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Results, Step, Unconverged, Validation, step_of

BIBTEX = "@article{Someone2020,\n  title = {Densities & <more>},\n  doi = {10.1000/xyz}\n}"
HOSTILE = '<script>alert("x")</script><img src=http://example.org/x>&'
VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are put together but not drawn, which is most of the time: for tests of the text."""
    for module in ("curves", "densities"):
        monkeypatch.setattr(f"edframe.report.{module}.png", lambda figure: b"\x89PNG")


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; refuses tags that do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def read(run_dir) -> Page:
    return Page(write_report(run_dir).read_text(encoding="utf-8"))


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def test_complete_run(run_dir, events):
    page = read(run_dir)
    assert page.all("h1")
    tested = [event for event in events if isinstance(event, Evaluated)]
    worst = max(tested, key=lambda event: event.metrics["nmae"])
    facts = Run(run_dir).provenance()
    split = "{train} training, {validation} validation, {test} test".format(**facts["dataset"])
    for words in ("li-o-li-unet-l2", "data li-o-li", "featurizer sad", "model unet", "loss l2", split,
                  f"On {len(tested)} test structures", f"Worst test structure, {worst.id}", "NMAE of the baseline",
                  "edframe run config.yaml", facts["git_commit"]):  # fmt: skip
        assert words in page.text
    for reference in facts["references"]:
        assert " ".join(reference.split()) in page.text
    names = {"learning", "optimisation", "errors", "density-worst", "density-median", "density-best"}
    assert {file.stem for file in (run_dir / "figures").iterdir()} == names
    assert len(page.all("img")) == len(names)
    for file in (run_dir / "figures").iterdir():
        width, height = png_size(file.read_bytes())
        assert width >= 900
        assert height >= 300


def curves_of(run_dir, monkeypatch):
    """The lines of the figure of the learning curves, by their labels: steps and values."""
    lines = {}

    def look(figure):
        for ax in figure.axes:
            lines.update({line.get_label(): (line.get_xdata(), line.get_ydata()) for line in ax.get_lines()})
        return b"\x89PNG"

    monkeypatch.setattr("edframe.report.curves.png", look)
    return lines, read(run_dir).text


def test_losses_and_errors_of_steps_and_validations_are_drawn_as_they_were_logged(run_dir, events, monkeypatch):
    steps, validations = ([e for e in events if isinstance(e, kind)] for kind in (Step, Validation))
    monkeypatch.setattr("edframe.report.densities.png", lambda figure: b"\x89PNG")
    monkeypatch.setattr("edframe.report.curves.optimisation", lambda run: None)
    monkeypatch.setattr("edframe.report.curves.errors", lambda run: None)
    monkeypatch.setattr("edframe.report.curves._validation_panel", lambda ax, run: None)
    lines, text = curves_of(run_dir, monkeypatch)
    assert lines["training batches"][0].tolist() == [event.step for event in steps]
    assert lines["training batches"][1].tolist() == [event.loss for event in steps]
    assert lines["validation"][0].tolist() == [event.step for event in validations] == [3, 6]
    assert lines["validation"][1].tolist() == [event.loss for event in validations]
    assert "mean loss on the validation structures" in text


def test_a_run_from_before_the_validation_loss_was_logged_has_neither_its_curve_nor_its_caption(
    run_dir, events, make, monkeypatch
):
    old = [replace(event, loss=None) if isinstance(event, Validation) else event for event in events]
    make.write_events(run_dir, old)
    monkeypatch.setattr("edframe.report.densities.png", lambda figure: b"\x89PNG")
    monkeypatch.setattr("edframe.report.curves._validation_panel", lambda ax, run: None)
    lines, text = curves_of(run_dir, monkeypatch)
    assert "training batches" in lines
    assert "validation" not in lines
    assert "loss on the validation structures" not in text
    assert "NMAE on the validation structures, by which the checkpoint was chosen" in text


def with_metric(events, name, **values):
    """The results with other values of a metric."""
    *others, results = events
    changed = {**results.metrics, name: replace(results.metrics[name], **values)}
    return [*others, replace(results, metrics=changed)]


def test_headline_gives_the_mean_the_interval_and_the_baseline(run_dir, events, make, undrawn):
    changed = with_metric(events, "nmae", mean=2.1, low=1.98, high=2.25)
    make.write_events(run_dir, with_metric(changed, "baseline_nmae", mean=16.8))
    text = read(run_dir).text
    assert "off by 2.10 % of the electrons (NMAE; 95% interval of the mean 1.98 to 2.25 %)" in text
    assert "the baseline it starts from, by 16.8 %" in text
    assert "removes 88 % of the baseline's error" in text


def test_headline_says_what_a_self_consistent_field_feels(run_dir, events, make, undrawn):
    *others, results = events
    energies = {name: replace(results.metrics["nmae"], unit="eV/e", mean=mean)
                for name, mean in (("coulomb_error", 0.012), ("low_g_error", 0.003))}  # fmt: skip
    make.write_events(run_dir, [*others, replace(results, metrics={**results.metrics, **energies})])
    assert "0.0120 eV per electron, 25 % of it in waves of |G| < 1 Å⁻¹" in read(run_dir).text


def test_nothing_outside_the_page_is_referred_to(run_dir, undrawn):
    page = read(run_dir)
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attrs.get(name) or "data:").startswith("data:")
    assert not page.all("script")
    style = re.search(r"<style>(.*?)</style>", (run_dir / "report.html").read_text(), re.S).group(1)
    assert "url(" not in style
    assert "@import" not in style
    policy = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy[0]["content"]


def test_text_from_files_is_escaped(run_dir, events, make, undrawn):
    worst = max((e for e in events if isinstance(e, Evaluated)), key=lambda event: event.metrics["nmae"])
    make.write_events(run_dir, [replace(event, id=HOSTILE) if event is worst else event for event in events])
    make.prediction(run_dir, "c", Grid.of([5.0, 5.0, 5.0], 12), "best", HOSTILE)
    (run_dir / "provenance.json").write_text(
        json.dumps({"command": HOSTILE, "device": HOSTILE, "status": HOSTILE, "references": [HOSTILE]})
    )
    (run_dir / "config.yaml").write_text(yaml.safe_dump({"name": HOSTILE, "model": {"name": HOSTILE}}))
    page = read(run_dir)
    assert not page.all("script")
    assert all((img["src"] or "").startswith("data:image/png;base64,") for img in page.all("img"))
    # Shown as text: title, model, device, status, caption, worst table, config (2), provenance (3), reference.
    assert page.text.count("<script>") >= 10


def test_images_have_text_and_the_page_a_language(run_dir, undrawn):
    page = read(run_dir)
    assert all(img.get("alt") for img in page.all("img"))
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("meta")[1]["content"] == "width=device-width, initial-scale=1"


def test_references_are_written_once(run_dir, undrawn):
    Run(run_dir).record(references=[BIBTEX, BIBTEX])
    write_report(run_dir)
    assert (run_dir / "references.bib").read_text().count("@article") == 1


def test_writing_again_gives_the_same_files_and_leaves_no_others(run_dir):
    write_report(run_dir)
    first = {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file()}
    write_report(run_dir)
    assert {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file()} == first


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("baseline", [True, False])
def test_grids_of_every_dimension(run_dir, make, dimension, baseline):
    shutil.rmtree(run_dir / "predictions")
    cell = [[6.0, 0, 0], [2.0, 5.0, 0], [1.0, -1.0, 5.0]]
    grid = Grid.of([row[:dimension] for row in cell[:dimension]], 16)
    make.prediction(run_dir, "only", grid, "median", baseline=baseline)
    make.write_events(run_dir, [])
    read(run_dir)
    assert png_size((run_dir / "figures" / "density-median.png").read_bytes())[0] >= 900


def test_a_prediction_without_error_or_density_is_drawn(run_dir, make):
    from safetensors.numpy import load_file, save_file

    file = run_dir / "predictions" / "worst.safetensors"
    grid = Grid.of([6.0, 5.0, 5.0], (24, 20, 20))
    make.prediction(run_dir, "worst", grid, baseline=False)
    about = {"id": "a", "role": "worst", "grid": json.dumps(grid.to_dict()), "species": "[]", "positions": "[]"}
    zero = load_file(file)["reference"] * 0
    save_file({"predicted": zero, "reference": zero}, file, metadata=about)
    read(run_dir)


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ((Step, Evaluated, Results), "No validation was recorded."),
        ((Evaluated, Results), "No optimiser steps are recorded"),
        ((Step, Validation), "No test structure has been evaluated."),
        ((), "This run has no test results"),
    ],
)
def test_what_is_missing_is_said(run_dir, events, make, kinds, sentence, undrawn):
    make.write_events(run_dir, [event for event in events if isinstance(event, kinds)])
    assert sentence in read(run_dir).text


def test_without_baseline_predictions_provenance(run_dir, events, make, undrawn):
    make.write_events(run_dir, map(make.without_baseline, events))
    (run_dir / "provenance.json").unlink()
    shutil.rmtree(run_dir / "predictions")
    text = read(run_dir).text
    assert "gives no baseline" in text
    assert "No predictions are kept" in text
    assert "has no provenance.json" in text
    assert "names a reference" in text


def test_summary_is_worked_out_where_the_run_was_stopped_before_it(run_dir, events, make, undrawn):
    make.write_events(run_dir, [event for event in events if not isinstance(event, Results)])
    errors = [event.metrics["nmae"] for event in events if isinstance(event, Evaluated)]
    mean = sum(errors) / len(errors)
    assert f"off by {number(mean)} % of the electrons" in read(run_dir).text
    assert list(read_run(run_dir).summary) == list(events[-1].metrics)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("steps", [1, 3])
def test_very_short_runs(run_dir, events, make, samples, steps):
    shutil.rmtree(run_dir / "predictions")
    short = [event for event in events if (step_of(event) or 0) <= steps and not isinstance(event, Evaluated)]
    tested = [event for event in events if isinstance(event, Evaluated)][:samples]
    make.write_events(run_dir, [*short, *tested])
    read(run_dir)


def test_values_that_are_not_finite_do_not_break_figures(run_dir, events, make):
    shutil.rmtree(run_dir / "predictions")
    nan = float("nan")
    for place, event in enumerate(events):
        if isinstance(event, Step):
            events[place] = replace(event, loss=nan, gradient_norm=nan)
        elif isinstance(event, Validation):
            events[place] = replace(event, loss=nan)
        elif isinstance(event, Evaluated):
            events[place] = replace(event, metrics={**event.metrics, "low_density_nmae": nan})
    make.write_events(run_dir, with_metric(events, "low_density_nmae", mean=nan))
    assert "nan" not in read(run_dir).text.split("Provenance")[0].split()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.jsonl", None, "metrics.jsonl does not exist"),
        ("metrics.jsonl", '\n{"event": "st\n', "metrics.jsonl, line 2, is not JSON"),
        ("metrics.jsonl", "[1]\n", "line 1, holds list"),
        ("metrics.jsonl", '{"event": "step", "loss": 1}\n', "without 'step'"),
        ("config.yaml", None, "config.yaml does not exist"),
        ("config.yaml", "a: [", "is not YAML"),
        ("provenance.json", "{", "provenance.json is not JSON"),
        ("predictions/worst.safetensors", "broken", "is not a prediction"),
    ],
)
def test_broken_files_are_refused_in_one_sentence(run_dir, file, content, message):
    if content is None:
        (run_dir / file).unlink()
    else:
        (run_dir / file).write_text(content)
    with pytest.raises(RunError, match=re.escape(message)) as caught:
        write_report(run_dir)
    assert "\n" not in str(caught.value)
    assert not (run_dir / "report.html").exists()


def test_importing_the_report_is_light():
    code = "import sys, edframe.report; sys.exit(bool({'torch', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_solves_that_did_not_converge_are_a_warning_on_the_page(run_dir, events, make, undrawn):
    make.write_events(run_dir, [*events, Unconverged("training", "unconverged", count=12, of=900, step=6)])
    assert "Warning. l2: 12 of 900 solves in training did not converge" in read(run_dir).text
    make.write_events(run_dir, events)
    assert "Warning" not in read(run_dir).text
