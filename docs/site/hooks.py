"""Hooks of MkDocs: pages that are made of the code, and pages of files outside of `docs`."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pages import generated_pages, notebook_page

ROOT = Path(__file__).parents[2]

#: Files of the repository that are pages of the site.
REPOSITORY_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "assets/synthetic/README.md": "synthetic-data.md",
    "benchmarks/README.md": "benchmarks.md",
}

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of the folder."""
    for name, content in _generated():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Let links to files of the repository lead to their pages."""
    sources = {name: source for source, name in REPOSITORY_PAGES.items()}
    name = page.file.src_uri
    source = sources.get(name, f"docs/{name}")

    def replace(found: re.Match[str]) -> str:
        text, target = found.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if file in REPOSITORY_PAGES:
            to = REPOSITORY_PAGES[file]
        elif file.startswith("docs/"):
            to = file.removeprefix("docs/")
        else:  # A file that is only in the repository.
            return text
        relative = posixpath.relpath(to, posixpath.dirname(name) or ".")
        return f"[{text}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(replace, markdown)


def _generated() -> Iterator[tuple[str, str]]:
    for source, name in REPOSITORY_PAGES.items():
        yield name, (ROOT / source).read_text(encoding="utf8")
    for script in sorted((ROOT / "docs" / "notebooks").glob("*.py")):
        yield f"notebooks/{script.stem}.md", notebook_page(script.read_text(encoding="utf8"))
    yield from generated_pages()
