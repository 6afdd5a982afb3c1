"""What all cases of a campaign share: tiny pipelines, posts, and their right answers."""

import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from spacy_msvse import make_doc

from .. import tiny
from .extractors import TROUBLE
from .verdicts import LOSS, WRONG, expect

NAME = "msvse_ner"
TEXTS = (
    "saw jordan today",
    "visit florence again and again",
    "the amazon at phoenix today",
    "a very nice phoenix",
)

#: Labels with their confidences, by the characters of an entity.
Answer = list[tuple[int, int, str, float]]


@dataclass
class Scene:
    """What all cases share. No case changes it.

    Attributes:
        folder (Path): The folder of everything.
        encoder (str): The folder of the encoder.
        pipeline (Path): A saved pipeline.
        other (Path): Another saved pipeline of the same architecture, with other settings.
        pictures (Path): The folder of the posts' pictures.
        rows (list): The posts as rows of JSONL.
        nlp (Language): The loaded pipeline.
        untrained (bytes): The pickled component of a pipeline that is not initialised.
        answers (list): The right answers for the posts.
        other_answers (list): Those of the other pipeline.
    """

    folder: Path
    encoder: str
    pipeline: Path
    other: Path
    pictures: Path
    rows: list[dict[str, Any]]
    nlp: Language
    untrained: bytes
    answers: list[Answer] = field(default_factory=list)
    other_answers: list[Answer] = field(default_factory=list)

    def docs(self, nlp: Language | None = None) -> list[Doc]:
        """The posts as Docs."""
        return [make_post(nlp or self.nlp, row, self.pictures) for row in self.rows]

    def fresh(self) -> Any:
        """A component that is not initialised."""
        return pickle.loads(self.untrained)


def make_post(nlp: Language, row: dict[str, Any], pictures: Path) -> Doc:
    image = str(pictures / row["image"]) if "image" in row else None
    return make_doc(nlp, row["text"], image=image, tags=row.get("tags"))


def answers(component: Any, docs: Sequence[Doc]) -> list[Answer]:
    """The entities of Docs with their confidences. The Docs stay unchanged."""
    docs = [doc.copy() for doc in docs]
    return [answer(doc) for doc in component.pipe(docs)]


def answer(doc: Doc) -> Answer:
    """The entities of an annotated Doc with their confidences."""
    return [(e.start_char, e.end_char, e.label_, e._.confidence) for e in doc.ents]


def same(given: list[Answer], right: list[Answer], tolerance: float = 1e-6) -> bool:
    """Whether answers are equal; NaN equals nothing."""
    if [[e[:3] for e in one] for one in given] != [[e[:3] for e in one] for one in right]:
        return False
    pairs = [
        (a[3], b[3]) for x, y in zip(given, right, strict=True) for a, b in zip(x, y, strict=True)
    ]
    return all(abs((a or 0.0) - (b or 0.0)) <= tolerance for a, b in pairs)


def difference(given: list[Answer], right: list[Answer]) -> str:
    for one, other in zip(given, right, strict=False):
        if not same([one], [other]):
            return f"{one} instead of {other}"
    return f"{len(given)} answers instead of {len(right)}"


def expect_right(given: list[Answer], right: list[Answer], about: str = "") -> None:
    """Judge answers."""
    expect(len(given) == len(right), LOSS, f"{about} {difference(given, right)}")
    expect(same(given, right), WRONG, f"{about} {difference(given, right)}")


def finite(values: Any) -> bool:
    """Whether nested values hold only finite numbers."""
    if isinstance(values, dict):
        return all(map(finite, values.values()))
    if isinstance(values, list | tuple):
        return all(map(finite, values))
    return not isinstance(values, float) or math.isfinite(values)


def make_scene(folder: Path) -> Scene:
    """Make everything in a folder."""
    spacy.util.fix_random_seed(0)
    encoder = tiny.save_encoder(folder / "encoder")
    pictures = folder / "pictures"
    pictures.mkdir()
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(TEXTS):
        label = ("PER", "LOC", "ORG")[number % 3]
        (pictures / f"{number}.png").write_bytes(tiny.picture(label, seed=number))
        rows.append({"text": text, "image": f"{number}.png"})
    rows.append({"text": "saw jordan and florence"})
    rows.append({"text": "visit amazon today", "tags": ["green"]})
    saved = []
    for name, steps, settings in (
        ("pipeline", 40, {}),
        ("other", 25, {"model": {"max_view_words": 1, "normalize_urls": False}}),
    ):
        spacy.util.fix_random_seed(steps)
        nlp = tiny.tiny_pipeline(encoder, lang="xx", on_missing_image="warn", **settings)
        untrained = pickle.dumps(nlp.get_pipe(NAME))
        tiny.train(nlp, tiny.mixed_examples(nlp), steps=steps)
        nlp.to_disk(folder / name)
        saved.append((folder / name, untrained))
    nlp = spacy.load(saved[0][0])
    scene = Scene(folder, encoder, saved[0][0], saved[1][0], pictures, rows, nlp, saved[0][1])
    scene.answers = answers(nlp.get_pipe(NAME), scene.docs())
    other = spacy.load(scene.other)
    scene.other_answers = answers(other.get_pipe(NAME), scene.docs(other))
    assert sum(map(len, scene.answers)) >= 4
    assert not same(scene.answers, scene.other_answers)
    TROUBLE.mode = None
    return scene


def write_rows(path: Path, rows: Sequence[dict[str, Any] | bytes]) -> Path:
    """Write a file of posts. Bytes are lines as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path
