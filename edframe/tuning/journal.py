"""The folder of a study: its experiment, what is searched, and Optuna's journal, one JSON line for each thing done.

config.yaml     the experiment, in full
space.yaml      the searched options, and where
journal.jsonl   trials, their values and results; all processes append to it
best.yaml       the best experiment so far, for ``edframe run``
trials.png      all trials, and how much each option mattered
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edframe.errors import RunError, imported
from edframe.files import locked, whole

if TYPE_CHECKING:
    import optuna

CONFIG, SPACE, JOURNAL, BEST, PICTURE = "config.yaml", "space.yaml", "journal.jsonl", "best.yaml", "trials.png"
LOCK = ".lock"
SCRATCH = ".trial-"
"""Beginning of the names of folders that exist during a trial."""


def library() -> Any:
    """Optuna, silenced. Raises MissingError when it is not installed."""
    optuna = imported("optuna", "tune", "tuning")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def loaded(folder: Path, sampler: Any = None, pruner: Any = None) -> optuna.Study:
    """The study in a folder, as its journal has it now; begun where the journal is empty."""
    package = library()
    journal, path = package.storages.journal, str(folder / JOURNAL)
    lock = journal.JournalFileOpenLock(path) if os.name == "nt" else None  # the usual one is a link, a right there
    storage = package.storages.JournalStorage(journal.JournalFileBackend(path, lock))
    begin = package.load_study if package.get_all_study_names(storage) else package.create_study
    study: optuna.Study = begin(study_name="edframe", storage=storage, sampler=sampler, pruner=pruner)
    return study


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials with a result, or cut short without one, by number; not those that were stopped or killed."""
    states = library().trial.TrialState
    return study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))


@contextlib.contextmanager
def opened(folder: Path, config: Mapping[str, Any], searched: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """The study in a folder, made where there is none, for one command at a time.

    Trials of an earlier command that was stopped or killed are queued again, with their values. Raises RunError when
    the folder is another study's, is in use or cannot be written.
    """
    states = library().trial.TrialState
    written = {CONFIG: config, SPACE: searched}
    for name, content in written.items():
        if (folder / name).exists() and _other(_plain(folder / name), content):
            raise RunError(f"{folder} is the study of something else: its {name} differs; choose another by --study")
    try:
        with locked(folder / LOCK):
            _mend(folder / JOURNAL)
            for name, content in written.items():
                with whole(folder / name) as file:
                    file.write(yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
            for left in folder.glob(f"{SCRATCH}*"):
                shutil.rmtree(left, ignore_errors=True)
            try:
                study = loaded(folder)
            except (AssertionError, LookupError, TypeError, ValueError) as error:
                raise RunError(
                    f"{folder / JOURNAL} is damaged ({type(error).__name__}: {error}); restore it from a copy, or "
                    "choose another folder by --study"
                ) from error
            for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                study.tell(trial.number, state=states.FAIL)
                if trial.params:
                    study.enqueue_trial(trial.params)
            yield study
    except BlockingIOError as error:
        raise RunError(
            f"{folder} is in use by another `edframe tune`; wait for it, or choose another folder by --study"
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror or error}; fix that and repeat the command, or choose "
            "another folder by --study"
        ) from error


def _plain(file: Path) -> Any:
    """What a file of YAML holds; None where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    return None


def _other(then: Any, now: Mapping[str, Any]) -> bool:
    """Whether a study is not the same, on whatever device it is continued."""
    return not isinstance(then, Mapping) or {**then, "device": ""} != {**now, "device": ""}


def _mend(file: Path) -> None:
    """Cut off a last line that a full disk or a power failure left unfinished: the next would be joined to it."""
    with file.open("ab+") as journal:
        journal.seek(0)
        journal.truncate(journal.read().rfind(b"\n") + 1)
