"""The site: every page is in its navigation, and it builds without a warning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docs" / "site" / "mkdocs.yml"


def leaves(entry):
    """Pages of a navigation, however deep."""
    if isinstance(entry, str):
        yield entry
    else:
        for child in entry.values() if isinstance(entry, dict) else entry:
            yield from leaves(child)


def test_every_page_is_in_the_navigation_once():
    pages = list(leaves(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["nav"]))
    written = [
        path for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "findings/*.md") for path in ROOT.glob(pattern)
    ]
    assert sorted(pages) == sorted(path.relative_to(ROOT).as_posix() for path in written)


@pytest.mark.slow
def test_the_site_builds_with_warnings_as_errors(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", CONFIG, "--site-dir", tmp_path]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "docs" / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert "edframe.api.density.Density.dipole" in reference  # docstrings were found
    for page in (ROOT / "plugins").glob("*/README.md"):
        assert (tmp_path / "plugins" / page.parent.name / "index.html").is_file()
