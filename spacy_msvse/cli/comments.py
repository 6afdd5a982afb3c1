"""Comments of config files, which spaCy loses whenever it fills and writes a config."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping

from spacy.util import CONFIG_SECTION_ORDER
from thinc.api import Config

#: The longest line, in characters.
WIDTH = 100

_ARGUMENT = re.compile(r"(\w+) \(.*?\): (.*)")
_NONE = re.compile(r"\bNone\b")
_SENTENCE_END = re.compile(r"(?<=\.)\s")


def read_comments(text: str) -> dict[str, str]:
    """Read the comments that stand right above a section or a setting.

    text (str): A config.
    RETURNS (dict): Dotted name, such as "training.max_steps", to comment.
    """
    comments: dict[str, str] = {}
    pending: list[str] = []
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            pending.append(line.lstrip("# "))
            continue
        name, equals, _ = line.partition("=")
        if line.startswith("["):
            section = path = line.strip("[]")
        else:
            path = f"{section}.{name.strip()}"
        if pending and (equals or path == section):
            comments[path] = " ".join(pending)
        pending = []
    return comments


def describe_arguments(documented: Callable) -> dict[str, str]:
    """Read from a docstring what each argument is, in one sentence and in a config's words.

    documented (Callable): A function or a class whose docstring has lines `name (type): text`.
    RETURNS (dict): Name to the first sentence of its text.
    """
    described: dict[str, str] = {}
    name = None
    for line in (inspect.getdoc(documented) or "").splitlines():
        found = _ARGUMENT.match(line)
        if found is not None:
            name, described[found[1]] = found[1], found[2]
        elif name is not None and line.startswith(" "):
            described[name] += " " + line.strip()
        else:
            name = None
    sentences = {name: _SENTENCE_END.split(text, 1)[0] for name, text in described.items()}
    return {name: _NONE.sub("null", sentence) for name, sentence in sentences.items()}


def write_with_comments(config: Config, comments: Mapping[str, str], header: str = "") -> str:
    """Write a config with each comment above what it is about, once, and with each section followed
    by those inside it.

    config (Config): The config. Variables in it stay variables.
    comments (Mapping): Dotted name of a section or a setting to comment.
    header (str): Paragraphs to begin with.
    RETURNS (str): The text.
    """
    blocks = _blocks(config)
    position = {name: index for index, name in enumerate(blocks)}

    def reading_order(name: str) -> list[int]:
        parts = name.split(".")
        return [position[".".join(parts[: depth + 1])] for depth in range(len(parts))]

    written: set[str] = set()

    def comment(path: str) -> Iterator[str]:
        text = comments.get(path)
        if text and text not in written:
            written.add(text)
            yield from _as_comment(text)

    paragraphs = ["\n".join(_as_comment(text)) for text in header.splitlines()]
    for name in sorted(blocks, key=reading_order):
        lines = [*comment(name), f"[{name}]"]
        # A registered function first, then its arguments.
        for setting in sorted(blocks[name], key=lambda line: not line.startswith("@")):
            lines += [*comment(f"{name}.{setting.split(' = ')[0]}"), setting]
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs) + "\n"


def _blocks(config: Config) -> dict[str, list[str]]:
    """Name of each section to its lines."""
    blocks: dict[str, list[str]] = {}
    ordered = Config({name: config[name] for name in CONFIG_SECTION_ORDER if name in config})
    for line in ordered.to_str(interpolate=False).splitlines():
        if line.startswith("["):
            lines = blocks[line.strip("[]")] = []
        elif line:
            lines.append(line)
    return blocks


def _as_comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
