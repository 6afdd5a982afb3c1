import os
from pathlib import Path

import pytest
import spacy

from spacy_msvse.component.loading import load_code

from ..tiny import picture

#: What the processes of an engine import first: the tiny extractor, and a component that ends its
#: process.
CODE = """
import os
import sys

sys.path.insert(0, {root!r})

import tests.tiny  # noqa: E402
from spacy.language import Language  # noqa: E402


@Language.component("tests_ends_engines")
def ends_engines(doc):
    if "florence" in doc.text:
        os._exit(3)
    return doc
"""


@pytest.fixture(scope="session")
def engine(trained, tmp_path_factory) -> dict[str, Path]:
    """The folder of a pipeline that a post with "florence" ends, and the file of its functions."""
    folder = tmp_path_factory.mktemp("engine")
    code = folder / "mine.py"
    code.write_text(CODE.format(root=str(Path(__file__).parents[2])))
    load_code(code)
    nlp = spacy.load(trained)
    nlp.add_pipe("tests_ends_engines", first=True)
    nlp.to_disk(folder / "pipeline")
    return {"model": folder / "pipeline", "code": code}


@pytest.fixture(scope="module")
def cluster():
    import ray

    # With the niceness of Ray, workers would wait for minutes on a busy machine.
    os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"})
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    """Posts with pictures, of which one ends its process and one cannot be used."""
    rows = []
    for number in range(150):
        label = ("PER", "LOC", "ORG")[number % 3]
        rows.append(
            {
                "text": "saw jordan today",
                "words": ["saw", "jordan", "today"],
                "image": picture(label, seed=number),
                "number": number,
            }
        )
    rows[70] |= {"text": "saw florence today", "words": ["saw", "florence", "today"]}
    rows[71] |= {"text": None}
    rows[72] |= {"text": "", "words": None}
    rows[73] |= {"image": b"no picture"}
    rows[74] |= {"text": None, "words": None, "image": None}
    return rows


def expect(rows: list[dict], added: list[dict]) -> None:
    """Check the columns that an engine has added to the rows."""
    assert len(added) == len(rows)
    for number, one in enumerate(added):
        error = one["error"]
        if number == 70:
            assert one["spans"] is None
            assert "it ended the process that annotated it (exit status 3)" in error
        elif number in (72, 74):
            assert one["spans"] is None
            assert "no tokens" in error or "neither 'text' nor 'words'" in error
        else:
            (span,) = one["spans"]
            assert (span["start"], span["end"]) == (4, 10)
            assert 0 < span["score"] <= 1
            assert ("MSVSE-E020" in (error or "")) == (number == 73)
            assert number == 73 or error is None
            assert one["text"].rstrip() == "saw jordan today"
            assert number == 73 or span["label"] == ("PER", "LOC", "ORG")[number % 3]
