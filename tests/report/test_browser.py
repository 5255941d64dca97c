"""The page in a real browser, without a network."""

import os
import re
import shutil
import subprocess

import pytest

from edframe.report import write_report
from edframe.runs.events import Evaluated

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")

PROBE = """<script>addEventListener("load", () => {
  document.body.dataset.widths = [...document.images].map(image => image.naturalWidth).join(" ");
  document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
  document.body.dataset.text = document.querySelector(".headline").innerText;
})</script></body>"""


def browse(page, tmp_path, *options) -> str:
    command = [CHROMIUM, "--headless", "--disable-gpu", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
               f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # chromium refuses to run as root with its sandbox, as in containers
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("width", [500, 1200])
def test_page_renders(run_dir, events, tmp_path, width):
    text = write_report(run_dir).read_text(encoding="utf-8")
    # The page forbids scripts; the copy that is looked at drops that line and reports on itself.
    probed = tmp_path / "probed.html"
    probed.write_text(re.sub(r"<meta http-equiv.*?>\n", "", text).replace("</body>", PROBE), encoding="utf-8")
    body = re.search(r"<body[^>]*>", browse(probed, tmp_path, "--dump-dom", f"--window-size={width},2000")).group(0)
    widths = [int(w) for w in re.search(r'data-widths="([\d ]*)"', body).group(1).split()]
    assert len(widths) == 6
    assert min(widths) > 900
    assert f"On {sum(isinstance(event, Evaluated) for event in events)} test structures" in body
    assert int(re.search(r'data-overflow="(-?\d+)"', body).group(1)) <= 0


def test_page_as_it_is_shows_pictures_under_its_own_policy(run_dir, tmp_path):
    from matplotlib.image import imread

    picture = tmp_path / "page.png"
    browse(write_report(run_dir), tmp_path, f"--screenshot={picture}", "--window-size=1100,3000")
    pixels = imread(picture)[..., :3].reshape(-1, 3)
    # The darkest violet of viridis, (68, 1, 84), is in no text and no rule of the page: only in its pictures.
    violet = abs(pixels * 255 - (68, 1, 84)).max(axis=1) < 3
    assert violet.sum() > 10_000
    assert (pixels.min(axis=1) > 0.98).mean() > 0.3
