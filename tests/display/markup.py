"""Posts as the component leaves them, without running it."""

import io
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image
from spacy.tokens import Doc, SpanGroup

from spacy_msvse import make_doc
from spacy_msvse.component.requests import Finding, PictureEffect

HOSTILE = "\"'><script>document.title='run'; alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


def annotate(doc: Doc, entities: list[tuple[int, int, str, float]]) -> Doc:
    """Set entities (first token, token after the last, label, confidence)."""
    spans = [doc[start:end] for start, end, _, _ in entities]
    for span, (_, _, label, _) in zip(spans, entities, strict=True):
        span.label_ = label
    doc.set_ents(spans)
    scores = np.asarray([score for *_, score in entities], dtype="float32")
    doc.spans["msvse_ner"] = SpanGroup(doc, name="msvse_ner", spans=spans, attrs={"scores": scores})
    return doc


def jpeg(size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    """A picture of two colours."""
    image = Image.new("RGB", size, (200, 60, 40))
    image.paste((40, 60, 200), (0, 0, size[0] // 2, size[1]))
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def full_post(nlp) -> Doc:
    """A post of which everything is known."""
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
    """What `explain_pictures` tells: two findings, and shares of the attention; regions one by
    one."""
    regions = attention.pop("regions", [])
    shares = {"regions": sum(regions), **attention} if regions else attention
    findings = (Finding(*with_picture), Finding(*without_picture))
    return PictureEffect(start, end, *findings, attention=shares, regions=regions)


def hostile_post(nlp, image: str | bytes | None = None) -> Doc:
    """A post that tries to break out of its place in the page, wherever it holds a text."""
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
    """What a page consists of."""

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
