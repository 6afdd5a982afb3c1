"""`python -m spacy msvse annotate`: posts in, the same posts with entities out."""

import json
import platform
import subprocess
import sys
import time
from copy import deepcopy
from itertools import islice
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli._util import app
from spacy.language import Language
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)
from spacy_msvse.cli.annotate import BATCH_SIZE, annotate
from spacy_msvse.corpus.rows import Row

from ..tiny import picture

ROWS = [
    {
        "text": "saw jordan today",
        "image": "PER.png",
        "id": 0.1234567890123456,
        "meta": {"by": "Zoë"},
    },
    {"text": "saw jordan today", "image": "broken.png", "spans": [], "answer": "reject"},
    {"text": 3, "image": "PER.png"},
    {"words": ["saw", "florence", "today"], "image": "LOC.png"},
    {"text": "saw amazon today", "image": "../outside.png", "error": "of an earlier run"},
    {"text": "", "meta": {"line": 6}},
]
LINES = [*map(json.dumps, ROWS), '{"text": "half', '{"text": "\\ud83d"}']


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "posts"
    folder.mkdir()
    for label in ("PER", "LOC"):
        (folder / f"{label}.png").write_bytes(picture(label, seed=3))
    (folder / "broken.png").write_bytes(picture("PER")[:60])
    (folder.parent / "outside.png").write_bytes(picture("ORG"))
    (folder / "posts.jsonl").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return folder / "posts.jsonl"


def run(*arguments, status: int = 0, **settings):
    result = CliRunner().invoke(app, ["msvse", "annotate", *map(str, arguments)], **settings)
    assert result.exit_code == status, result.output
    return result


def read(content: bytes) -> list[dict]:
    # Unlike srsly's, the standard library's parser reads all digits of a number.
    return [json.loads(line) for line in content.splitlines()]


def roughly(rows):
    """Rows to compare with: a score hangs a little on what is computed together."""
    rows = deepcopy(rows)
    for span in (span for row in rows for span in row.get("spans", ())):
        if "score" in span:
            span["score"] = pytest.approx(span["score"], abs=0.001)
    return rows


def entities(row) -> list[tuple[str, str]]:
    return [(row["text"][span["start"] : span["end"]], span["label"]) for span in row["spans"]]


@pytest.fixture(scope="module")
def annotated(trained, posts, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "deep" / "out.jsonl"
    result = run(trained, posts, output)
    return read(output.read_bytes()), output, result


def test_rows_keep_their_order_and_all_that_they_held(annotated):
    rows, *_ = annotated
    assert len(rows) == len(LINES)
    for row, before in zip(rows, ROWS, strict=False):
        added = {"spans", "error"} if "text" in before else {"spans", "error", "text"}
        kept = {key: value for key, value in before.items() if key not in added}
        assert {key: value for key, value in row.items() if key not in added} == kept


def test_entities_come_with_their_confidence(annotated):
    rows, *_ = annotated
    assert entities(rows[0]) == [("jordan", "PER")]
    assert entities(rows[3]) == [("florence", "LOC")]
    assert all(0 < span["score"] <= 1 for row in rows for span in row.get("spans", ()))


def test_spans_count_the_characters_of_the_rows_own_text(trained):
    row = Row("posts.jsonl", 1, {"text": "sawjordan today", "words": ["saw", "jordan", "today"]})
    (found,) = annotate(spacy.load(trained), [row])
    assert found.values["text"] == "sawjordan today"
    assert entities(found.values)[0][0] == "jordan"


def test_a_post_whose_picture_cannot_be_read_keeps_its_entities_and_says_so(annotated):
    rows, _, result = annotated
    assert entities(rows[1])[0][0] == "jordan"
    assert "MSVSE-E020" in rows[1]["error"]
    assert "broken.png" in result.stderr


def test_pictures_are_read_from_the_folder_of_the_posts_alone(annotated):
    rows, *_ = annotated
    assert "MSVSE-E021" in rows[4]["error"]
    assert entities(rows[4])[0][0] == "amazon"


def test_rows_that_cannot_be_used_are_carried_through_and_named(annotated):
    rows, _, result = annotated
    assert rows[2] == {**ROWS[2], "error": "'text': Input should be a valid string"}
    assert rows[5] == {**ROWS[5], "error": "the post has no tokens"}
    assert [row["line"] for row in rows[6:]] == LINES[6:]
    assert all("not JSON" in row["error"] for row in rows[6:])
    for line in (3, 6, 7, 8):
        assert f"posts.jsonl:{line}: " in result.stderr
    assert "8 rows annotated, 6 of them with an error" in result.stderr


def test_a_stopped_run_goes_on_where_it_was(trained, posts, annotated, tmp_path):
    rows, whole, _ = annotated
    output = tmp_path / "out.jsonl"
    output.write_bytes(whole.read_bytes()[:-150])
    done = output.read_bytes().count(b"\n")
    assert 0 < done < len(LINES)
    result = run(trained, posts, output)
    assert read(output.read_bytes()) == roughly(rows)
    assert f"{done} were done already" in result.stderr


def test_an_output_of_another_input_is_refused_unless_it_is_to_be_overwritten(
    trained, posts, annotated, tmp_path
):
    rows, *_ = annotated
    output = tmp_path / "out.jsonl"
    output.write_text("my notes\n", encoding="utf-8")
    assert "MSVSE-E090" in run(trained, posts, output, status=1).output
    assert output.read_text(encoding="utf-8") == "my notes\n"
    run(trained, posts, output, "--overwrite")
    assert read(output.read_bytes()) == roughly(rows)


def test_the_input_is_no_output_and_must_be_there(trained, posts):
    assert "MSVSE-E033" in run(trained, posts.parent / "none", posts, status=1).output
    before = posts.read_bytes()
    assert "MSVSE-E091" in run(trained, posts, posts, "--overwrite", status=1).output
    assert posts.read_bytes() == before


def test_posts_come_and_go_through_pipes(trained, posts, annotated):
    rows, *_ = annotated
    options = ("--image-root", posts.parent)
    result = run(trained, "-", "-", *options, input=posts.read_bytes())
    assert read(result.stdout_bytes) == roughly(rows)


def test_several_processes_write_the_same(trained, posts, annotated, tmp_path):
    rows, *_ = annotated
    run(trained, posts, tmp_path / "out.jsonl", "--n-process", 2)
    assert read((tmp_path / "out.jsonl").read_bytes()) == roughly(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_run_that_is_killed_leaves_no_worker_behind_and_goes_on(trained, tmp_path):
    rows = [{"text": f"saw jordan{number} today", "id": number} for number in range(400)]
    srsly.write_jsonl(tmp_path / "posts.jsonl", rows)
    output = tmp_path / "out.jsonl"
    arguments = [trained, tmp_path / "posts.jsonl", output, "--n-process", 2]
    # The tiny extractor is registered by nothing but the tests.
    script = "import tests.tiny; from spacy.cli import setup_cli; setup_cli()"
    command = [sys.executable, "-c", script, "msvse", "annotate", *map(str, arguments)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL) as killed:
        try:
            wait_until(lambda: output.exists() and output.read_bytes().count(b"\n") > 0)
            workers = children(killed.pid)
        finally:
            killed.kill()
    assert len(workers) == 2
    wait_until(lambda: not any(map(is_running, workers)), seconds=10)
    assert 0 < output.read_bytes().count(b"\n") < len(rows)
    run(*arguments)
    assert [row["id"] for row in read(output.read_bytes())] == list(range(len(rows)))
    assert all("spans" in row for row in read(output.read_bytes()))


def wait_until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stat(process: int) -> list[str]:
    """State and parent of a process, and what follows them; nothing if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(parent: int) -> list[int]:
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for process in processes if stat(process)[1:2] == [str(parent)]]


def is_running(process: int) -> bool:
    """Whether there is such a process, and it is not waiting to be cleared away."""
    return stat(process)[:1] not in ([], ["Z"])


def test_entities_under_a_confidence_are_left_out(trained, posts, tmp_path):
    run(trained, posts, tmp_path / "out.jsonl", "--min-confidence", 1)
    assert not any(row.get("spans") for row in srsly.read_jsonl(tmp_path / "out.jsonl"))


def test_a_folder_of_texts_with_pictures_beside_them(trained, tmp_path):
    folder = tmp_path / "posts"
    folder.mkdir()
    (folder / "b.txt").write_text("saw jordan today\n")
    (folder / "b.png").write_bytes(picture("LOC"))
    (folder / "c.png").write_bytes(picture("LOC"))
    run(trained, folder, folder / "out.jsonl")
    first, second = srsly.read_jsonl(folder / "out.jsonl")
    assert (first["image"], first["meta"], entities(first)) == (
        "b.png",
        {"name": "b"},
        [("jordan", "LOC")],
    )
    assert "there is no text" in second["error"]
    assert "spans" not in second


def test_nothing_of_a_run_is_saved_into_the_pipeline(trained, posts, tmp_path):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    run(trained, posts, tmp_path / "out.jsonl")
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


@Language.component("tests_stumbles")
def stumbles(doc):
    if "stone" in doc.text:
        raise RuntimeError("a stone")
    doc.set_ents([doc[:1]]) if len(doc) > 1 else None
    return doc


@pytest.mark.parametrize("n_process", [1, 2])
def test_a_post_that_a_component_fails_on_costs_no_other_its_entities(n_process):
    nlp = spacy.blank("en")
    nlp.add_pipe("tests_stumbles")
    texts = ["a stone" if i % 70 == 5 else f"post {i}" for i in range(3 * BATCH_SIZE)]
    rows = [Row("posts.jsonl", i, {"text": text}) for i, text in enumerate(texts)]
    found = list(annotate(nlp, rows, n_process=n_process))
    assert [row.values["text"] for row in found] == texts
    for row in found:
        assert ("stone" in row.values["text"]) == (row.problem is not None)
        assert ("stone" in row.values["text"]) == ("spans" not in row.values)
    assert "'tests_stumbles' failed: a stone" in found[5].values["error"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_tensors_go_back_to_the_system():
    # Small arrays that stay keep the heap from shrinking around large ones that go.
    script = """
import numpy as np
from spacy_msvse.cli.annotate import give_memory_back
from spacy_msvse.evaluation.machine import memory_mb

give_memory_back()
np.ones(1_000_000)  # freed at once: glibc would keep room for its like
before = memory_mb("VmRSS")
arrays = [(np.ones(1_000_000), np.ones(2_000)) for _ in range(20)]
stay = [small for _, small in arrays]
del arrays
print(memory_mb("VmRSS") - before)
"""
    grown = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert float(grown) < 20


@pytest.mark.filterwarnings("ignore:.*MSVSE-W001")
def test_memory_stays_flat(trained, monkeypatch):
    """However many rows there are, few are held, and their words are forgotten."""
    monkeypatch.setattr("spacy_msvse.cli.annotate.ZONE_SIZE", 2 * BATCH_SIZE)
    nlp = spacy.load(trained)
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield Row("posts.jsonl", asked, {"text": f"saw jordan{asked} today"})

    words = []
    for done, row in enumerate(islice(annotate(nlp, endless()), 8 * BATCH_SIZE), start=1):
        assert row.values["text"] == f"saw jordan{done} today"
        assert asked - done <= 2 * BATCH_SIZE
        words.append(len(nlp.vocab.strings))
    assert max(words[: 2 * BATCH_SIZE]) > words[0]
    assert max(words[-2 * BATCH_SIZE :]) <= max(words[: 2 * BATCH_SIZE])
