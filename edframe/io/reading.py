"""Lines and numbers of a text file, once and forward, in little memory; an error has its line."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.fast_parser import parse_n_doubles

from edframe.errors import DataError
from edframe.io.files import open_bytes, packing, unpacking_errors
from edframe.memory import by_words, free_memory

CHUNK = 1 << 18
"""Bytes taken from the file at a time: they stay in the processor's cache while they are looked at."""

LONGEST_LINE = 1 << 16
"""Bytes; a longer line means that this is no text."""

TRUSTED = 16
"""Memory, relative to a compressed file, that may be taken before checking whether the file holds that many numbers."""

READING = 16
"""Bytes for a value while it is read: it is held twice."""

NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
FUSED = re.compile(rb"(?<=\d)([-+]\d{3})(?=\s|$)")
"""An exponent of three digits, for which Fortran leaves the E out."""


class Overflowed(DataError):
    """Stars replace a number that did not fit into its field."""


class Text:
    """A file (unpacked where it is packed) from which lines and numbers are taken in turn.

    number: of the line taken last, from 1. Raises DataError for a file that cannot be read or decompressed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self._file = open_bytes(path)
        self._text = b""
        self._taken = 0
        self._tail = b""
        self._ended = False
        self._within_line = False
        self._scratch = np.empty((2, 0), bool)

    def __enter__(self) -> Text:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def error(self, sentence: str, line: int | None = None) -> DataError:
        """An error at a line; by default, at the one taken last."""
        return DataError(f"{self.path}:{line or self.number or 1}: {sentence}")

    def shown(self, line: str) -> str:
        """What was taken, in the words of a message."""
        words = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        return f"'{words[:60]}'" if words else "an empty line" if line else "the end of the file"

    def line(self) -> str:
        """The next line with its end; empty at the end of the file. Raises DataError for one of absurd length."""
        while (end := self._text.find(b"\n") + 1) == 0 and not self._ended and len(self._text) < LONGEST_LINE:
            self._more()
        end = end or len(self._text)
        if end > LONGEST_LINE:
            raise self.error(f"a line of more than {LONGEST_LINE} bytes: this is not a text file", self.number + 1)
        line, self._text = self._text[:end], self._text[end:]
        self.number += bool(line) or self._within_line
        self._within_line = False
        return line.decode("utf-8", "replace")

    def back(self, lines: str) -> None:
        """Put back whole lines that were taken last, to be taken again."""
        self._text = lines.encode() + self._text
        self.number -= lines.count("\n") or 1

    def numbers(self, out: NDArray[np.float64], before: int, total: int, of: str) -> None:
        """Fill ``out`` ``[n]`` with the next numbers, over any number of lines; what follows the last one stays.

        before, total, of: how many were taken before, how many there are, and of what, for the message. Raises
        DataError at what is no finite number, and at the end of the file.
        """
        filled = 0
        while filled < len(out):
            chunk = self._whole_tokens()
            if not chunk:
                raise self.error(
                    f"the file ends after {before + filled} of the {total} values of {of}: it was cut "
                    "off; copy it again",
                    self.number + (not self._tail.endswith(b"\n")),
                )
            stream = io.BytesIO(chunk)
            got = parse_n_doubles(stream, out[filled:], len(out) - filled)
            stop = stream.tell()
            if filled + got < len(out) and not chunk[stop:].strip():
                stop = len(chunk)  # blanks at the end
            # The parser takes '1.5-2' and '1.2.3' for two numbers: there must be as many words as numbers.
            seen = np.frombuffer(chunk, np.uint8, stop)
            words = self._words(seen)
            split = words != got or (stop < len(chunk) and got > 0 and chunk[stop] > 32)
            if split and (repaired := FUSED.sub(rb"E\1", chunk)) != chunk:
                self._text = repaired + self._text[len(chunk) :]
                continue
            stuck = filled + got < len(out) and stop < len(chunk)
            if split or stuck or not np.isfinite(out[filled : filled + got]).all():
                raise self._no_number(chunk, stop, before + filled, total, of)
            self.number += int(np.count_nonzero(np.equal(seen, ord("\n"), out=self._scratch[0, : len(seen)])))
            self._text = self._text[stop:]
            filled += got
        self._within_line = True

    def _words(self, seen: NDArray[np.uint8]) -> int:
        """How many words there are, in memory that is used again: to allocate it costs more than to count."""
        if not len(seen):
            return 0
        if self._scratch.shape[1] < len(seen):
            self._scratch = np.empty((2, len(seen)), bool)
        dark = np.greater(seen, 32, out=self._scratch[0, : len(seen)])
        edges = np.not_equal(dark[1:], dark[:-1], out=self._scratch[1, 1 : len(seen)])
        return (int(np.count_nonzero(edges)) + int(dark[0]) + int(dark[-1])) // 2

    def has_room_for(self, values: int) -> bool:
        """Whether that many numbers can follow: each takes two bytes or more. To be asked before memory is taken.

        Raises DataError where they can, and there is no memory for them.
        """
        if not self._can_hold(values):
            return False
        needed, free = READING * values, free_memory()
        if needed > free:
            raise self.error(
                f"a grid of {values} points needs {by_words(needed)} of memory to be read, and {by_words(free)} are "
                f"free, which {free // READING} points would fit into; make it coarser, or use a larger machine"
            )
        return True

    def _can_hold(self, values: int) -> bool:
        missing = 2 * values - 1 - len(self._text)
        size = self.path.stat().st_size
        if not packing(self.path):
            return missing <= size - self._taken
        if values * 8 <= TRUSTED * size:
            return True
        missing += self._taken
        with open_bytes(self.path) as again:
            try:
                while missing > 0 and (more := again.read(CHUNK)):
                    missing -= len(more)
            except unpacking_errors():
                return False
        return missing <= 0

    def is_cut_off(self) -> bool:
        """Whether the file ended within a number: without a line end, and with fewer digits than the number before."""
        words = self._tail.split()[-2:]
        if not self._ended or not words or self._tail[-1:].isspace():
            return False
        return len(words[-1].partition(b".")[2]) < len(words[0].partition(b".")[2])

    def _more(self, rest_of_line: bool = False) -> None:
        try:
            more = self._file.readline(LONGEST_LINE) if rest_of_line else self._file.read(CHUNK)
        except unpacking_errors() as error:
            raise DataError(f"{self.path} cannot be read to its end ({error}): it is damaged; copy it again") from error
        self._ended = not more
        self._taken += len(more)
        self._tail = (self._tail + more[-128:])[-128:]
        self._text += more

    def _whole_tokens(self) -> bytes:
        while not self._ended and len(self._text) < CHUNK:
            self._more()
        if not self._ended and not self._text.endswith(b"\n"):
            self._more(rest_of_line=True)  # so that nothing is left to be put in front of the next
        end = len(self._text)
        if not self._ended and not self._text.endswith(b"\n"):
            end = 1 + max(self._text.rfind(b"\n"), self._text.rfind(b" "), self._text.rfind(b"\t"))
            if end == 0:
                raise self.error(f"a number of more than {CHUNK} characters: this is not a text file", self.number + 1)
        return self._text[:end]

    def _no_number(self, chunk: bytes, stop: int, before: int, total: int, of: str) -> DataError:
        """What is wrong, found word by word."""
        words = 0
        for offset, line in enumerate(chunk.split(b"\n")):
            for word in line.split()[: max(0, total - before - words)]:
                if not NUMBER.fullmatch(word) or not np.isfinite(float(word)):
                    return self._at(word, self.number + 1 + offset, before + words, total, of)
                words += 1
        word = chunk[stop:].split()[0]
        start = chunk.index(word, stop)
        count = before + len(chunk[:stop].split())
        return self._at(word, self.number + 1 + chunk.count(b"\n", 0, start), count, total, of)

    def _at(self, word: bytes, line: int, before: int, total: int, of: str) -> DataError:
        shown = self.shown(word.decode("ascii", "replace"))
        why = "the file is damaged, or announces a wrong grid"
        stars = b"*" in word
        if stars:
            why = "stars replace a number that did not fit; make the file again"
        elif word.strip(b"+-")[:3].lower() in (b"nan", b"inf"):
            why = "the calculation diverged, and its result cannot be used"
        error = self.error(f"{shown} appears where value {before + 1} of {total} of {of} should be: {why}", line)
        return Overflowed(str(error)) if stars else error
