"""The page of `python -m spacy msvse serve`."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import spacy

from spacy_msvse.cli.annotate import annotate
from spacy_msvse.corpus.jsonl import read_rows

from ..tiny import picture
from .posts import HOSTILE, Markup

streamlit = pytest.importorskip("streamlit", reason="needs Streamlit")
testing = pytest.importorskip("streamlit.testing.v1")

APP = Path(spacy.util.get_package_path("spacy_msvse")) / "display" / "app.py"
MARKDOWN = "![x](https://example.org/x.png) :red[x] <b>x</b>"


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    """Posts for the gallery; the picture of one lies outside their folder, and one is no post."""
    folder = tmp_path_factory.mktemp("data") / "posts"
    folder.mkdir()
    (folder / "PER.png").write_bytes(picture("PER", seed=3))
    (folder.parent / "outside.png").write_bytes(picture("ORG"))
    rows = [
        {"text": "saw jordan today", "image": "PER.png", "meta": {"by": "Zoë"}},
        {"text": "saw amazon today", "image": "../outside.png"},
        {"text": 3},
        {"words": ["saw", HOSTILE, MARKDOWN]},
    ]
    (folder / "posts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "posts.jsonl"


@pytest.fixture
def page(trained, monkeypatch):
    """Opens the page, without a browser."""

    def open_(*arguments):
        monkeypatch.setattr(sys, "argv", [str(APP), str(trained), *map(str, arguments)])
        return testing.AppTest.from_file(APP, default_timeout=60).run()

    yield open_
    streamlit.cache_resource.clear()


def hand_in(page, text: str, *upload: str | bytes):
    """Hand a post in, with a picture as (name, content)."""
    if upload:
        page.file_uploader[0].set_value((*upload, "image/png"))
    page.text_area[0].set_value(text)
    page.button[0].click()
    page.run()
    assert not page.exception
    return page


def shown(page) -> list[Markup]:
    """The HTML that we put on the page, piece by piece."""
    return [Markup(element.proto.body) for element in page.get("html")]


def words(markup: Markup) -> str:
    return " ".join(markup.text.split())


@pytest.mark.parametrize("label", ["PER", "LOC", "ORG"])
def test_the_picture_decides_and_the_comparison_tells(page, label):
    post, comparison = shown(hand_in(page(), "saw jordan today", "a.png", picture(label)))
    assert f"saw jordan {label}" in words(post)
    assert len(post.all("img")) == 1
    assert f"Words With it Without it jordan {label}" in words(comparison)


def test_without_a_picture_there_is_nothing_to_compare(page):
    (post,) = shown(hand_in(page(), "saw jordan today"))
    assert "This post has no picture." in words(post)


def test_without_a_text_it_asks_for_one(page):
    opened = hand_in(page(), " \n", "a.png", picture("PER"))
    assert "Type one" in opened.warning[0].value
    assert not shown(opened)


@pytest.mark.parametrize("content", [b"no picture", picture("PER")[:60], b""])
def test_a_picture_that_cannot_be_read_is_told_in_words(page, content):
    opened = hand_in(page(), "saw jordan today", "a.png", content)
    assert "cannot be read" in opened.error[0].value
    assert "MSVSE-E020" in opened.text[0].value
    assert not shown(opened)


def test_hostile_text_stays_text(page, posts):
    opened = page("--examples", posts, "--image-root", posts.parent)
    opened = hand_in(opened, f"saw jordan {HOSTILE} {MARKDOWN}", f"{MARKDOWN}.png", picture("PER"))
    tags = {tag for markup in shown(opened) for tag, _ in markup.tags}
    assert not {"script", "b"} & tags
    names = [name for markup in shown(opened) for _, attrs in markup.tags for name in attrs]
    assert not [name for name in names if name.startswith("on")]
    # Token by token: the labels of what the tiny network takes for entities stand in between.
    tokens = [token.text for token in spacy.blank("en")(HOSTILE)]
    assert sum(all(token in one.text for token in tokens) for one in shown(opened)) == 2
    # Streamlit takes these for Markdown.
    assert not any("example.org" in element.value for element in opened.markdown)
    assert not any("example.org" in button.label for button in opened.button)


def test_the_gallery_shows_what_can_be_read_and_nothing_from_outside_its_folder(page, posts):
    opened = page("--examples", posts, "--image-root", posts.parent)
    first, second = shown(opened)
    assert words(first) == "saw jordan today"
    assert first.all("img")[0]["alt"] == "Picture of post 1"
    assert HOSTILE in second.text
    opened.button[1].click()
    post, comparison = shown(opened.run())[2:]
    assert "jordan PER" in words(post)
    assert "jordan PER" in words(comparison)


def test_the_words_of_a_user_are_forgotten(page, monkeypatch):
    loaded = []
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda model: loaded.append(load(model)) or loaded[-1])
    opened = page()
    hand_in(opened, "saw xylographer today", "a.png", picture("PER"))
    hand_in(page(), "saw jordan today")
    (nlp,) = loaded  # one for all sessions
    assert "xylographer" not in nlp.vocab.strings


# In a browser


@pytest.fixture(scope="module")
def address(trained, posts):
    """The page, served by the command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The tiny extractor is registered by the tests.
    start = "import tests.tiny; from spacy.cli import setup_cli; setup_cli()"
    command = ["msvse", "serve", str(trained), "--examples", str(posts), "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-c", start, *command, "--headless"], cwd=Path(__file__).parents[2]
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urlopen(f"{address}/_stcore/health").close()
            break
        except OSError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.2)
    yield address
    server.terminate()
    server.wait(timeout=30)


@pytest.mark.browser
def test_a_post_is_read_compared_and_downloaded(chromium, address, trained, posts, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")
    hostile_name = "<img src=x onerror=alert(1)>.png"
    happened: list[str] = []
    page = chromium.new_page(viewport={"width": 1200, "height": 1500}, reduced_motion="reduce")
    page.on("pageerror", lambda error: happened.append(str(error)))
    page.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: happened.append(request.url))
    page.goto(address)
    content = (posts.parent / "PER.png").read_bytes()
    upload = {"name": hostile_name, "mimeType": "image/png", "buffer": content}
    page.locator("input[type=file]").set_input_files(upload)
    text = f"saw jordan today {HOSTILE}"
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Find entities", exact=True).click()
    page.get_by_role("heading", name="With and without the picture").wait_for()

    assert page.locator("mark.entity").first.inner_text().startswith("jordan PER")
    assert page.locator("article.post img").evaluate("image => image.naturalWidth") > 0
    assert page.locator("tbody tr").first.inner_text().startswith("jordan\tPER")
    assert page.locator(".spacy-msvse :is(script, [onerror], [onload])").count() == 0
    found = axe.Axe().run(page, context=".spacy-msvse").response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []

    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    download.value.save_as(tmp_path / "post.json")
    answer = json.loads((tmp_path / "post.json").read_text(encoding="utf-8"))
    given = {"text": text, "image": hostile_name}
    (tmp_path / hostile_name).write_bytes(content)
    (tmp_path / "in.jsonl").write_text(json.dumps(given))
    nlp = spacy.load(trained)
    nlp.get_pipe("msvse_ner").image_root = tmp_path
    (row,) = annotate(nlp, read_rows(tmp_path / "in.jsonl"), image_root=tmp_path)
    assert answer == row.values

    page.close()
    # Nothing but the page's own server was asked, and nothing ran that was only text.
    assert [one for one in happened if not one.startswith((address, "data:", "blob:"))] == []
