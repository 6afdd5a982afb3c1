"""Actors of a real Ray decode and extract pictures."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from spacy_msvse import make_doc
from spacy_msvse.vision.store import FeatureStore

from ..cli import command
from ..tiny import picture

pytest.importorskip("ray", reason="ray is not installed")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    # Of Ray: files and processes that it leaves to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: What actors import first: the tiny extractor, and one that a white picture ends.
CODE = """
import os
import sys

sys.path.insert(0, {root!r})

import spacy  # noqa: E402
from tests.tiny import MeanColour  # noqa: E402


class Ending(MeanColour):
    fingerprint = "ending"

    def extract(self, pictures, known):
        if any(picture.getextrema()[0][0] == 255 for picture in pictures):
            os._exit(3)
        return super().extract(pictures, known)


@spacy.registry.misc("tests.Ending.v1")
def make_ending():
    return Ending()
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> dict[str, Path]:
    """Posts with pictures, of which one is damaged and one is white."""
    import spacy
    from spacy.tokens import DocBin

    folder = tmp_path_factory.mktemp("work")
    (folder / "mine.py").write_text(CODE.format(root=str(Path(__file__).parents[2])))
    for name in ("MeanColour", "Ending"):
        config = command.CONFIG.replace("MeanColour", name)
        (folder / f"{name}.cfg").write_text(config)
    white = BytesIO()
    Image.new("RGB", (8, 8), (255, 255, 255)).save(white, "PNG")
    nlp, docs = spacy.blank("en"), DocBin(store_user_data=True)
    for number in range(40):
        content = picture(("PER", "LOC", "ORG")[number % 3], seed=number)
        content = {7: b"no picture", 20: white.getvalue()}.get(number, content)
        (folder / f"{number}.png").write_bytes(content)
        docs.add(make_doc(nlp, f"saw jordan today {number}", image=f"{number}.png"))
    docs.to_disk(folder / "posts.spacy")
    return {"folder": folder, "posts": folder / "posts.spacy", "code": folder / "mine.py"}


def extract(work, store, *arguments, name="MeanColour", **settings):
    given = [work["posts"], store, "--config", work["folder"] / f"{name}.cfg"]
    given += ["--image-root", work["folder"], "--code", work["code"], *arguments]
    return command.run("extract", *given, **settings)


def read_records(path: Path) -> list[tuple[str, str, bytes]]:
    with FeatureStore(path, readonly=True) as store:
        return sorted(store.scan())


def test_actors_make_the_same_records_as_this_process(cluster, work, tmp_path):
    for store, arguments in (("alone", ()), ("actors", ("--ray", "--actors", 2))):
        result = extract(work, tmp_path / store, *arguments)
        assert "39 extracted, 0 stored already, 1 failed" in " ".join(result.output.split())
        assert "7.png" in result.stderr
    records = read_records(tmp_path / "alone")
    assert len(records) == 39
    assert read_records(tmp_path / "actors") == records
    again = extract(work, tmp_path / "actors", "--ray", "--actors", 2)
    assert "0 extracted, 39 stored already, 1 failed" in " ".join(again.output.split())


def test_a_picture_that_ends_its_actor_costs_only_itself(cluster, work, tmp_path):
    result = extract(work, tmp_path / "store", "--ray", name="Ending")
    assert "38 extracted, 0 stored already, 2 failed" in " ".join(result.output.split())
    assert "20.png" in result.stderr
    assert "it ended the process of its actor" in result.stderr


def test_what_cannot_work_is_said_before_the_work(cluster, work, tmp_path):
    for arguments, code in (
        (("--ray", "--actors", 5), "MSVSE-E282"),  # of 4 CPUs
        (("--ray", "--num-gpus", 1), "MSVSE-E282"),
        (("--ray", "--gpu-id", 0), "MSVSE-E288"),
        (("--actors", 2), "MSVSE-E288"),
    ):
        assert code in extract(work, tmp_path / "store", *arguments, status=1).stderr
