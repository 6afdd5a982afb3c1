"""Formats on the command line: files of any tool in, JSONL, Parquet and Label Studio out."""

import json

import pandas
import pytest
import srsly

import spacy_msvse.cli.serve
from spacy_msvse import read_posts
from spacy_msvse.cli.reading import parse_labels
from spacy_msvse.corpus.formats import outputs
from spacy_msvse.corpus.formats.table import open_posts
from spacy_msvse.corpus.resume import partial_path
from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.store import FeatureStore

from ..tiny import picture
from .command import run

SUFFIXES = [".jsonl", ".parquet", ".json"]


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    """The same posts in several formats, with pictures beside them or in them."""
    folder = tmp_path_factory.mktemp("posts")
    rows = []
    for label, name in (("PER", "jordan"), ("LOC", "florence"), ("ORG", "amazon")):
        (folder / f"{label}.png").write_bytes(picture(label, seed=3))
        rows.append({"text": f"saw {name} today", "image": f"{label}.png"})
    rows.append({"text": "saw phoenix today", "image": "none.png"})
    srsly.write_jsonl(folder / "posts.jsonl", rows)
    pandas.DataFrame(rows).to_csv(folder / "posts.csv", index=False)
    srsly.write_json(folder / "doccano.json", [{**row, "label": [[4, 7, "X"]]} for row in rows])
    srsly.write_json(folder / "tasks.json", [{"id": 1, "data": row} for row in rows])
    blocks = (f"IMGID:{row['image']}\nsaw\tO\n{row['text'].split()[1]}\tB-X\n" for row in rows)
    (folder / "posts.conll").write_text("\n".join(blocks))
    pictures = [
        {"bytes": (folder / row["image"]).read_bytes() if n < 3 else None, "path": row["image"]}
        for n, row in enumerate(rows)
    ]
    frame = pandas.DataFrame({"tokens": [row["text"].split() for row in rows], "image": pictures})
    frame.assign(ner_tags=[[0, 1, 0]] * 4).to_parquet(folder / "posts.parquet")
    return folder


@pytest.fixture(scope="module")
def lines(trained, posts, tmp_path_factory):
    """The posts of two sources, annotated as JSONL without an interruption."""
    folder = tmp_path_factory.mktemp("lines")
    for source in ("posts.jsonl", "posts.parquet"):
        run("annotate", trained, posts / source, folder / f"{source}.jsonl")
    return folder


def read(path):
    """The rows of an output. Formats may add keys of their own to them."""
    keys = ("text", "words", "image", "spans", "error")
    return [{key: row.get(key) for key in keys} for row in read_posts(path)]


def found(path):
    """Text and label of the entities of each row."""
    return [
        [(row["text"][span["start"] : span["end"]], span["label"]) for span in row["spans"]]
        for row in read_posts(path)
    ]


EXPECTED = [[("jordan", "PER")], [("florence", "LOC")], [("amazon", "ORG")]]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("posts.jsonl", "JSONL"),
        ("posts.csv", "CSV"),
        ("doccano.json", "doccano in a JSON array"),
        ("tasks.json", "tasks of Label Studio in a JSON array"),
        ("posts.conll", "CoNLL"),
        ("posts.parquet", "tokens and labels in Parquet"),
    ],
)
def test_posts_in_any_format_are_annotated_and_the_format_is_said(
    trained, posts, tmp_path, name, title
):
    """Gold labels are not needed and not read, also if they are numbers without names."""
    result = run("annotate", trained, posts / name, tmp_path / "out.jsonl")
    assert f"'{posts / name}' is read as {title}" in result.stderr
    assert "4 rows annotated, 1 of them with an error" in result.stderr
    assert found(tmp_path / "out.jsonl")[:3] == EXPECTED


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("source", ["posts.jsonl", "posts.parquet"])
def test_the_suffix_of_the_output_tells_its_format_and_it_is_read_again_equal(
    trained, posts, lines, tmp_path, suffix, source
):
    output = tmp_path / f"out{suffix}"
    run("annotate", trained, posts / source, output)
    assert open_posts(output).container == suffix.removeprefix(".")
    assert found(output)[:3] == EXPECTED
    assert read(output) == read(lines / f"{source}.jsonl")
    assert read(output)[3]["error"]
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_run_continues_whatever_the_output(trained, posts, lines, tmp_path, suffix):
    whole, output = lines / "posts.parquet.jsonl", tmp_path / f"out{suffix}"
    written = whole.read_bytes().splitlines(keepends=True)
    partial_path(output).write_bytes(b"".join(written[:2]) + written[2][:50])
    result = run("annotate", trained, posts / "posts.parquet", output)
    assert "2 done already" in result.stderr
    assert read(output) == read(whole)
    assert not partial_path(output).exists()


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_a_run_that_is_killed_while_the_output_is_made_continues(
    trained, posts, tmp_path, monkeypatch, suffix
):
    output = tmp_path / f"out{suffix}"
    with monkeypatch.context() as patched:
        for name in ("write_parquet", "write_label_studio"):
            patched.setattr(outputs, name, lambda *given, **more: 1 / 0)
        run("annotate", trained, posts / "posts.jsonl", output, status=1)
    assert not output.exists()
    assert partial_path(output).read_bytes().count(b"\n") == 4
    result = run("annotate", trained, posts / "posts.jsonl", output)
    assert "4 done already" in result.stderr
    assert found(output)[:3] == EXPECTED


def test_the_format_of_the_output_can_be_named(trained, posts, tmp_path):
    output = tmp_path / "out.txt"
    arguments = ("annotate", trained, posts / "posts.jsonl")
    result = run(*arguments, output, "--output-format", "label-studio")
    assert "written as predictions of Label Studio" in result.stderr
    (first, *_) = json.loads(output.read_text("utf-8"))
    assert first["predictions"][0]["model_version"] == "en_pipeline-0.0.0"
    run(*arguments, tmp_path / "out.json", "--output-format", "jsonl")
    assert len(list(srsly.read_jsonl(tmp_path / "out.json"))) == 4
    result = run(*arguments, "-", "--output-format", "parquet", status=1)
    assert "MSVSE-E246" in result.stderr


def test_an_output_is_converted_and_rendered(trained, posts, tmp_path):
    output = tmp_path / "out.parquet"
    run("annotate", trained, posts / "posts.parquet", output)
    result = run("convert", output, tmp_path / "posts.spacy")
    assert "Read as Parquet" in " ".join(result.stdout.split())
    run("render", "-", output, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8").count("<article") == 4


def test_labels_that_are_numbers_are_named(posts, tmp_path):
    arguments = ("convert", posts / "posts.parquet", tmp_path / "posts.spacy")
    assert "MSVSE-E244" in run(*arguments, status=1).stderr
    result = run(*arguments, "--labels", "O,B-PER,I-PER")
    assert "PER 4" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["O", "B-PER"], {0: "O", 1: "B-PER"}),
        ({"O": 0, "B-PER": 1}, {0: "O", 1: "B-PER"}),  # as tner's label.json
        ({"0": "O", "1": "B-PER"}, {0: "O", 1: "B-PER"}),  # as id2label of transformers
    ],
)
def test_the_names_of_labels_may_be_in_a_file(tmp_path, content, expected):
    srsly.write_json(tmp_path / "labels.json", content)
    assert parse_labels(str(tmp_path / "labels.json")) == expected
    assert parse_labels("O, B-PER") == {0: "O", 1: "B-PER"}
    assert parse_labels(None) is None


@pytest.mark.parametrize(
    "content", ["{", "3", '{"O": "x"}', '{"O": 0, "B": 0}', '["O", 3]', '["O", "O"]', "{}"]
)
def test_names_of_labels_that_cannot_be_used_are_refused(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(MsvseError, match="MSVSE-E251"):
        parse_labels(str(tmp_path / "labels.json"))


@pytest.mark.parametrize("given", ["", "O,,B-PER", "O,O", "none.json"])
def test_a_list_of_labels_that_cannot_be_used_is_refused(given):
    with pytest.raises(MsvseError, match="MSVSE-E251"):
        parse_labels(given)


def test_a_description_keeps_the_entities_of_another_tool(tmp_path):
    rows = [{"text": "saw jordan", "label": [[4, 10, "PER"]], "texts": {"knowledge": "a player"}}]
    srsly.write_json(tmp_path / "posts.json", rows)
    server = ("--chat-model", "m", "--chat-url", "http://127.0.0.1:9/v1")
    result = run("describe", tmp_path / "posts.json", tmp_path / "out.parquet", *server)
    assert "is read as doccano in a JSON array" in result.stderr
    (row,) = read_posts(tmp_path / "out.parquet")
    assert row["spans"] == [{"start": 4, "end": 10, "label": "PER"}]
    assert row["texts"] == {"knowledge": "a player"}


def split(posts, folder, *options, **settings):
    files = (f"--{name}={folder / name}.jsonl" for name in ("train", "dev", "test"))
    return run("split", posts, *files, *options, **settings)


def test_split_writes_three_files_and_says_how_many_posts_each_has(tmp_path):
    rows = [{"text": f"post {n}", "label": [[0, 4, "X"]]} for n in range(20)]
    srsly.write_json(tmp_path / "posts.json", rows)
    result = split(tmp_path / "posts.json", tmp_path, "--shares", "6,2,2", "--seed", 3)
    assert "is read as doccano in a JSON array" in result.stderr
    for name, count in (("train", 12), ("dev", 4), ("test", 4)):
        assert f"{name}.jsonl: {count} posts ({count / 20:.1%})" in result.stderr
        assert len(list(read_posts(tmp_path / f"{name}.jsonl"))) == count
    assert "Divided 20 posts (20 groups" in " ".join(result.stdout.split())
    assert "MSVSE-E041" in split(tmp_path / "posts.json", tmp_path, status=1).stderr
    split(tmp_path / "posts.json", tmp_path, "--force")


def test_a_share_that_was_not_reached_is_named(tmp_path):
    rows = [{"text": "the same"}] * 15 + [{"text": f"post {n}"} for n in range(5)]
    srsly.write_jsonl(tmp_path / "posts.jsonl", rows)
    result = split(tmp_path / "posts.jsonl", tmp_path, "--shares", "1,1,1")
    assert "MSVSE-W064" in result.stderr
    assert "the largest group" in " ".join(result.stderr.split())


def test_a_page_reads_and_fills_a_feature_store(trained, posts, tmp_path):
    run(
        "render",
        trained,
        posts / "posts.jsonl",
        tmp_path / "page.html",
        "--no-effects",
        "--features",
        tmp_path / "store",
    )
    with FeatureStore(tmp_path / "store", readonly=True) as store:
        assert len(list(store.scan())) == 3


def test_serve_reads_a_feature_store_and_writes_nothing_to_it(
    trained, posts, tmp_path, monkeypatch
):
    import streamlit.web.cli
    from starlette import formparsers

    monkeypatch.setattr(streamlit.web.cli, "main", lambda arguments: None)
    monkeypatch.setattr(formparsers.MultiPartParser, "spool_max_size", 2**20)
    pipelines = {}
    monkeypatch.setattr(spacy_msvse.cli.serve, "PIPELINES", pipelines)
    with FeatureStore(tmp_path / "store"):
        pass
    run("serve", trained, "--features", tmp_path / "store", "--examples", posts / "posts.csv")
    (nlp,) = pipelines.values()
    store = nlp.get_pipe("msvse_ner").feature_store
    assert store.path == tmp_path / "store"
    assert store.readonly


def test_the_hints_of_init_config_name_the_extraction(tmp_path):
    said = run("init-config", tmp_path / "a.cfg", "--views", "regions").stdout
    extract = "spacy msvse extract train.spacy features --config"
    assert extract in said
    assert said.index("debug-data") < said.index(extract) < said.index("spacy train")
    assert "--paths.features features" in said
    said = run("init-config", tmp_path / "b.cfg", "--views", "text").stdout
    assert "extract" not in said
    assert "features" not in said
