"""The page in a real browser, without a network."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from edframe.report import write_report
from edframe.runs.events import Evaluated

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")

PROBE = """<script>addEventListener("load", () => {
  document.body.dataset.widths = [...document.images].map(image => image.naturalWidth).join(" ");
  document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
  const place = (image) => image.getBoundingClientRect();
  const drawn = [...document.querySelectorAll("figure img")].filter((image) => place(image).top < innerHeight);
  document.body.dataset.places = drawn.map((image) => [image.closest("figure").id, place(image).left, place(image).top,
    place(image).right, place(image).bottom].join(",")).join(" ");
  document.body.dataset.cut = [...document.querySelectorAll("table")]
    .filter((table) => table.offsetWidth > table.parentElement.clientWidth).map((table) => table.className).join(" ");
  document.body.dataset.text = document.querySelector(".headline").innerText;
})</script></body>"""


def browse(page, tmp_path, *options) -> str:
    command = [CHROMIUM, "--headless", "--disable-gpu", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
               f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # chromium refuses to run as root with its sandbox, as in containers
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def probed(page, tmp_path, width, height) -> str:
    """The tag of the body of a copy that reports on itself: the page forbids scripts, and the copy drops that line."""
    copy = tmp_path / "probed.html"
    text = re.sub(r"<meta http-equiv.*?>\n", "", page.read_text(encoding="utf-8"))
    copy.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    return re.search(r"<body[^>]*>", browse(copy, tmp_path, "--dump-dom", f"--window-size={width},{height}")).group(0)


@pytest.mark.parametrize("width", [500, 1200])
def test_page_renders(run_dir, events, tmp_path, width):
    body = probed(write_report(run_dir), tmp_path, width, 2000)
    widths = [int(w) for w in re.search(r'data-widths="([\d ]*)"', body).group(1).split()]
    assert len(widths) == 6
    assert min(widths) > 900
    assert f"On {sum(isinstance(event, Evaluated) for event in events)} test structures" in body
    assert int(re.search(r'data-overflow="(-?\d+)"', body).group(1)) <= 0
    if width == 1200:  # on a phone tables scroll
        assert 'data-cut=""' in body


def test_page_as_it_is_shows_pictures_under_its_own_policy(run_dir, tmp_path):
    from matplotlib.image import imread

    page, picture = write_report(run_dir), tmp_path / "page.png"
    body = probed(page, tmp_path, 1100, 3000)
    browse(page, tmp_path, f"--screenshot={picture}", "--window-size=1100,3000")
    pixels = imread(picture)[..., :3]
    # Pictures of densities are full of colour, which the rest of the page has in thin lines only.
    coloured = np.ptp(pixels, axis=-1) > 0.25
    seen = 0
    for figure in re.search(r'data-places="([^"]*)"', body)[1].split():
        name, *sides = figure.split(",")
        left, top, right, bottom = (round(float(side)) for side in sides)
        inside = coloured[top:bottom, left:right]
        if name.startswith("density"):
            assert inside.mean() > 0.15, name
            seen += 1
        inside[...] = False
    assert seen == 3
    assert coloured.mean() < 0.005
