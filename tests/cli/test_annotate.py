"""`python -m spacy msvse annotate`: the same posts, with entities."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from copy import deepcopy
from itertools import islice
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.language import Language

from spacy_msvse.corpus.annotate import BATCH_SIZE, annotate
from spacy_msvse.corpus.resume import partial_path
from spacy_msvse.corpus.rows import Row

from ..tiny import picture
from . import command

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


def run(*arguments, **settings):
    return command.run("annotate", *arguments, **settings)


def read(content: bytes) -> list[dict]:
    # Unlike srsly's, the standard library's parser reads all digits of a number.
    return [json.loads(line) for line in content.splitlines()]


def roughly(rows):
    """Rows to compare with: a score depends a little on the other posts of its batch."""
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


def test_rows_keep_their_order_and_their_other_keys(annotated):
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


def test_a_post_whose_picture_cannot_be_read_has_its_entities_and_the_reason(annotated):
    rows, _, result = annotated
    assert entities(rows[1])[0][0] == "jordan"
    assert "MSVSE-E020" in rows[1]["error"]
    assert "broken.png" in result.stderr


def test_pictures_are_read_only_from_the_folder_of_the_posts(annotated):
    rows, *_ = annotated
    assert "MSVSE-E021" in rows[4]["error"]
    assert entities(rows[4])[0][0] == "amazon"


def test_rows_that_cannot_be_used_are_kept_and_have_the_reason(annotated):
    rows, _, result = annotated
    assert rows[2] == {**ROWS[2], "error": "'text': Input should be a valid string"}
    assert rows[5] == {**ROWS[5], "error": "the post has no tokens"}
    assert [row["line"] for row in rows[6:]] == LINES[6:]
    assert all("not JSON" in row["error"] for row in rows[6:])
    for line in (3, 6, 7, 8):
        assert f"posts.jsonl:{line}: " in result.stderr
    assert "8 rows annotated, 6 of them with an error" in result.stderr


def test_an_interrupted_run_continues_where_it_was(trained, posts, annotated, tmp_path):
    rows, whole, _ = annotated
    output = tmp_path / "out.jsonl"
    partial_path(output).write_bytes(whole.read_bytes()[:-150])
    done = partial_path(output).read_bytes().count(b"\n")
    assert 0 < done < len(LINES)
    result = run(trained, posts, output)
    assert read(output.read_bytes()) == roughly(rows)
    assert f"{done} done already" in result.stderr


def test_an_unfinished_output_of_another_input_is_replaced_by_force_only(
    trained, posts, annotated, tmp_path
):
    rows, *_ = annotated
    output = tmp_path / "out.jsonl"
    partial_path(output).write_text("my notes\n", encoding="utf-8")
    assert "MSVSE-E090" in run(trained, posts, output, status=1).output
    assert partial_path(output).read_text(encoding="utf-8") == "my notes\n"
    run(trained, posts, output, "--force")
    assert read(output.read_bytes()) == roughly(rows)


def test_a_finished_output_is_replaced_by_force_only(trained, posts, annotated, tmp_path):
    rows, *_ = annotated
    output = tmp_path / "out.jsonl"
    output.write_text("my notes\n", encoding="utf-8")
    assert "MSVSE-E041" in run(trained, posts, output, status=1).output
    assert output.read_text(encoding="utf-8") == "my notes\n"
    run(trained, posts, output, "--force")
    assert read(output.read_bytes()) == roughly(rows)


def test_functions_of_the_user_are_imported_from_a_file(trained, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from spacy.language import Language\n\n\n"
        "@Language.component('tests_first_word')\n"
        "def first_word(doc):\n"
        "    doc.set_ents([doc.char_span(0, len(doc[0]), 'FIRST')])\n"
        "    return doc\n"
    )
    nlp = spacy.blank("en")
    nlp.to_disk(tmp_path / "pipeline")
    config = nlp.config.copy()
    config["nlp"]["pipeline"] = ["first"]
    config["components"]["first"] = {"factory": "tests_first_word"}
    config.to_disk(tmp_path / "pipeline" / "config.cfg")
    srsly.write_jsonl(tmp_path / "posts.jsonl", [{"text": "saw jordan"}])
    arguments = (tmp_path / "pipeline", tmp_path / "posts.jsonl", tmp_path / "out.jsonl")
    run(*arguments, "--code", tmp_path / "mine.py")
    (row,) = srsly.read_jsonl(tmp_path / "out.jsonl")
    assert entities(row) == [("saw", "FIRST")]


def test_the_input_is_not_the_output_and_must_exist(trained, posts):
    assert "MSVSE-E033" in run(trained, posts.parent / "none", posts, status=1).output
    before = posts.read_bytes()
    assert "MSVSE-E091" in run(trained, posts, posts, "--force", status=1).output
    assert posts.read_bytes() == before


def test_posts_are_read_and_written_through_pipes(trained, posts, annotated):
    rows, *_ = annotated
    options = ("--image-root", posts.parent)
    result = run(trained, "-", "-", *options, input=posts.read_bytes())
    assert read(result.stdout_bytes) == roughly(rows)


def test_several_processes_write_the_same_rows(trained, posts, annotated, tmp_path):
    rows, *_ = annotated
    run(trained, posts, tmp_path / "out.jsonl", "--n-process", 2)
    assert read((tmp_path / "out.jsonl").read_bytes()) == roughly(rows)


@pytest.mark.filterwarnings("ignore:.*MSVSE-W001")  # its posts have no pictures
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_run_leaves_no_worker_process_and_continues(trained, tmp_path):
    rows = [{"text": f"saw jordan{number} today", "id": number} for number in range(400)]
    srsly.write_jsonl(tmp_path / "posts.jsonl", rows)
    output = tmp_path / "out.jsonl"
    partial = partial_path(output)
    arguments = [trained, tmp_path / "posts.jsonl", output, "--n-process", 2]
    # Only the tests register the tiny extractor.
    script = "import tests.tiny; from spacy.cli import setup_cli; setup_cli()"
    process = [sys.executable, "-c", script, "msvse", "annotate", *map(str, arguments)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(process, cwd=root, stderr=subprocess.DEVNULL) as killed:
        try:
            wait_until(lambda: partial.exists() and partial.read_bytes().count(b"\n") > 0)
            workers = children(killed.pid)
        finally:
            killed.kill()
    assert len(workers) == 2
    wait_until(lambda: not any(map(is_running, workers)), seconds=10)
    assert not output.exists()
    done = partial.read_bytes().count(b"\n")
    assert 0 < done < len(rows)
    assert f"{done} done already" in run(*arguments).stderr
    assert not partial.exists()
    assert [row["id"] for row in read(output.read_bytes())] == list(range(len(rows)))
    assert all("spans" in row for row in read(output.read_bytes()))


def wait_until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stat(process: int) -> list[str]:
    """State, parent and further fields of a process; nothing if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(parent: int) -> list[int]:
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for process in processes if stat(process)[1:2] == [str(parent)]]


def is_running(process: int) -> bool:
    """Whether the process exists and is not a zombie."""
    return stat(process)[:1] not in ([], ["Z"])


def test_entities_with_a_low_confidence_are_left_out(trained, posts, tmp_path):
    run(trained, posts, tmp_path / "out.jsonl", "--min-confidence", 1)
    rows = read((tmp_path / "out.jsonl").read_bytes())
    assert len(rows) == len(LINES)
    assert [row["spans"] for row in rows if "spans" in row] == [[]] * 4
    assert [row.get("error") for row in (rows[0], rows[3])] == [None, None]


def test_keys_that_look_like_a_picture_and_are_not_read_are_named(trained, tmp_path):
    (tmp_path / "PER.png").write_bytes(picture("PER"))
    rows = [{"text": "saw jordan today", "image": "PER.png"}]
    rows += [{"text": "saw jordan today", "image_path": "PER.png", "label": "PER"}] * 2
    srsly.write_jsonl(tmp_path / "posts.jsonl", rows)
    result = run(trained, tmp_path / "posts.jsonl", tmp_path / "out.jsonl")
    warning, last = result.stderr.splitlines()[-2:]
    assert "MSVSE-W020" in warning
    assert "a picture are not read: 'image_path' (2 posts)" in warning
    assert last == "3 rows annotated"
    assert "'label'" not in result.stderr  # an annotation is not needed


def test_a_folder_of_texts_and_pictures_can_be_annotated(trained, tmp_path):
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
    assert "has no text" in second["error"]
    assert "spans" not in second


def test_a_run_does_not_change_the_saved_pipeline(trained, posts, tmp_path):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    run(trained, posts, tmp_path / "out.jsonl")
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


@Language.component("tests_fails_on_stones")
def fails_on_stones(doc):
    if "stone" in doc.text:
        raise RuntimeError("a stone")
    doc.set_ents([doc[:1]]) if len(doc) > 1 else None
    return doc


def annotate_with_stones(nlp, n_process):
    """Annotate rows of which only those with a stone have a problem, and no entities."""
    texts = ["a stone" if i % 70 == 5 else f"post {i}" for i in range(3 * BATCH_SIZE)]
    rows = [Row("posts.jsonl", i, {"text": text}) for i, text in enumerate(texts)]
    found = list(annotate(nlp, rows, n_process=n_process))
    assert [row.values["text"] for row in found] == texts
    for row in found:
        assert ("stone" in row.values["text"]) == (row.problem is not None)
        assert ("stone" in row.values["text"]) == ("spans" not in row.values)
    return found


@pytest.mark.parametrize("n_process", [0, 1, 2])
def test_a_failure_on_one_post_does_not_affect_the_others(n_process):
    nlp = spacy.blank("en")
    nlp.add_pipe("tests_fails_on_stones")
    found = annotate_with_stones(nlp, n_process)
    assert "'tests_fails_on_stones' failed: a stone" in found[5].values["error"]


@Language.component("tests_ends_its_process_on_stones")
def ends_its_process_on_stones(doc):
    if "stone" in doc.text:
        os.kill(os.getpid(), signal.SIGKILL)
    doc.set_ents([doc[:1]])
    return doc


@pytest.mark.timeout(60)
@pytest.mark.parametrize("n_process", [1, 2])
def test_a_post_that_ends_its_process_does_not_affect_the_others(n_process):
    nlp = spacy.blank("en")
    nlp.add_pipe("tests_ends_its_process_on_stones")
    found = annotate_with_stones(nlp, n_process)
    assert "it ended the process that annotated it (SIGKILL)" in found[5].values["error"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_the_variable_of_the_help_returns_freed_memory_to_the_system():
    # Small arrays that stay would keep the heap from shrinking when large ones are freed.
    script = """
import numpy as np
from spacy_msvse.evaluation.machine import memory_mb

np.ones(1_000_000)  # without the variable, glibc would raise its threshold at this free
before = memory_mb("VmRSS")
arrays = [(np.ones(1_000_000), np.ones(2_000)) for _ in range(20)]
stay = [small for _, small in arrays]
del arrays
print(memory_mb("VmRSS") - before)
"""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "4194304"}
    process = [sys.executable, "-c", script]
    grown = subprocess.check_output(process, text=True, env=environment)
    assert float(grown) < 20


@pytest.mark.filterwarnings("ignore:.*MSVSE-W001")
def test_memory_stays_flat(trained):
    """Few rows are held, and the vocabulary drops their words."""
    nlp = spacy.load(trained)
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield Row("posts.jsonl", asked, {"text": f"saw jordan{asked} today"})

    words = []
    before = len(nlp.vocab.strings)
    for done, row in enumerate(
        islice(annotate(nlp, endless(), n_process=0), 8 * BATCH_SIZE), start=1
    ):
        assert row.values["text"] == f"saw jordan{done} today"
        assert asked - done <= 2 * BATCH_SIZE
        words.append(len(nlp.vocab.strings))
    assert max(words) <= before + 10  # without it, hundreds
