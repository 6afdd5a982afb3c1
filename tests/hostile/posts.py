"""Hostile pictures through the pipeline."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from spacy_msvse import make_doc

from ..tiny import reasons
from .mutations import fixed_pictures, mutated
from .pictures import DECODED, REFUSED
from .scene import NAME, answer, expect_right, finite
from .verdicts import LOSS, WRONG, Case, coded_warnings, expect


@contextlib.contextmanager
def standard_error() -> Iterator[Path]:
    """What is written to the standard error of the process, also by libraries in C."""
    with tempfile.NamedTemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield Path(file.name)
        finally:
            os.dup2(before, 2)
            os.close(before)


def hostile_picture(case: Case) -> None:
    """A picture is decoded, or is unreadable with a coded reason; the post beside it is right."""
    fixed, (half, odd) = fixed_pictures(), divmod(case.number, 2)
    name, data, expected = mutated(case.chance) if odd or half >= len(fixed) else fixed[half]
    case.say(f"{name}, {len(data)} bytes")
    scene = case.scene
    by_path = case.number % 4 < 2 and "/" not in name and "\0" not in name
    image: str | bytes = data
    if by_path:
        path = case.folder / (
            name if name.isprintable() and len(name.encode()) < 200 else "picture"
        )
        path.write_bytes(data)
        image = str(path)
    elif not data.strip():
        return
    component = scene.nlp.get_pipe(NAME)
    docs = [make_doc(scene.nlp, "visit phoenix today", image=image), *scene.docs()[:1]]
    with warnings.catch_warnings(record=True) as given, standard_error() as complaints:
        warnings.simplefilter("always")
        hostile, good = component.pipe(docs)
        said = complaints.read_text("utf8", "replace")
    expect_right([answer(good)], scene.answers[:1], "the post beside it:")
    status, problems = hostile._.image_status or {}, reasons(hostile._.image_problems)
    state = status.get("regions")
    expect(state in ("used", "unreadable"), LOSS, f"status {status}")
    if state == "unreadable":
        expect("MSVSE-E" in problems.get("regions", ""), LOSS, f"no reason: {problems}")
        warned = coded_warnings(given)
        expect(warned, LOSS, "no warning names the picture")
    if expected == DECODED:
        expect(state == "used", WRONG, f"a whole picture is refused: {problems.get('regions')}")
    if expected == REFUSED:
        expect(state == "unreadable", WRONG, "no picture, but it is used")
    expect(finite(hostile._.visual_entities or {}), WRONG, "numbers that are not finite")
    named = by_path and Path(str(image)).name in said
    expect(not said or named, WRONG, f"standard error names no picture: {said[:200]}")
