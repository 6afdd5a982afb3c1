"""The documentation is true: links and files exist, and every setting has its default."""

import re
from pathlib import Path

import pytest
import srsly

from spacy_msvse.component.factory import DEFAULT_CONFIG

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("assets/*/README.md")),
    ROOT / "benchmarks" / "README.md",
]
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
