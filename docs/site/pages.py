"""The pages of the site, from where they lie in the repository, so that every relative link works on GitHub as well.

MkDocs wants all pages in one folder. They are given to it one by one here, by their paths from the root, with each file
that they link to; a notebook beside a tutorial gives its outputs to the page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "findings/README.md",
    "docs/**/*.md",
    "plugins/*/README.md",
    "plugins/*/docs/*.md",
)
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
BLOCK = re.compile(r"^```(?:python|bash)\n.*?^```$", flags=re.DOTALL | re.MULTILINE)
TO_FOLDER = re.compile(r"\[([^\]]+)\]\(([^)\s#:]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The plugins' pages in the navigation, and anchors as GitHub makes them."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    pages = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("plugins/*/README.md"))]
    gallery = "plugins/edframe-sinkhorn/docs/gallery.md"
    (section,) = (entry for entry in config.nav or [] if "Plugins" in entry)
    section["Plugins"] = [*({page.split("/")[1]: page} for page in pages), {"Gallery of sinkhorn": gallery}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages, what they link to, and the theme's own files."""
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    linked = {
        target
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if (target := (page.parent / link).resolve()).is_file()
    }
    names = sorted(path.relative_to(ROOT).as_posix() for path in pages | linked if path.is_relative_to(ROOT))
    made = [File.generated(config, name, abs_src_path=str(ROOT / name)) for name in names]
    return Files([*made, *(file for file in files if not file.is_documentation_page())])


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to folders, which a site has not, become plain text; the code of a tutorial is followed by its outputs."""
    path = ROOT / page.file.src_uri
    text = TO_FOLDER.sub(lambda found: found[1] if (path.parent / found[2]).is_dir() else found[0], text)
    if not path.with_suffix(".ipynb").exists():
        return text
    cells = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = (cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    return BLOCK.sub(lambda found: found[0] + "".join(map(shown, next(outputs))), text)


def shown(output: dict[str, Any]) -> str:
    """An output of a cell in Markdown: its picture, or its text."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).strip()
        return f'\n\n<img alt="drawn by this code" width="480" src="data:image/png;base64,{picture}">\n'
    text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    return f"\n\n```text\n{text}\n```" if text else ""
