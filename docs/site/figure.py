"""Make docs/post.png: two posts with the same text, as `render` shows them.

It needs the pipeline of the demo project (`python -m spacy project run all`) and a Chromium.
"""

import tempfile
from pathlib import Path

import spacy
from playwright.sync_api import sync_playwright

from spacy_msvse import make_doc, render

ROOT = Path(__file__).parents[2]
PICTURES = ("test-0023.jpg", "test-0012.jpg")


def main() -> None:
    """Render the posts, and take a picture of the page."""
    nlp = spacy.load("en_msvse_synthetic")
    folder = ROOT / "assets" / "synthetic" / "pictures"
    docs = [make_doc(nlp, "What a day with Jordan", image=folder / name) for name in PICTURES]
    html = render(list(nlp.pipe(docs)), page=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as tools:
        page_path = Path(place) / "page.html"
        page_path.write_text(html, encoding="utf8")
        browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 400}, device_scale_factor=1)
        page.goto(page_path.as_uri())
        page.screenshot(path=ROOT / "docs" / "post.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
