"""Pages of the site that are made of the code: errors, commands, settings, the API."""

import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any

import click
from typer.main import get_command

import spacy_msvse
from spacy_msvse.cli import app
from spacy_msvse.component.architectures import make_model
from spacy_msvse.component.defaults import DEFAULT_CONFIG
from spacy_msvse.component.pipe import MsvseNer
from spacy_msvse.component.settings import Setting
from spacy_msvse.errors import Errors, Warnings
from spacy_msvse.settings import Declaration, declarations

_MESSAGE = re.compile(r"\[(MSVSE-([EW])\d+)\] (.+)", re.DOTALL)

#: Groups of entry points with settings, and their names in a config.
REGISTRIES = {
    "spacy_architectures": "architectures",
    "spacy_misc": "misc",
    "spacy_readers": "readers",
    "spacy_span_getters": "span_getters",
    "thinc_schedules": "schedules",
    "spacy_loggers": "loggers",
}

#: A setting in a docstring: its name and its type, then its text, which may go on.
_ARGUMENT = re.compile(r"^ {4}(\w+) \([^)]*\): (.*(?:\n {8,}.*)*)", re.MULTILINE)

#: The rooms of the package, and what they have for users.
ROOMS = {
    "component": "The spaCy side: the component, its analyses, its reader of posts.",
    "network": "The methods in plain PyTorch, without spaCy.",
    "vision": "From pictures and texts to features: extractors, and the feature store.",
    "corpus": "From files to Docs, and back: formats, conversion, annotation.",
    "evaluation": "Scores, controls, calibration, ablations.",
    "display": "Posts with their pictures as HTML.",
}


def generated_pages() -> Iterator[tuple[str, str]]:
    """All pages that are made of the code: their names and their contents."""
    yield "errors.md", errors_page()
    yield "commands.md", commands_page()
    yield "all-settings.md", settings_page()
    yield from api_pages()


def notebook_page(script: str) -> str:
    """A notebook in jupytext's percent format as Markdown."""
    blocks = []
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "markdown" in kind:
            lines = (re.sub(r"^# ?", "", line) for line in body.strip().splitlines())
            blocks.append("\n".join(lines))
        else:
            blocks.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(blocks) + "\n"


def errors_page() -> str:
    """All coded messages, by code. Names in braces are filled in."""
    lines = [
        "# Errors and warnings",
        "Every error and every warning of this package has a code, and its text says what to do "
        "next. Words in braces are filled in when it is raised.",
    ]
    for title, messages in (("Errors", Errors), ("Warnings", Warnings)):
        lines.append(f"## {title}")
        texts = (text for name, text in sorted(vars(messages).items()) if name[1:].isdigit())
        for text in texts:
            found = _MESSAGE.match(text)
            assert found is not None, text
            lines += [f"### {found[1]}", found[3].replace("<", "&lt;")]
    return "\n\n".join(lines) + "\n"


def commands_page() -> str:
    """The help of every command."""
    lines = ["# Commands", "All commands begin with `python -m spacy msvse`."]
    group = get_command(app)
    for name, command in sorted(group.commands.items()):
        lines += list(_command(name, command, 2))
    return "\n\n".join(lines) + "\n"


def settings_page() -> str:
    """Every setting of the component and of every registered function, from its declaration."""
    lines = [
        "# All settings",
        "Every setting of a config with its default and its values. [Settings](settings.md) "
        "explains the most important ones.",
        "## `[components.msvse_ner]`",
    ]
    component = {
        name: value.declaration
        for name, value in vars(MsvseNer).items()
        if isinstance(value, Setting)
    }
    lines.append(_settings(MsvseNer, component, DEFAULT_CONFIG))
    for group, registry in REGISTRIES.items():
        points = (one for one in entry_points(group=group) if one.value.startswith("spacy_msvse."))
        for point in sorted(points, key=lambda one: one.name):
            function = point.load()
            parameters = inspect.signature(function).parameters.values()
            defaults = {one.name: one.default for one in parameters}
            lines.append(f'## `@{registry} = "{point.name}"`')
            lines += _introduction(function)
            lines.append(_settings(function, _declared(function), defaults))
    return "\n\n".join(lines) + "\n"


def api_pages() -> Iterator[tuple[str, str]]:
    """A page with the functions and classes at the top, and one for each room of the package."""
    homes = {name: spacy_msvse._HOMES.get(name) for name in spacy_msvse.__all__}
    names = [f"spacy_msvse.{home}.{name}" for name, home in homes.items() if home]
    lines = ["# API", "These names can be imported from `spacy_msvse`."]
    lines += [_reference(name, level=2, full=False) for name in names]
    lines += ["## Rooms", "The other public names are in the rooms of the package."]
    lines.append("\n".join(f"- [{room}]({room}.md): {text}" for room, text in ROOMS.items()))
    yield "api/index.md", "\n\n".join(lines) + "\n"
    for room, text in ROOMS.items():
        package = f"spacy_msvse.{room}"
        path = [str(part) for part in __import__(package, fromlist=["*"]).__path__]
        modules = sorted(one.name for one in pkgutil.walk_packages(path, f"{package}."))
        page = [f"# {package}", text, *(_reference(module, level=2) for module in modules)]
        yield f"api/{room}.md", "\n\n".join(page) + "\n"


def _reference(name: str, level: int, full: bool = True) -> str:
    options = {"heading_level": level, "show_root_full_path": str(full).lower()}
    lines = (f"      {option}: {value}" for option, value in options.items())
    return "\n".join([f"::: {name}", "    options:", *lines])


def _command(name: str, command: click.Command, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    yield textwrap.dedent(command.help or "").strip()
    rows = [row for parameter in command.params if (row := _parameter(parameter))]
    if rows:
        yield "\n".join(["| argument or option | default | |", "| --- | --- | --- |", *rows])
    for child, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _command(f"{name} {child}", inner, level + 1)


def _parameter(parameter: click.Parameter) -> str:
    if parameter.name == "help":
        return ""
    option = parameter.param_type_name == "option"
    names = ", ".join(f"`{one}`" for one in parameter.opts) if option else f"`{parameter.name}`"
    default = parameter.default
    shown = (
        "required" if parameter.required else "" if default in (None, "", False) else str(default)
    )
    help_ = " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|")
    return f"| {names} | {shown} | {help_} |"


def _declared(function: Callable[..., Any]) -> dict[str, Declaration]:
    """The declarations of the settings of a registered function."""
    if hasattr(function, "method"):
        return {**declarations(inspect.unwrap(make_model)), **declarations(function.method.Config)}
    owner = inspect.unwrap(function)
    if inspect.isclass(owner) and not hasattr(owner, "__dataclass_fields__"):
        return declarations(inspect.unwrap(owner.__init__))
    return declarations(owner)


def _introduction(function: Callable[..., Any]) -> list[str]:
    owner = getattr(function, "method", function)
    first = (inspect.getdoc(owner) or "").partition("\n\n")[0]
    return [" ".join(first.split())] if first else []


def _settings(function: Any, declared: dict[str, Declaration], defaults: dict[str, Any]) -> str:
    """A table of settings. Those without a declaration are checked by their owner."""
    config = getattr(getattr(function, "method", None), "Config", None)
    cls = inspect.unwrap(function)
    classes = inspect.getmro(cls) if inspect.isclass(cls) else ()
    owners = [function, *classes, *inspect.getmro(config or object)]
    owners += [make_model, getattr(function, "__init__", None)]
    texts: dict[str, str] = {}
    for owner in owners:
        for name, text in _ARGUMENT.findall(inspect.getdoc(owner) or "" if owner else ""):
            texts.setdefault(name, " ".join(text.split()))
    lines = ["| setting | default | values | |", "| --- | --- | --- | --- |"]
    for name in defaults if function is not MsvseNer else sorted({*defaults, *declared}):
        default = defaults.get(name, inspect.Parameter.empty)
        shown = "required" if default is inspect.Parameter.empty else f"`{default}`"
        values = declared[name].expected if name in declared else ""
        cells = (f"`{name}`", shown, values, texts.get(name, ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
