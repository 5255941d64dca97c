"""Fortran namelists in an input: their variables, read, and set without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

VALUE = r"""('[^']*'|"[^"]*"|[^,\s/!]+)"""


def read(text: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Namelist → variable → value, all names in small letters, and the lines outside of namelists without comments.

    Pairs may be divided by commas, blanks or lines, as Fortran allows. The last of several values counts.
    """
    lists: dict[str, dict[str, Any]] = {}
    outside, at = "", 0
    for start in re.finditer(r"(?m)^\s*&(\w+)", text):
        if start.start() < at:
            continue
        end = start.end() + _end(text[start.end() :])
        body = "\n".join(line[: _comment(line)] for line in text[start.end() : end].splitlines())
        pairs = re.findall(rf"([\w%]+(?:\([\d,\s]+\))?)\s*=\s*{VALUE}", body)
        lists[start[1].lower()] = {"".join(name.split()).lower(): _value(value) for name, value in pairs}
        outside, at = outside + text[at : start.start()], end + 1
    lines = ((outside + text[at:]).splitlines()) if lists else []
    return lists, [line.strip() for line in lines if line.strip() and line.strip()[0] not in "!#"]


def changed(text: str, changes: Mapping[str, str]) -> str:
    """``text`` with variables set, each named ``namelist.variable``. A namelist that is not there raises KeyError."""
    for name, value in changes.items():
        namelist, _, variable = name.partition(".")
        start = re.search(rf"(?im)^\s*&{namelist}\b", text)
        if start is None:
            raise KeyError(namelist)
        end = start.end() + _end(text[start.end() :])
        text = text[: start.end()] + _with(text[start.end() : end], variable, value) + text[end:]
    return text


def _with(body: str, variable: str, value: str) -> str:
    """The inside of a namelist with one variable set, where it is or else in front."""
    given = re.compile(rf"(?i)(?<![\w(%]){re.escape(variable)}\s*=\s*{VALUE}")
    lines, present = body.split("\n"), False
    for number, line in enumerate(lines):
        content, comment = line[: (at := _comment(line))], line[at:]
        if given.search(content):
            lines[number], present = given.sub(lambda _: f"{variable} = {value}", content) + comment, True
    if present:
        return "\n".join(lines)
    return f"\n  {variable} = {value}" + ("" if body.startswith("\n") else "\n ") + body


def _comment(line: str) -> int:
    """Where the comment of a line begins; its length where there is none."""
    return next((at for at, character in _bare(line) if character == "!"), len(line))


def _end(body: str) -> int:
    """Where the ``/`` is that ends a namelist: not in quotes, not in a comment."""
    at = 0
    for line in body.splitlines(keepends=True):
        for column, character in _bare(line):
            if character == "!":
                break
            if character == "/":
                return at + column
        at += len(line)
    return len(body)


def _bare(line: str) -> Iterator[tuple[int, str]]:
    """The characters of a line outside of quotes, with their places."""
    quote = ""
    for at, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            yield at, character


def _value(word: str) -> Any:
    """Text without quotes, a truth value, a number; anything else as it is."""
    if word[0] in "'\"":
        return word[1:-1].strip()
    if re.fullmatch(r"(?i)\.?[tf]\w*\.?", word):
        return word.strip(".").lower().startswith("t")
    for kind in (int, float):
        try:
            return kind(word.lower().replace("d", "e"))
        except ValueError:
            continue
    return word
