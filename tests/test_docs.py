"""The documentation is true: links and files exist, and every setting has its default."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import srsly
from typer.main import get_command
from weasel.util import split_command

from spacy_msvse.cli import app
from spacy_msvse.component.defaults import DEFAULT_CONFIG

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("assets/*/README.md")),
    ROOT / "benchmarks" / "README.md",
]
README = (ROOT / "README.md").read_text(encoding="utf8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf8")


def table_rows(name: str) -> list[str]:
    """The rows of the settings tables that name a setting in their first cell."""
    rows = [line for line in SETTINGS.splitlines() if line.startswith("|")]
    return [row for row in rows if f"`{name}`" in row.split("|")[1]]


def default_settings() -> dict:
    """The settings of the component and of its model, with their defaults."""
    model = {key: value for key, value in DEFAULT_CONFIG["model"].items() if key[0] != "@"}
    component = {key: value for key, value in DEFAULT_CONFIG.items() if key != "scorer"}
    return {**model, **component}


@pytest.mark.parametrize("name", sorted(default_settings()))
def test_the_settings_page_has_every_setting_with_its_default(name):
    (row,) = table_rows(name)
    default = default_settings()[name]
    if not isinstance(default, dict):
        written = default if isinstance(default, str) else srsly.json_dumps(default)
        assert written.replace('","', '", "') in row.split("|")[2]


def named_files() -> list[tuple[Path, str]]:
    """Each page and each file of the project that it names."""
    pattern = re.compile(r"\b(?:assets|benchmarks|configs|docs|tests)/[\w./-]*\w")
    found = [
        (page, path)
        for page in PAGES
        for path in pattern.findall(page.read_text(encoding="utf8"))
        if not path.startswith(("assets/twitter2015", "assets/twitter2017"))
    ]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "path"), named_files())
def test_every_named_file_exists(page, path):
    assert (ROOT / path).exists()


def links() -> list[tuple[Path, str]]:
    """Each page and each of its links to a file or a heading of the project."""
    pattern = re.compile(r"\]\(([^)\s]+)\)")
    return [
        (page, link)
        for page in PAGES
        for link in pattern.findall(page.read_text(encoding="utf8"))
        if "://" not in link
    ]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "link"), links())
def test_every_link_leads_to_a_file_and_a_heading(page, link):
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def documented_commands() -> list[str]:
    """Each line of a code block or of project.yml that calls one of our commands."""
    texts = [page.read_text(encoding="utf8") for page in (*PAGES, ROOT / "project.yml")]
    return sorted(
        {line for text in texts for line in re.findall(r"python -m spacy msvse [a-z].*", text)}
    )


@pytest.mark.parametrize("line", documented_commands())
def test_a_documented_command_and_its_options_exist(line):
    _, _, _, _, name, *arguments = split_command(re.split(r'["`]', line)[0])
    command = get_command(app).commands[name]
    if hasattr(command, "commands") and arguments:
        command = command.commands[arguments[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    given = {argument for argument in arguments if re.match(r"-\w|--", argument)} - {"--help"}
    if command.context_settings.get("allow_extra_args"):  # these change settings of the config
        given = {argument for argument in given if "." not in argument}
    assert given <= options


def test_the_readme_explains_every_extra():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extra in setup["options.extras_require"]:
        assert re.search(rf"^\| .*`{extra}`.* \| .+ \|$", README, re.MULTILINE), extra


def test_the_ci_runs_the_commands_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    install = 'pip install{} -e ".[offline,spacy-transformers]" && python -m spacy project run all'
    for command in (install, 'pip install{} -e ".[dev]"'):
        assert command.format("") in README
        assert command.format(" -q") in ci
