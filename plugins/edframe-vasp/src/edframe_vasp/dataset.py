"""The dataset ``vasp``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edframe.data.blocks import blocks
from edframe.data.conversion import as_label, sample_of
from edframe.data.prepared import Job, PreparedDataset
from edframe.errors import DataError
from edframe.io import Volume, read
from edframe.io.electrons import number_of
from edframe.io.files import either, plain_name
from edframe.io.patterns import NOT_DATA, is_prediction, names, select, stamp
from edframe.sample import Sample
from edframe_vasp.electrons import files_beside, stated_electrons, stated_valence
from edframe_vasp.plugin import VaspConfig

FILES = ("CHGCAR", "vaspwave.h5", "vaspout.h5")
"""Where VASP writes a density, in order of preference: the last two with LH5 = .TRUE. and LCHARGH5 = .TRUE."""

TOLERANCE = 0.01
"""How far the integral of a density may be from the number of electrons, as a fraction of it."""

CHARGE = 0.5
"""And in electrons: the count of a neutral cell is not that of the same cell with a charge."""


class Vasp(PreparedDataset):
    """Densities in CHGCAR files, scaled to the electrons that INCAR, POTCAR or OUTCAR give, else to their integral.

    Raises DataError for a pattern that matches no CHGCAR. A file that cannot be used is left out and listed.
    """

    maker = "edframe_vasp.dataset:label"
    brief = True

    config: VaspConfig

    def __init__(self, config: VaspConfig) -> None:
        super().__init__("vasp", config)

    def jobs(self) -> Sequence[Job]:
        endings = () if self.config.files == VaspConfig.model_fields["files"].default else (".vasp",)
        predictions: set[Path] = set()

        def choose(path: Path) -> Path | None:
            density = _density_of(path, endings)
            if density is not None and is_prediction(density):
                predictions.add(density)
            return density

        files: dict[Path, Path] = {}
        for file in select(self.config.files, choose, "CHGCAR, nor a folder with one"):
            plain = file.with_name(plain_name(file.name))
            files.setdefault(plain.parent if plain.name in FILES else plain, file)
        groups = blocks(list(map(str, files)), self.config.together)
        return [
            Job(name, {"density": stamp(file), "beside": list(map(stamp, files_beside(file))),
                       "spins": self.config.spins, "unit": self.config.unit,
                       **({"prediction": True} if file in predictions else {})}, group)
            for name, file, group in zip(names(list(files)), files.values(), groups, strict=True)
        ]  # fmt: skip

    def describe(self) -> Mapping[str, Any]:
        told_by = Counter(self[i].source["electrons_from"] for i in range(len(self)))
        electrons = ", ".join(f"{source} ({count})" for source, count in told_by.most_common())
        return {"made by": "VASP", "number of electrons from": electrons, **super().describe()}


def label(job: Job) -> Sample:
    """The sample of one CHGCAR. Raises DataError, with its path, for one that is not a density to learn from.

    source: file, title, integral (e, before scaling), electrons_from, valence (element → ZVAL, where a POTCAR gives
    it), and the PAW augmentation of the file.
    """
    file = Path(job.inputs["density"][0])
    if job.inputs["density"][1] < 0:
        raise DataError(f"{file.parent}: there is no CHGCAR: VASP has not finished, or its INCAR has LCHARG = .FALSE.")
    if job.inputs.get("prediction"):
        raise DataError(f"{file}: {NOT_DATA}")
    volume = _with_spins(_read(file, job.inputs["unit"]), job.inputs["spins"], file)
    beside = [Path(path) for path, *_ in job.inputs["beside"]]
    count, source = stated_electrons(file, beside, volume.structure) or (None, "integral")
    integral = number_of(volume) if "total" in volume.fields else 0.0
    if count is not None and volume.quantity == "density" and abs(integral - count) > min(TOLERANCE * count, CHARGE):
        raise DataError(
            f"{file}: its density integrates to {integral:.4f} e, and the {source} beside it gives {count:g} e: "
            "they are of different calculations"
        )
    valence = stated_valence(file, beside)
    known = {} if valence is None else {"valence": valence}
    return as_label(sample_of(volume, str(file), count, file=str(file), electrons_from=source, **known))


def _with_spins(volume: Volume, spins: int, file: Path) -> Volume:
    if volume.quantity != "density":
        return volume
    if spins == 1:
        augmentation = {name: text for name, text in volume.augmentation.items() if name == "total"}
        return replace(volume, fields={"total": volume.fields["total"]}, augmentation=augmentation)
    if len(volume.fields) == 1:
        why = next((note for note in volume.notes if "magnetisation" in note), "ISPIN = 1")
        raise DataError(f"{file}: it has no magnetisation ({why}); --set data.spins=1 takes total densities")
    return volume


def _read(file: Path, unit: str | None) -> Volume:
    if not plain_name(file.name).endswith(".h5"):
        return read(file, "chgcar", unit=unit)
    try:
        return read(file, unit=unit)
    except DataError as error:
        raise DataError(
            f"{file.parent}: there is no CHGCAR, and {file.name}, where VASP writes the density with LH5 = .TRUE. in "
            f"INCAR, cannot be read ({error}); run VASP with LCHARG = .TRUE. and without LH5"
        ) from error


def _density_of(path: Path, endings: tuple[str, ...]) -> Path | None:
    """The density of a folder, also the absent one of a calculation that has not finished; None for other files.

    endings: of files that may be a CHGCAR by another name.
    """
    if not path.is_dir():
        name = plain_name(path.name)
        return path if "CHGCAR" in name.upper() or name.endswith(endings) or name in FILES else None
    if density := next((file for name in FILES if (file := either(path / name))), None):
        return density
    return path / "CHGCAR" if any(either(path / name) for name in ("INCAR", "OUTCAR")) else None
