"""Links lead somewhere, and commands that are only mentioned exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from edframe.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page):
    """The text without code blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def mentions(page):
    """Commands in code: fenced, indented or within a line."""
    for block in FENCED.findall(page.read_text(encoding="utf-8")):
        yield from re.findall(r"^ *(edframe .+)$", block, flags=re.MULTILINE)
    yield from re.findall(r"^ {4}(edframe .+)$", prose(page), flags=re.MULTILINE)
    yield from re.findall(r"`(edframe [^`\n]+)`", prose(page))


def options(command):
    """Names of its options."""
    return {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}


def anchors(page):
    """What GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_relative_links_lead_to_files_and_headings(page):
    broken = []
    for link in LINK.findall(prose(page)):
        if not link.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(link)
    assert broken == []


def test_commands_and_options_that_are_mentioned_exist(page):
    unknown = []
    for mention in mentions(page):
        command, words = typer.main.get_command(app), shlex.split(mention.replace("…", ""), comments=True)[1:]
        names = options(command)
        for word in words:
            if hasattr(command, "commands") and not word.startswith("-"):
                command = command.commands.get(word)
                if command is None:
                    unknown.append(mention)
                    break
                names = options(command)
            elif re.match(r"--?[a-z]", word) and word.partition("=")[0] not in names:
                unknown.append(mention)
    assert unknown == []


def test_no_page_names_a_path_of_one_machine(page):
    assert re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users)/\S*", page.read_text(encoding="utf-8")) == []
