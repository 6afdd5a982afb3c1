"""Pages of the site that are made of the code: errors, commands, the API."""

import pkgutil
import re
import textwrap
from collections.abc import Iterator

import click
from typer.main import get_command

import spacy_msvse
from spacy_msvse.cli import app
from spacy_msvse.errors import Errors, Warnings

_MESSAGE = re.compile(r"\[(MSVSE-([EW])\d+)\] (.+)", re.DOTALL)

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
