"""The root command: quick help, completion, errors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import edframe as package
from edframe.version import __version__

HEAVY = ("torch", "pymatgen", "pyscf", "matplotlib", "zarr", "scipy", "lightning_fabric", "optuna")

LOOK = f"""
import sys
from edframe.cli import main
sys.argv = ["edframe", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print("code", end.code, file=sys.stderr)
print("heavy", *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["tune", "--help"], ["--version"], ["plugins"], ["plugins", "show", "sinkhorn"],
     ["config", "show"], ["config", "schema"], ["data", "list"], ["run", "--loss", "l3"]],
    ids=" ".join,
)  # fmt: skip
def test_what_does_not_run_imports_nothing_heavy(environment, arguments):
    ended = subprocess.run([sys.executable, "-c", LOOK, *arguments], capture_output=True, text=True, env=environment)
    assert ended.stderr.splitlines()[-1] == "heavy", ended.stderr
    assert ended.returncode == 0


def test_heavy_imports_would_be_seen(environment):
    code = f"import torch\n{LOOK}"
    ended = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, env=environment)
    assert ended.stderr.splitlines()[-1] == "heavy torch"


def test_help_names_every_command(edframe):
    result = edframe("--help")
    assert result.code == 0
    for command in ("run", "tune", "report", "plugins", "data", "config"):
        assert f" {command} " in result.out


def test_no_argument_shows_help(edframe):
    assert "Usage" in edframe().out


def test_version(edframe):
    result = edframe("--version")
    assert (result.code, result.out) == (0, f"edframe {__version__}\n")
    assert package.__version__ == __version__


def test_misspelt_command_suggests_the_nearest(edframe):
    result = edframe("pluggins")
    assert result.code == 2
    assert "Did you mean 'plugins'?" in result.err


def test_debug_stands_before_the_command_only(edframe):
    assert edframe("run", "--debug").code == 2
    assert "Traceback" not in edframe("run", "--loss", "l3").err


def test_debug_shows_the_traceback(process):
    result = process("--debug", "run", "--loss", "l3")
    assert result.code == 1
    assert result.err.startswith("Traceback")
    assert "edframe.errors.ConfigError: --loss: there is no loss 'l3'" in result.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("edframe run --loss s", {"sinkhorn"}),
        ("edframe run --loss ", {"sinkhorn", "l1", "l2"}),
        ("edframe run --model u", {"unet"}),
        ("edframe config show --featurizer sa", {"sad"}),
        ("edframe data info li", {"li-o-li"}),
        ("edframe plugins show une", {"unet"}),
        ("edframe pl", {"plugins"}),
    ],
)
def test_shell_completes_names(environment, words, expected):
    """Driven as bash does it: the script that `edframe --install-completion` writes sets these variables."""
    program = os.path.join(os.path.dirname(sys.executable), "edframe")
    variables = {
        **environment, "_EDFRAME_COMPLETE": "complete_bash", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }  # fmt: skip
    ended = subprocess.run([program], capture_output=True, text=True, env=variables)
    assert ended.returncode == 0, ended.stderr
    assert expected <= set(ended.stdout.split())
    prefix = words.rpartition(" ")[2]
    assert all(name.startswith(prefix) for name in ended.stdout.split())


def test_ctrl_c_before_the_work_ends_the_process_even_inside_an_import(environment):
    """A package that swallows KeyboardInterrupt while it is imported, as compiled ones do."""
    code = """
import os, signal, sys
from edframe.cli import main
from edframe.contract.registry import Registry

def discover():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))
    except KeyboardInterrupt:
        print("swallowed")
    return Registry()

Registry.discover = discover
sys.argv = ["edframe", "plugins"]
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Stopped.\n")


WAITING = """
import sys
from edframe.cli import main
sys.argv = ["edframe", "--version"]
try:
    main()
except SystemExit:
    pass
import torch
"""


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
    ids=["nothing set", "its own count", "its own policy"],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(environment, given, spins):
    """OpenMP itself says, when torch loads it, how long its threads spin."""
    plain = {key: value for key, value in environment.items() if not key.startswith(("GOMP", "OMP_WAIT"))}
    ended = subprocess.run(
        [sys.executable, "-c", WAITING], capture_output=True, text=True,
        env={**plain, **given, "OMP_DISPLAY_ENV": "VERBOSE"},
    )  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{spins}'" in ended.stderr


def test_threads_of_workers_wait_as_briefly(environment):
    """Dask's local processes have the environment of the one that started them."""
    code = f"""
if __name__ == "__main__":
    {WAITING.replace(chr(10), chr(10) + "    ")}
    from edframe.jobs import run_jobs
    print(*sorted(dict(run_jobs("os:getenv", ["GOMP_SPINCOUNT"] * 2, workers=2)).values()))
"""
    plain = {key: value for key, value in environment.items() if not key.startswith(("GOMP", "OMP_WAIT"))}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=plain)
    assert ended.stdout.splitlines()[-1] == "10000 10000", ended.stderr
