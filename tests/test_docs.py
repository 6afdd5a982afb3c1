"""The documentation is true: links and files exist, and every setting has its default."""

import re
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import srsly
from spacy.util import registry
from typer.main import get_command
from weasel.util import split_command

from spacy_msvse.cli import app
from spacy_msvse.component.defaults import DEFAULT_CONFIG
from spacy_msvse.evaluation.experiments.published import SYSTEMS
from spacy_msvse.evaluation.experiments.rows import method_names

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("assets/*/README.md")),
    ROOT / "benchmarks" / "README.md",
]
sys.path.insert(0, str(ROOT / "docs" / "site"))
import pages  # noqa: E402  (not a part of the package)

GENERATED_PAGES = dict(pages.generated_pages())
README = (ROOT / "README.md").read_text(encoding="utf8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf8")


#: The names of the architectures on the settings page.
METHODS = {"MSVSE": "spacy-msvse.MSVSE.v1", "TextCrf": "spacy-msvse.TextCrf.v1"}

#: Settings whose default the page describes in words.
DESCRIBED = (
    "view_dropout",
    "model",
    "vision",
    "get_spans",
    "tokenizer_config",
    "transformer_config",
)


def documented_settings() -> dict[tuple[str, str], list[str]]:
    """The default of each setting of the page, by its owner and its name. A row may have several
    settings, and one default for each of them or for all. The owner is the component or a method;
    the tagger shares settings with MSVSE, which a sentence lists."""
    component, model = SETTINGS.split("## `[components.msvse_ner.model]`")
    model, tagger = model.split("The settings of `spacy-msvse.TextCrf.v1` are ")
    found: dict[tuple[str, str], list[str]] = {}
    for owner, text in (("component", component), ("MSVSE", model), ("TextCrf", tagger)):
        for line in text.split("\n## Encoders")[0].splitlines():
            if not line.startswith("| `"):
                continue
            names, defaults = (re.findall("`([^`]+)`", cell) for cell in line.split("|")[1:3])
            if len(defaults) not in (0, 1, len(names)):
                defaults = [", ".join(defaults)]
            for number, name in enumerate(names):
                value = defaults[number if len(defaults) == len(names) else 0 :][:1]
                found.setdefault((owner, name), []).extend(value or ["in words"])
    listed, *_ = tagger.split("\n\n")
    names = [name for owner, name in found if owner == "MSVSE"]
    shared = [name for name in names if f"`{name}`" in listed]
    first, last = (names.index(name) for name in re.search("`(.+?)` to `(.+?)`", listed).groups())
    for name in dict.fromkeys([*names[first : last + 1], *shared]):
        found["TextCrf", name] = found["MSVSE", name]
    return found


def default_settings() -> dict[tuple[str, str], object]:
    """The default of each setting of the component and of the methods, as in a filled config."""
    settings = {
        ("component", name): value for name, value in DEFAULT_CONFIG.items() if name != "scorer"
    }
    for method, architecture in METHODS.items():
        block = {"model": {"@architectures": architecture}}
        model = registry.fill(block, validate=False)["model"]
        del model["@architectures"]
        settings.update({(method, name): value for name, value in model.items()})
    return settings


def test_the_settings_page_has_exactly_the_settings_that_exist():
    assert documented_settings().keys() == default_settings().keys()


@pytest.mark.parametrize(("owner", "name"), default_settings())
def test_the_settings_page_has_the_default_of_every_setting(owner, name):
    (written,) = documented_settings()[owner, name]
    default = default_settings()[owner, name]
    if isinstance(default, str) and name != "encoder":
        default = f'"{default}"'
    elif isinstance(default, dict):
        default = ", ".join(f"{key} = {value}" for key, value in default.items())
    elif not isinstance(default, str):
        default = srsly.json_dumps(default).replace('","', '", "')
    assert name in DESCRIBED or written == default


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
    if page.parent == ROOT / "docs" and path in GENERATED_PAGES:
        assert not anchor
        return
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
    assert not too_many_arguments(command, arguments)


def too_many_arguments(command, arguments: list[str]) -> list[str]:
    """Arguments without an option for which a command has no place."""
    flags = {o for one in command.params if getattr(one, "is_flag", False) for o in one.opts}
    left, takes_value = [], False
    for argument in arguments:
        if takes_value:
            takes_value = False
        elif re.match(r"-\w|--", argument):
            takes_value = argument not in flags and "=" not in argument and argument != "--help"
        elif not argument.startswith("${vars."):  # a variable of the project holds options
            left.append(argument)
    places = [one for one in command.params if one.param_type_name == "argument"]
    if any(one.nargs == -1 for one in places):
        return []
    return left[len(places) :]


def test_the_first_page_explains_every_extra():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    page = "\n".join(read_page("index.md"))
    for extra in setup["options.extras_require"]:
        assert re.search(rf"^\| .*`{extra}`.* \| .+ \|$", page, re.MULTILINE), extra


def test_the_ci_runs_the_commands_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    install = 'pip install{} -e ".[offline,spacy-transformers]" && python -m spacy project run all'
    for command in (install, 'pip install{} -e ".[dev]"'):
        assert command.format("") in README
        assert command.format(" -q") in ci


def test_the_page_of_methods_has_every_architecture():
    rows = [line.split("|") for line in read_page("methods.md") if line.startswith("| ")]
    systems = [[cell.strip(" `") for cell in row[1:6]] for row in rows[2:] if len(row) == 7]
    assert {architecture for _, architecture, *_ in systems} == set(method_names())
    assert [(name, architecture, built) for name, architecture, _, built, _ in systems] == [
        (system.name, system.architecture, system.built) for system in SYSTEMS
    ]
    for (*_, published), system in zip(systems, SYSTEMS, strict=True):
        assert published.startswith(f"{system.twitter2015:.2f} / {system.twitter2017:.2f}")


def read_page(name: str) -> list[str]:
    return (ROOT / "docs" / name).read_text(encoding="utf8").splitlines()


def test_a_short_option_means_the_same_in_every_command():
    meanings: dict[str, set[str]] = {}
    todo = [get_command(app)]
    while todo:
        command = todo.pop()
        todo += getattr(command, "commands", {}).values()
        for parameter in command.params:
            for name in parameter.opts:
                if name.startswith("-") and not name.startswith("--"):
                    meanings.setdefault(name, set()).add(str(parameter.name))
    assert {name: sorted(found) for name, found in meanings.items() if len(found) > 1} == {}


def test_the_entry_of_the_universe_has_code_that_compiles_and_the_name_of_the_package():
    """Its example is that of the README."""
    entry = srsly.read_json(ROOT / "docs" / "site" / "universe.json")
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert entry["pip"] == setup["metadata"]["name"]
    compile("\n".join(entry["code_example"]), "universe.json", "exec")
    assert all(line in README for line in entry["code_example"][:-1])
