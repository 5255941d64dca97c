"""The application: its commands, and how errors become one sentence and exit status 2."""

from __future__ import annotations

import atexit
import gc
import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edframe.cli import (
    bands,
    compare,
    config,
    data,
    ensemble,
    models,
    plugins,
    predict,
    report,
    restart,
    run,
    runs,
    show,
    tune,
)
from edframe.cli.signals import leave_at_once
from edframe.errors import EdframeError
from edframe.memory import by_words, free_memory, is_out_of_memory
from edframe.version import __version__


class Sentences(TyperGroup):
    """Every error edframe raises on purpose ends in one sentence and status 2, Ctrl-C in one and status 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(130) from None
        except EdframeError as error:
            if ctx.params["debug"]:
                raise
            sentence = " ".join(line.strip() for line in str(error).splitlines())
            typer.secho(f"Error: {sentence}", fg=typer.colors.RED, err=True)
            raise typer.Exit(2) from None
        except (MemoryError, RuntimeError) as error:
            if ctx.params["debug"] or not is_out_of_memory(error):
                raise
            sentence = f"there is not enough memory, {by_words(free_memory())} are free; use a smaller grid or batch"
            typer.secho(f"Error: {sentence}", fg=typer.colors.RED, err=True)
            raise typer.Exit(2) from None


app = typer.Typer(
    name="edframe",
    cls=Sentences,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("ensemble")(ensemble.ensemble)
app.command("tune")(tune.tune)
app.command("predict")(predict.predict)
app.command("export")(models.export)
app.command("restart")(restart.restart)
app.command("bands")(bands.bands)
app.command("show")(show.show)
app.command("charges")(show.charges)
app.command("report")(report.report)
app.command("runs")(runs.runs)
app.add_typer(models.app, name="models")
app.add_typer(plugins.app, name="plugins")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edframe {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error: edframe --debug run …")
    ] = False,
) -> None:
    """Learn electron densities: choose a dataset, a featurizer, a model and a loss, and compare them honestly.

    Start with `edframe run`: it trains a U-Net on DFT densities of Li–O–Li and writes a report.
    `edframe plugins` lists what can be composed.
    """


WAITING = ("GOMP_SPINCOUNT", "10000")
"""How long threads of OpenMP wait busily for the next piece of work before they sleep. By default they spin for
milliseconds, and where other processes share the cores, they spin on time that these and the working thread need.
What it is worth depends on the machine: see benchmarks/README.md."""


def main() -> None:
    """Run the command line."""
    leave_at_once()
    atexit.register(gc.freeze)  # or the interpreter looks for garbage among all of torch's objects as it ends: 0.5 s
    if "OMP_WAIT_POLICY" not in os.environ:  # it says the same, and is the user's word
        os.environ.setdefault(*WAITING)  # read when torch is loaded, here and in the processes that start from here
    app()
