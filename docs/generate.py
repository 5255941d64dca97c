"""Write configuration.md and cli.md from the code that they describe; tests hold the pages to it.

python docs/generate.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from edframe.cli.main import app
from edframe.config.experiment import BLOCKS, DEFAULTS, FixedKeys
from edframe.contract.registry import Registry

DOCS = Path(__file__).parent
WIDTH = 100

CONFIGURATION = """\
# Configuration

Every key of an experiment, with its type, default and meaning. This page is written by `python docs/generate.py` from
the classes that validate a configuration; `tests/docs/test_generated.py` fails when the two differ.

Values come from, in this order, the later replacing the earlier:

1. the defaults below;
2. a YAML file: `edframe run experiment.yaml`;
3. the component flags `--data`, `--featurizer`, `--model`, `--loss`. Choosing another component by flag drops the whole
   block of the one it replaces, and says so;
4. `--fold` and `--device`, which set `splits.fold` and `device`;
5. `--set key=value`, any number of times. The key is written with dots, the value as YAML: `--set training.steps=200`,
   `--set "model.widths=[8,16]"`, `--set loss.blur=null`.

A component block is a mapping with the component's `name` and its options:

```yaml
loss:
  name: sinkhorn
  tol: 1.0e-4
```

YAML reads `1e-4` as text and `1.0e-4` as a number; both are accepted where a number is wanted.

`edframe config show` takes the arguments of `edframe run` and prints the configuration that it would use, in full.
`edframe config schema` prints a JSON Schema over all installed components, for completion and checks in an editor.
`edframe plugins show unet` prints the options of one component, also of plugins that are not listed here.
An unknown key, a value out of range or an unknown component ends in one sentence, with the place it came from and the
nearest valid choice, before anything is written.
"""

CLI = """\
# Command line

What `--help` prints for each command. This page is written by `python docs/generate.py`;
`tests/docs/test_generated.py` fails when it differs from the program.

The exit status is 0 after success, 2 after an error that edframe explains in one sentence, and 130 after Ctrl-C or
SIGTERM. `edframe --debug …` shows the traceback of an explained error.

Densities and recomputed labels are stored in the user's cache folder. The environment variable `EDFRAME_CACHE` names
another one.
"""


def configuration() -> str:
    """The text of configuration.md: the fixed keys, then every component of the distributions in this repository."""
    plugins = {folder.name for folder in (DOCS.parent / "plugins").iterdir()}
    registry = Registry.discover()
    parts = [CONFIGURATION, "## Experiment\n", table(FixedKeys, "")]
    for name, field in FixedKeys.model_fields.items():
        if is_model(field.annotation):
            parts += [f"## `{name}`\n", f"{field.annotation.__doc__}\n", table(field.annotation, f"{name}.")]
    datasets = [registry.provided["dataset", name][0] for name in registry.names("dataset")]
    ours = [provided.component for provided in datasets if provided.distribution in plugins]
    suiting: dict[tuple[str, str], list[str]] = {}
    for dataset in ours:
        values = ", ".join(f"`{key}={value}`" for key, value in dataset.settings.items())
        if dataset.featurizer:
            suiting.setdefault((dataset.featurizer, f", with {values}" if values else ""), []).append(dataset.name)
    other = "".join(
        f" For {', '.join(f'`{dataset}`' for dataset in names)} it is `{name}`{values}."
        for (name, values), names in suiting.items()
    )
    for block, kind in BLOCKS.items():
        default = DEFAULTS[block]["name"]
        suited = other if kind == "featurizer" else ""
        parts.append(f"## `{block}`: the {kind}\n\nThe default is `name: {default}`.{suited}\n")
        for name in registry.names(kind):
            (provided, *_) = registry.provided[kind, name]
            if provided.distribution in plugins:
                component = provided.component
                parts.append(f"### `{block}: {{name: {name}}}`\n\nFrom {provided.distribution}: {component.summary}.\n")
                parts.append(table(component.config, f"{block}.") if component.config.model_fields else "No options.\n")
    return "\n".join(parts)


def table(model: type[BaseModel], prefix: str) -> str:
    """The fields of a config class as a table, those of nested classes by dotted keys."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in fields(model, prefix):
        default = "required" if field.is_required() else f"`{yaml_value(field)}`"
        cells = (f"`{key}`", kind_of(field), default, " ".join((field.description or "").split()))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Key and field of every option; classes that have a section of their own are left out at the top."""
    for name, field in model.model_fields.items():
        if not is_model(field.annotation):
            yield prefix + name, field
        elif prefix:
            yield from fields(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]


def is_model(annotation: Any) -> bool:
    """Whether a field holds options of its own."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def yaml_value(field: FieldInfo) -> str:
    """The default as it is written in a file."""
    return json.dumps(to_jsonable_python(field.get_default(call_default_factory=True)), ensure_ascii=False)


def kind_of(field: FieldInfo) -> str:
    """Type and bounds of a field: ``integer ≥ 2``."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    first, *rest = type_name(field.annotation).split(" or null")
    return ", ".join([" ".join([first, *bounds[:1]]), *bounds[1:]]) + (" or null" if rest else "")


def type_name(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, UnionType):
        return " or ".join(type_name(choice) for choice in arguments)
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    names = {int: "integer", float: "number", str: "text", bool: "true or false", NoneType: "null"}
    return names.get(annotation, annotation.__name__)


def cli() -> str:
    """The text of cli.md."""
    parts = [CLI]
    for context in commands():
        path = context.command_path
        parts.append(f"## {path}\n\n```text\n{context.get_help().strip()}\n```\n")
    return "\n".join(parts)


def commands(command: Any = None, name: str = "edframe", parent: Any = None) -> Iterator[Any]:
    """The context of every command, groups before what is in them; its help is plain text of fixed width."""
    command = command or typer.main.get_command(app)
    command.rich_markup_mode = None
    context = command.context_class(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    yield context
    for inner, child in getattr(command, "commands", {}).items():
        yield from commands(child, inner, context)


if __name__ == "__main__":
    (DOCS / "configuration.md").write_text(configuration(), encoding="utf-8")
    (DOCS / "cli.md").write_text(cli(), encoding="utf-8")
