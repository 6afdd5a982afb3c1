"""Ray annotates files of posts on this machine. Each post is in the output exactly once."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import srsly

from ..cli import command
from .conftest import expect

pytest.importorskip("ray", reason="ray is not installed")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # Of Ray: files and processes that it leaves to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The minimum number of concurrent actors"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def posts(tmp_path_factory, rows) -> Path:
    """A folder of Parquet files."""
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("posts")
    schema = pyarrow.schema(
        [
            ("text", pyarrow.string()),
            ("words", pyarrow.list_(pyarrow.string())),
            ("image", pyarrow.binary()),
            ("number", pyarrow.int32()),
        ]
    )
    for part, start in enumerate((0, 100)):
        table = pyarrow.Table.from_pylist(rows[start : start + 100], schema)
        pyarrow.parquet.write_table(table, folder / f"{part}.parquet")
    return folder


def run(engine, *arguments, **settings):
    given = [engine["model"], *arguments, "--code", engine["code"], "--ray"]
    return command.run("annotate", *given, **settings)


def read_parquet(folder: Path) -> list[dict]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(folder).sort_by("number").to_pylist()


def test_parquet_is_annotated_by_actors_and_keeps_its_columns(
    cluster, engine, posts, rows, tmp_path
):
    result = run(engine, posts, tmp_path / "out", "--actors", 2, "--rows", 64)
    assert "150 rows annotated, 4 of them with an error" in result.stderr
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 3
    found = read_parquet(tmp_path / "out")
    expect(rows, found)
    for row, one in zip(rows, found, strict=True):
        assert {key: one[key] for key in ("words", "image", "number")} == {
            key: row[key] for key in ("words", "image", "number")
        }
    assert found[100]["row_id"].endswith("1.parquet:1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    refused = run(engine, posts, tmp_path / "out", status=1)
    assert "MSVSE-E041" in refused.stderr
    assert "150 rows annotated" in run(engine, posts, tmp_path / "out", "--force").stderr


def test_lines_of_json_keep_all_their_keys(cluster, engine, tmp_path):
    lines = [
        {"text": "saw jordan today", "id": 0, "meta": {"by": "Zoë"}},
        {"id": 1, "new": [1, {}]},
    ]
    srsly.write_jsonl(tmp_path / "posts.jsonl", lines)
    with (tmp_path / "posts.jsonl").open("a") as file_:
        file_.write('\n{"text": "half')
    result = run(engine, tmp_path / "posts.jsonl", tmp_path / "out")
    assert "3 rows annotated, 2 of them with an error" in result.stderr
    (file_,) = (tmp_path / "out").glob("*.jsonl")
    found = sorted(srsly.read_jsonl(file_), key=lambda row: row.get("id", 9))
    assert found[0] | {"spans": []} == lines[0] | {"spans": []}
    assert [span["label"] for span in found[0]["spans"]]
    assert found[1] | {"error": ""} == lines[1] | {"error": ""}
    assert found[2]["line"] == '{"text": "half'


def test_what_cannot_work_is_said_before_the_work(cluster, engine, posts, tmp_path):
    for arguments, code in (
        ((posts, tmp_path / "out", "--actors", 3), "MSVSE-E282"),  # of 4 CPUs
        ((posts, tmp_path / "out", "--num-gpus", 1), "MSVSE-E282"),
        ((posts, tmp_path / "out", "--n-process", 2), "MSVSE-E288"),
        ((tmp_path, tmp_path / "out"), "MSVSE-E283"),
        ((tmp_path / "none", tmp_path / "out"), "MSVSE-E033"),
        ((posts, "nowhere://bucket/out"), "MSVSE-E287"),
    ):
        assert code in run(engine, *arguments, status=1).stderr
    assert not (tmp_path / "out").exists()


def test_a_batch_must_be_a_table_of_arrow(engine):
    from spacy_msvse.errors import MsvseError
    from spacy_msvse.ray import Annotator

    with pytest.raises(MsvseError, match="MSVSE-E280"):
        Annotator(**engine)({"text": ["saw jordan"]})


def test_an_unfinished_output_of_other_settings_is_not_continued(cluster, engine, posts, tmp_path):
    from spacy_msvse.ray.job import RUN

    (tmp_path / "out").mkdir()
    srsly.write_json(tmp_path / "out" / RUN, {"model": "another"})
    result = run(engine, posts, tmp_path / "out", status=1)
    assert "MSVSE-E285" in result.stderr
    assert "model" in result.stderr
    (tmp_path / "mine").mkdir()
    assert "MSVSE-E041" in run(engine, posts, tmp_path / "mine", "--force", status=1).stderr


def test_a_killed_run_is_continued_and_no_row_is_lost_or_doubled(engine, tmp_path):
    lines = [{"text": f"saw jordan today {number}", "id": number} for number in range(3000)]
    srsly.write_jsonl(tmp_path / "posts.jsonl", lines)
    output = tmp_path / "out"
    script = "from spacy.cli import setup_cli; setup_cli()"
    arguments = ["msvse", "annotate", engine["model"], tmp_path / "posts.jsonl", output]
    arguments += ["--code", engine["code"], "--ray"]
    process = [sys.executable, "-c", script, *map(str, arguments)]
    committed = tmp_path / "out.checkpoint"
    with subprocess.Popen(process, stderr=subprocess.DEVNULL, start_new_session=True) as killed:
        try:
            end = time.monotonic() + 300
            while not any(".pending" not in path.name for path in committed.glob("*.parquet")):
                assert killed.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            killed.send_signal(signal.SIGKILL)
    assert not (output / "_SUCCESS").exists()
    result = run(engine, tmp_path / "posts.jsonl", output)
    assert "the others were done already" in result.stderr
    found = [row["id"] for path in output.glob("*.jsonl") for row in srsly.read_jsonl(path)]
    assert Counter(found) == Counter(range(3000))
    assert not committed.exists()
