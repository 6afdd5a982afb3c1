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
import streamlit
from streamlit.testing import v1 as testing

from spacy_msvse.corpus.annotate import annotate
from spacy_msvse.corpus.jsonl import read_rows
from spacy_msvse.corpus.post import PostRow

from ..tiny import picture
from .markup import HOSTILE, Markup

APP = Path(spacy.util.get_package_path("spacy_msvse")) / "display" / "app.py"
#: Bytes that a picture may have on the page that a browser sees.
UPLOAD_LIMIT = 2 * 2**20

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
        {"text": ""},
        {"words": []},
        {"words": ["saw", HOSTILE, MARKDOWN]},
        {"text": "saw amazon", "image": "PER.png", "tags": [HOSTILE], "caption": HOSTILE},
        {"text": "saw phoenix", "image": "PER.png", "tags": ["red", "bird"]},
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


def submit(page, text: str, *upload: str | bytes):
    """Submit a post, with a picture as (name, content)."""
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
def test_the_picture_decides_and_the_comparison_shows_it(page, label):
    status, post = shown(submit(page(), "saw jordan today", "a.png", picture(label)))
    assert words(status) == f"1 entity found: jordan {label}."
    assert status.attributes("role") == ["status"]
    assert f"saw jordan {label}" in words(post)
    assert len(post.all("img")) == 1
    assert "With and without picture, tags and caption" in words(post)
    assert f"Words With Without jordan {label}" in words(post)


def test_without_a_picture_there_is_nothing_to_compare(page):
    _, post = shown(submit(page(), "saw jordan today"))
    assert "This post has no picture." in words(post)
    assert not post.all("table")


def test_the_effect_of_a_caption_is_not_named_an_effect_of_a_picture(page, tmp_path):
    row = {"text": "saw jordan today", "caption": "a picture of red"}
    (tmp_path / "posts.jsonl").write_text(json.dumps(row))
    opened = page("--examples", tmp_path / "posts.jsonl", "--image-root", tmp_path)
    opened.button[1].click()
    _, _, post = shown(opened.run())
    assert "This post has no picture." in words(post)
    assert "With and without caption Words" in words(post)


def test_an_error_of_the_pipeline_is_shown_and_the_page_continues(page, monkeypatch):
    opened = page()
    with monkeypatch.context() as broken:
        broken.setattr(PostRow, "to_doc", fail)
        opened = submit(opened, "saw jordan today")
    assert opened.error[0].value == "The post cannot be read."
    assert opened.text[0].value == "the post is odd"
    assert not shown(opened)
    assert shown(submit(opened, "saw jordan today"))


def fail(*arguments):
    raise ValueError("the post is odd")


def test_without_a_text_it_asks_for_one(page):
    opened = submit(page(), " \n", "a.png", picture("PER"))
    assert "Type one" in opened.warning[0].value
    assert not shown(opened)


@pytest.mark.parametrize("content", [b"no picture", picture("PER")[:60], b""])
def test_for_an_unreadable_picture_the_reason_is_shown(page, content):
    opened = submit(page(), "saw jordan today", "a.png", content)
    assert "cannot be read" in opened.error[0].value
    assert opened.text[0].value
    assert not shown(opened)


def test_hostile_text_is_escaped(page, posts):
    opened = page("--examples", posts, "--image-root", posts.parent)
    opened = submit(opened, f"saw jordan {HOSTILE} {MARKDOWN}", f"{MARKDOWN}.png", picture("PER"))
    tags = {tag for markup in shown(opened) for tag, _ in markup.tags}
    assert not {"script", "b"} & tags
    names = [name for markup in shown(opened) for _, attrs in markup.tags for name in attrs]
    assert not [name for name in names if name.startswith("on")]
    # Token by token, since there are labels between the tokens that the tiny network finds.
    tokens = [token.text for token in spacy.blank("en")(HOSTILE)]
    assert all(token in one.text for token in tokens for one in shown(opened)[-1:])
    assert sum(HOSTILE in one.text for one in shown(opened)) == 1  # in the gallery
    # Streamlit reads these as Markdown.
    assert not any("example.org" in element.value for element in opened.markdown)
    assert not any("example.org" in button.label for button in opened.button)


def test_the_gallery_shows_readable_posts_and_no_picture_outside_its_folder(page, posts):
    opened = page("--examples", posts, "--image-root", posts.parent)
    tiles = shown(opened)
    assert [words(tile) for tile in tiles if HOSTILE not in tile.text] == [
        "saw jordan today",
        "saw amazon",
        "saw phoenix",
    ]
    assert HOSTILE in tiles[1].text
    opened.button[1].click()
    status, post = shown(opened.run())[len(tiles) :]
    assert "jordan PER" in words(status)
    assert "jordan PER" in words(post)


def test_every_post_of_the_gallery_can_be_annotated(page, posts):
    for number in range(1, 5):
        opened = page("--examples", posts, "--image-root", posts.parent)
        assert len(opened.button) == 5
        opened.button[number].click()
        opened.run()
        assert not opened.exception
        assert not opened.error


def test_the_pictures_of_the_gallery_are_described_by_captions_and_tags(page, posts):
    opened = page("--examples", posts, "--image-root", posts.parent)
    descriptions = [image["alt"] for tile in shown(opened) for image in tile.all("img")]
    # Kept apart, since Streamlit drops a description that ends a tag.
    hostile = HOSTILE.replace("</", "< /")
    assert descriptions == ["Picture of post 1", hostile, "Picture: red, bird"]


def test_the_words_of_a_user_leave_the_vocabulary(page, monkeypatch):
    loaded = []
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda model: loaded.append(load(model)) or loaded[-1])
    opened = page()
    submit(opened, "saw xylographer today", "a.png", picture("PER"))
    submit(page(), "saw jordan today")
    (nlp,) = loaded  # one for all sessions
    assert "xylographer" not in nlp.vocab.strings


# In a browser


@pytest.fixture(scope="module")
def address(trained, posts):
    """The page, served by the command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The tiny extractor is registered by the tests. Pictures may have 2 MiB, and a file in the
    # temporary folder is refused.
    start = (
        "import tempfile, tests.tiny, spacy_msvse.cli.serve as serve; "
        "from spacy.cli import setup_cli; "
        f"serve.MAX_BYTES = {UPLOAD_LIMIT}; "
        "tempfile.SpooledTemporaryFile.rollover = None; "
        "setup_cli()"
    )
    command = ["msvse", "serve", str(trained), "--examples", str(posts), "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-c", start, *command, "--headless"], cwd=Path(__file__).parents[2]
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(1000):  # a busy machine takes minutes
        try:
            urlopen(f"{address}/_stcore/health").close()
            break
        except OSError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.2)
    yield address
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture
def view(chromium, address):
    """Opens the page in a browser."""
    pages = []

    def open_(scheme: str = "light", width: int = 1200, height: int = 1500):
        page = chromium.new_page(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        pages.append(page)
        page.set_default_timeout(60_000)
        page.goto(address)
        # Before it is complete, the page loses the chosen file.
        page.locator("figure").last.wait_for(state="attached")
        page.locator('[data-test-script-state="notRunning"]').wait_for()
        return page

    yield open_
    for page in pages:
        page.close()


def upload(page, name: str, size: int) -> None:
    """Choose a picture of a size in bytes. Decoders ignore bytes after the end."""
    content = picture("PER", seed=3).ljust(size, b"\0")
    chosen = {"name": name, "mimeType": "image/png", "buffer": content}
    page.locator("input[type=file]").set_input_files(chosen)


def barriers(page) -> list[tuple[str, str]]:
    """The problems that axe finds in the HTML of this package."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")
    found = axe.Axe().run(page, context='[data-testid="stHtml"]').response["violations"]
    return [(one["id"], node["html"]) for one in found for node in one["nodes"]]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_gallery_answer_and_comparison(view, scheme, width):
    page = view(scheme, width)
    page.get_by_role("tab", name="Examples").click()
    page.get_by_role("img", name="Picture: red, bird").wait_for()
    assert page.locator('[data-testid="stHtml"] figure').count() == 4
    assert barriers(page) == []
    page.get_by_role("button", name="Find entities in post 1").click()
    page.get_by_role("status").filter(has_text="1 entity found: jordan PER.").wait_for()
    page.get_by_role("heading", name="With and without picture, tags and caption").wait_for()
    for summary in page.locator("summary").all():
        summary.click()
    page.get_by_text("Region 1,").wait_for()
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1200, 600), (390, 700)])
def test_the_answer_for_an_example_is_in_view(view, width, height):
    """On a phone the gallery is longer than the screen. The answer must not be below it."""
    page = view(width=width, height=height)
    page.get_by_role("tab", name="Examples").click()
    for number in (4, 1):
        page.get_by_role("button", name=f"Find entities in post {number}").click()
        found = page.get_by_role("dialog").or_(page.locator("article.post")).first
        found.wait_for()
        text = page.locator("article.post p.text").last
        text.wait_for()
        page.wait_for_timeout(500)
        box = text.bounding_box()
        assert 0 <= box["y"] < box["y"] + box["height"] <= height
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")


@pytest.mark.browser
def test_a_picture_within_the_limit_stays_in_memory(view):
    page = view()
    with page.expect_response(lambda response: "upload_file" in response.url) as answered:
        # More than Starlette by itself keeps in memory; the page takes a megabyte for 10**6 bytes.
        upload(page, "within.png", 2 * 10**6)
    assert answered.value.ok
    page.get_by_label("Text", exact=True).fill("saw jordan today")
    page.get_by_role("button", name="Find entities", exact=True).click()
    page.get_by_role("status").filter(has_text="1 entity found: jordan PER.").wait_for()


@pytest.mark.browser
def test_a_picture_above_the_limit_is_refused_by_the_page_and_by_the_server(view):
    page = view()
    upload(page, "above.png", UPLOAD_LIMIT + 1)
    page.get_by_text("File must be 2.0MB or smaller.").wait_for()
    # The same limit holds for requests that do not come from the page.
    with page.expect_request(lambda request: "upload_file" in request.url) as sent:
        upload(page, "within.png", 1000)
    file = {"name": "a.png", "mimeType": "image/png", "buffer": bytes(UPLOAD_LIMIT + 1)}
    kept = {"x-xsrftoken"}
    headers = {k: v for k, v in sent.value.all_headers().items() if k.lower() in kept}
    refusal = page.request.put(sent.value.url, multipart={"file": file}, headers=headers)
    assert refusal.status == 413


@pytest.mark.browser
def test_a_post_is_read_compared_and_downloaded(chromium, address, trained, posts, tmp_path):
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
    page.get_by_role("heading", name="With and without picture, tags and caption").wait_for()

    assert page.locator("mark.entity").first.inner_text().startswith("jordan PER")
    assert page.locator("article.post img").evaluate("image => image.naturalWidth") > 0
    assert page.locator("tbody tr").first.inner_text().startswith("jordan\tPER")
    assert page.locator(".spacy-msvse :is(script, [onerror], [onload])").count() == 0
    assert barriers(page) == []

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
    # All requests went to the page's own server, and no text was run as a script.
    assert [one for one in happened if not one.startswith((address, "data:", "blob:"))] == []
