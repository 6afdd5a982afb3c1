"""Posts as the component annotates them, and the structure of HTML."""

import io
from html.parser import HTMLParser
from typing import Any

from PIL import Image
from spacy.tokens import Doc

from spacy_msvse import make_doc
from spacy_msvse.component.analysis import PictureEffect, Reading
from spacy_msvse.doc import set_predictions

HOSTILE = "\"'><script>document.title='run'; alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


def annotate(doc: Doc, entities: list[tuple[int, int, str, float]]) -> Doc:
    """Set entities (first token, token after the last, label, confidence)."""
    spans = [doc[start:end] for start, end, _, _ in entities]
    for span, (_, _, label, _) in zip(spans, entities, strict=True):
        span.label_ = label
    doc.set_ents(spans)
    set_predictions(doc, "msvse_ner", spans, [score for *_, score in entities])
    return doc


def jpeg(size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    """A picture of two colours."""
    image = Image.new("RGB", size, (200, 60, 40))
    image.paste((40, 60, 200), (0, 0, size[0] // 2, size[1]))
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def full_post(nlp) -> Doc:
    """A post with every attribute."""
    doc = make_doc(
        nlp,
        "Jordan visits Amman",
        image=jpeg(),
        tags=["person", "street"],
        caption="a person in a street",
        texts={"ocr": "WELCOME\nTO AMMAN"},
        regions=[("person", 0.93, 0.1, 0.2, 0.5, 1.0), ("street", 0.5, 0.4, 0.0, 1.0, 1.0)],
    )
    doc._.image_extracted = ["image_regions", "image_tags"]
    doc._.image_status = {"regions": "used", "tags": "used", "caption": "masked"}
    doc._.visual_entities = {"regions": {"LOC": 0.25, "PER": 0.875}, "tags": {"PER": 0.5}}
    return annotate(doc, [(0, 1, "PER", 0.92), (2, 3, "LOC", 0.71)])


def effect(start: int, end: int, with_picture, without_picture, **attention) -> PictureEffect:
    """An effect as `explain_pictures` returns it. The shares of regions are given one by one."""
    regions = attention.pop("regions", [])
    shares = {"regions": sum(regions), **attention} if regions else attention
    findings = (Reading(*with_picture), Reading(*without_picture))
    return PictureEffect(start, end, *findings, attention=shares, regions=regions)


def hostile_post(nlp, image: str | bytes | None = None) -> Doc:
    """A post with markup in each of its texts."""
    doc = make_doc(
        nlp,
        ["see", HOSTILE, "now"],
        image=jpeg() if image is None else image,
        tags=[HOSTILE],
        caption=HOSTILE,
        texts={HOSTILE: HOSTILE},
        regions=[(HOSTILE, 0.5, 0.1, 0.1, 0.9, 0.9)],
    )
    doc.user_data["title"] = HOSTILE
    doc._.image_status = {HOSTILE: HOSTILE, f"used {HOSTILE}": "used"}
    doc._.visual_entities = {HOSTILE: {HOSTILE: 0.5}}
    return annotate(doc, [(1, 2, HOSTILE, 0.5)])


class Markup(HTMLParser):
    """The tags, the text and the style of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.css = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "li":
            self.text += "\n"

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "style":
            self.css += data
            return
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.tags if name in attrs]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]
