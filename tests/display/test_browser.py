"""Tests that need a browser. `pytest -m browser` runs only these; without a browser, they are
skipped."""

import pytest

from spacy_msvse import make_doc, render

from .markup import HOSTILE, effect, full_post, hostile_post, jpeg

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")

pytestmark = pytest.mark.browser

PHONE, DESK = 390, 1200


@pytest.fixture
def happened() -> list[str]:
    """Requests, messages on the console, errors and dialogs."""
    return []


@pytest.fixture
def show(chromium, tmp_path, happened):
    """Opens a page. It must load no other file, log nothing and open no dialog."""
    pages = []

    def open_(html: str, scheme: str = "light", width: int = DESK):
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(html, encoding="utf-8")
        page = chromium.new_page(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
        )
        pages.append(page)
        page.on("console", lambda message: happened.append(message.text))
        page.on("pageerror", lambda error: happened.append(str(error)))
        page.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: happened.append(request.url))
        page.goto(path.as_uri())
        happened[:] = [
            event for event in happened if event != path.as_uri() and not event.startswith("data:")
        ]
        return page

    yield open_
    for page in pages:
        page.close()
    assert not happened


@pytest.fixture(scope="module")
def docs(nlp):
    missing = make_doc(nlp, "a post without", image="missing.jpg")
    return [full_post(nlp), make_doc(nlp, "a post without"), missing]


def effects():
    """Effects for the posts of `docs` and for the hostile one."""
    known = [
        effect(0, 1, ("PER", 0.92), ("LOC", 0.5), regions=[0.1, 0.02], tags=0.03),
        effect(2, 3, ("LOC", 0.7), ("LOC", 0.4, False), regions=[0.1, 0.02], tags=0.03),
    ]
    return [known, [], [], [effect(1, 2, (HOSTILE, 0.5), (HOSTILE, 0.4, False), regions=[0.1])]]


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(show, docs, nlp, scheme, width):
    page = show(render([*docs, hostile_post(nlp)], page=True, effects=effects()), scheme, width)
    page.locator("summary").evaluate_all("all => all.forEach(one => one.click())")
    results = axe.Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"]) for found in results] == []


def test_the_dark_page_is_dark(show, docs):
    color = "getComputedStyle(document.body).backgroundColor"
    html = render(docs, page=True)
    assert show(html, "light").evaluate(color) == "rgb(243, 244, 247)"
    assert show(html, "dark").evaluate(color) == "rgb(18, 22, 28)"


@pytest.mark.parametrize("width", [320, PHONE, DESK])
def test_the_page_never_scrolls_sideways(show, docs, nlp, width):
    page = show(render([*docs, hostile_post(nlp)], page=True, effects=effects()), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_text_has_no_effect(show, nlp, tmp_path):
    path = tmp_path / "\"><svg onload=alert(1)>'.jpg"
    path.write_bytes(jpeg())
    docs = [hostile_post(nlp), hostile_post(nlp, image=str(path))]
    page = show(render(docs, page=True))
    assert page.title() == "Posts with their pictures"
    assert page.locator("script, svg, [onerror], [onload]").count() == 0
    # In a page without our security policy, the markup must be harmless as well.
    page = show(f"<!DOCTYPE html><title>a blog</title>{render(docs)}")
    assert page.title() == "a blog"
    assert page.locator("script, svg, [onerror], [onload]").count() == 0


def test_a_script_or_a_picture_of_another_file_is_blocked(show, docs, happened, tmp_path):
    (tmp_path / "other.jpg").write_bytes(jpeg())
    inside = "<script>document.title = 'run'</script><img src='other.jpg' alt=''>"
    page = show(render(docs, page=True).replace("</main>", inside + "</main>"))
    assert page.title() == "Posts with their pictures"
    assert page.locator("img").last.evaluate("image => image.naturalWidth") == 0
    assert "Content Security Policy" in " ".join(happened)
    happened.clear()


def test_the_keyboard_reaches_the_regions_and_returns(show, docs):
    page = show(render(docs, page=True))
    page.keyboard.press("Tab")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.textContent.trim()") == "Region 1 person 93%"
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.locator(":target").inner_text() == "person 93%"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.innerText") == "person"
    page.keyboard.press("Enter")
    assert page.locator(":target").text_content().strip() == "Region 1 person 93%"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_boxes_lie_on_the_picture(show, docs, width):
    page = show(render(docs, page=True), width=width)
    picture = page.locator("img").first.bounding_box()
    box = page.locator(".box").first.bounding_box()
    assert box["x"] == pytest.approx(picture["x"] + 0.1 * picture["width"], abs=1)
    assert box["y"] == pytest.approx(picture["y"] + 0.2 * picture["height"], abs=1)
    assert box["width"] == pytest.approx(0.4 * picture["width"], abs=1)
    assert box["height"] == pytest.approx(0.8 * picture["height"], abs=1)


def test_a_fragment_does_not_change_the_page_around_it(show, docs):
    around = "<!DOCTYPE html><html lang='en'><title>x</title><h2>Mine</h2><a href='#'>link</a>"
    style = (
        "[...document.querySelectorAll('h2, a')].slice(0, 2).map("
        "element => [getComputedStyle(element).font, getComputedStyle(element).color])"
    )
    assert show(around + render(docs)).evaluate(style) == show(around).evaluate(style)
