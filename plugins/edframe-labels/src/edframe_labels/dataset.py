"""The datasets ``qe`` and ``abinit``: each input is run once, and its converged density kept with its level."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edframe.data.conversion import as_label, sample_of
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.io.patterns import names, select
from edframe.restart import code_of
from edframe.sample import Sample
from edframe_labels.plugin import AbinitConfig, QeConfig


class _Computed(PreparedDataset):
    """Densities that a code computes. code: its name in ``edframe.restart``."""

    maker = "edframe_labels.dataset:label"
    code: str
    config: QeConfig | AbinitConfig

    def jobs(self) -> Sequence[Job]:
        files = select(self.config.inputs, lambda path: path if path.is_file() else None, "input")
        try:
            texts = [file.read_text(encoding="utf-8") for file in files]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.name}: an input cannot be read ({error})") from error
        return [
            Job(name, {"code": self.code, "input": str(file), "text": text})
            for name, file, text in zip(names(files), files, texts, strict=True)
        ]

    def describe(self) -> Mapping[str, Any]:
        return {"made by": code_of(self.code).title, **super().describe()}


class Qe(_Computed):
    """By pw.x, which must be installed. An input that fails or does not converge is left out and listed."""

    code = "qe"

    def __init__(self, config: QeConfig) -> None:
        super().__init__("qe", config)


class Abinit(_Computed):
    """By ABINIT, which must be installed. An input that fails or does not converge is left out and listed."""

    code = "abinit"

    def __init__(self, config: AbinitConfig) -> None:
        super().__init__("abinit", config)


def label(job: Job) -> Sample:
    """The sample of one input, computed in a temporary folder. Raises DataError where the code does not converge.

    source: file, functional, pseudopotential (element → name), valence, SCF iterations and seconds of the processor.
    """
    code, input = code_of(job.inputs["code"]), Path(job.inputs["input"])
    with tempfile.TemporaryDirectory(prefix="edframe-") as folder:
        result = code.converged(input, Path(folder))
    level, outcome = result.needs.level, result.outcome
    return as_label(
        sample_of(
            result.density,
            str(input),
            result.needs.electrons,
            file=str(input),
            functional=level.functional,
            pseudopotential=dict(level.pseudopotentials),
            iterations=outcome.iterations,
            seconds=round(outcome.seconds, 2),
        )
    )
