import hashlib
from pathlib import Path

import pytest
import srsly
import typer
from PIL import Image
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401 (joins the commands)
from spacy_msvse.cli.convert import parse_label_map
from spacy_msvse.corpus.convert import convert
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.corpus.rows import BadRowsError
from spacy_msvse.errors import MsvseError

POSTS = "IMGID:1\nAda\tB-PER\n\nIMGID:2\nParis\tI-LOC\n,\tO\nX\tB-OTHER\n\nIMGID:3\nhello\tO"
BAD_POSTS = "IMGID:1\nAda\nBob\tB-PER\n"


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf8")
        return path

    return write


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out" / "posts.spacy"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(folder / "1.jpg")
    return folder


def read_docs(path, nlp):
    return list(DocBin().from_disk(path).get_docs(nlp.vocab))


def test_words_with_a_text_stay_whole_in_training(write, output, nlp):
    span = {"start": 3, "end": 7, "label": "LOC"}
    row = {"text": "hi,#NYC", "words": ["hi", ",", "#NYC"], "spans": [span]}
    convert(write("posts.jsonl", srsly.json_dumps(row)), output, format="jsonl")
    (example,) = Corpus(output)(nlp)
    assert [token.text for token in example.predicted] == ["hi", ",", "#NYC"]
    assert [ent.text for ent in example.reference.ents] == ["#NYC"]


def test_everything_is_counted_and_written(write, output, pictures, nlp):
    report = convert(
        write("posts.txt", POSTS),
        output,
        format="conll",
        image_root=pictures,
        captions=write("captions.txt", "1.jpg :a dog\n2.jpg :\n"),
        tags=write("tags.json", '{"2.jpg": "a cat"}'),
        label_map={"OTHER": "MISC"},
    )
    assert (report.posts, report.tokens, report.entities) == (3, 5, 3)
    assert report.entities_per_label == {"PER": 1, "LOC": 1, "MISC": 1}
    assert (report.posts_without_entity, report.stray_starts) == (1, 1)
    assert (report.pictures_referenced, report.pictures_found) == (3, 1)
    assert (report.captions_used, report.tags_used) == (1, 1)
    docs = read_docs(output, nlp)
    assert [doc._.image for doc in docs] == ["1.jpg", "2.jpg", "3.jpg"]
    assert [doc._.image_caption for doc in docs] == ["a dog", None, None]
    assert [doc.user_data["meta"]["id"] for doc in docs] == ["1", "2", "3"]
    assert docs[1].ents[1].label_ == "MISC"


def test_pictures_that_a_post_cannot_hold_are_counted(write, output, pictures):
    for name in ("Lm7_a.jpg", "Lm7_b.jpg", "Lm7_c.jpg"):
        Image.new("RGB", (2, 2)).save(pictures / name)
    posts = write("posts.txt", "WID:Lm7\nAda\tB-PER\n\nWID:Lk2\nhello\tO\n")
    report = convert(posts, output, format="conll", image_root=pictures)
    assert (report.pictures_referenced, report.pictures_found) == (2, 1)
    assert report.pictures_left_out == 2


def test_the_meta_of_a_row_can_have_any_content(write, output, tmp_path, nlp):
    row = {"text": "Ada", "image": "/", "meta": {"pictures": 3, "boxes": "none"}}
    posts = write("posts.jsonl", srsly.json_dumps({**row, "image": "1.jpg"}))
    report = convert(posts, output, format="jsonl", boxes=tmp_path)
    assert report.pictures_left_out == 0
    assert read_docs(output, nlp)[0].user_data["meta"] == row["meta"]
    with pytest.raises(BadRowsError, match=r"posts\.jsonl:1: "):
        convert(write("posts.jsonl", srsly.json_dumps(row)), output, format="jsonl", boxes=tmp_path)


def test_descriptions_of_a_row_have_priority_over_files(write, output, nlp):
    posts = write("posts.jsonl", '{"text": "Ada", "image": "1.jpg", "caption": "mine"}')
    captions = write("captions.txt", "1.jpg :theirs")
    convert(posts, output, format="jsonl", captions=captions)
    (doc,) = read_docs(output, nlp)
    assert doc._.image_caption == "mine"


def test_the_report_identifies_the_annotation(write, output):
    posts = write("posts.txt", POSTS)
    convert(posts, output, format="conll", label_map={"OTHER": "MISC"})
    report = srsly.read_json(f"{output}.json")
    assert report["source_sha256"] == hashlib.sha256(posts.read_bytes()).hexdigest()
    assert report["label_map"] == {"OTHER": "MISC"}
    assert report["entities_per_label"] == {"LOC": 1, "MISC": 1, "PER": 1}
    assert report["pictures_found"] is None


def test_bad_rows_do_not_change_the_output(write, output):
    convert(write("posts.txt", POSTS), output, format="conll")
    before = output.read_bytes()
    with pytest.raises(BadRowsError, match=r"MSVSE-E034.*bad\.txt:2: ") as error:
        convert(write("bad.txt", BAD_POSTS), output, format="conll")
    assert [row.line for row in error.value.bad_rows] == [2]
    assert output.read_bytes() == before


def test_bad_rows_can_be_skipped_and_are_in_the_report(write, output, nlp):
    bad = write("bad.txt", BAD_POSTS)
    report = convert(bad, output, format="conll", skip_bad_rows=True)
    assert [row.line for row in report.bad_rows] == [2]
    assert [doc.text.strip() for doc in read_docs(output, nlp)] == ["Bob"]
    assert srsly.read_json(f"{output}.json")["bad_rows"][0].startswith("bad.txt:2: ")


def test_a_misaligned_span_is_a_bad_row(write, output):
    span = {"start": 0, "end": 2, "label": "PER"}
    rows = [srsly.json_dumps({"text": "Ada", "spans": spans}) for spans in ([], [span])]
    with pytest.raises(BadRowsError, match=r"posts\.jsonl:2: .*cuts through a token"):
        convert(write("posts.jsonl", "\n".join(rows)), output, format="jsonl")


@pytest.mark.parametrize("image", ["../1.jpg", "/etc/passwd", "https://example.com/1.jpg"])
def test_a_picture_outside_the_folder_is_a_bad_row(write, output, pictures, image):
    posts = write("posts.jsonl", srsly.json_dumps({"text": "Ada", "image": image}))
    with pytest.raises(BadRowsError, match=r"posts\.jsonl:1: .*MSVSE-E02"):
        convert(posts, output, format="jsonl", image_root=pictures)


def test_an_interrupted_conversion_leaves_nothing_behind(write, output, monkeypatch):
    def fail(self, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(DocBin, "to_disk", fail)
    with pytest.raises(OSError, match="disk full"):
        convert(write("posts.txt", POSTS), output, format="conll")
    assert list(output.parent.iterdir()) == []


def test_wrong_settings_are_refused(write, output, tmp_path):
    posts = write("posts.txt", POSTS)
    with pytest.raises(MsvseError, match="MSVSE-E031"):
        convert(posts, output, format="xml")
    with pytest.raises(MsvseError, match="MSVSE-E036"):
        convert(posts, tmp_path / "posts.bin", format="conll")
    with pytest.raises(MsvseError, match=r"MSVSE-E033.*absent"):
        convert(posts, output, format="conll", captions=tmp_path / "absent")


@pytest.mark.parametrize("entry", ["OTHER", "=MISC", "OTHER="])
def test_a_malformed_label_map_entry_is_refused(entry):
    with pytest.raises(MsvseError, match="MSVSE-E032"):
        parse_label_map([entry])


# From the counts that come with the data: posts, tokens, entities, those that open with B-,
# posts without entity, captions, and entities by label.
TWITTER2015 = {
    "train": (4000, 64439, 6352, 6166, 104, 3999, [2285, 2135, 957, 975]),
    "valid": (1000, 16178, 1594, 1541, 31, 999, [567, 543, 251, 233]),
    "test": (3257, 52822, 5207, 5072, 89, 3257, [1873, 1720, 860, 754]),
}


@pytest.mark.parametrize("split", TWITTER2015)
def test_twitter2015_has_its_known_counts(twitter2015, output, nlp, split):
    report = convert(
        twitter2015 / f"{split}.txt",
        output,
        format="conll",
        image_root=twitter2015 / "images",
        captions=twitter2015 / "captions_blip2.txt",
        tags=twitter2015 / "captions_second.json",
    )
    assert not report.bad_rows
    assert (
        report.posts,
        report.tokens,
        report.entities,
        report.entities - report.stray_starts,
        report.posts_without_entity,
        report.captions_used,
        [report.entities_per_label[label] for label in ("PER", "LOC", "ORG", "OTHER")],
    ) == TWITTER2015[split]
    assert report.pictures_referenced == report.tags_used == report.posts
    docs = read_docs(output, nlp)
    assert len(docs) == report.posts
    assert sum(len(doc.ents) for doc in docs) == report.entities


def test_all_pictures_of_the_small_twitter2015_are_found(twitter2015, output):
    for split, count in {"train": 9, "valid": 5, "test": 5}.items():
        path = twitter2015 / "mini" / f"{split}.txt"
        report = convert(path, output, format="conll", image_root=twitter2015 / "images")
        assert report.posts == report.pictures_found == count


def run(*arguments):
    return CliRunner().invoke(app, ["msvse", "convert", *map(str, arguments)])


def test_command_prints_its_counts(write, output):
    result = run(write("posts.txt", POSTS), output, "-f", "conll", "-m", "OTHER=MISC", "-m", "A=B")
    assert result.exit_code == 0
    assert "MISC" in result.stdout
    assert output.is_file()


def test_command_reads_another_column_and_boxes(write, output, tmp_path, nlp):
    posts = write("posts.txt", "Ada\tB-person\tB-author\n")
    assert (
        run(posts, output, "-f", "conll", "--label-column", 2, "--boxes", tmp_path).exit_code == 0
    )
    assert [ent.label_ for ent in read_docs(output, nlp)[0].ents] == ["person"]


def test_command_lists_bad_rows_on_standard_error_and_fails(write, output):
    result = run(write("bad.txt", BAD_POSTS), output, "--format", "conll")
    assert result.exit_code == 1
    assert "bad.txt:2: " in result.stderr
    assert not output.exists()


def test_command_skips_bad_rows_on_request(write, output):
    result = run(write("bad.txt", BAD_POSTS), output, "--format", "conll", "--skip-bad-rows")
    assert result.exit_code == 0
    assert "bad.txt:2: " in result.stderr
    assert output.is_file()


@pytest.mark.parametrize("arguments", [("-m", "OTHER"), ("-l", "zz")])
def test_command_explains_a_wrong_setting(write, output, arguments):
    result = run(write("posts.txt", POSTS), output, "-f", "conll", *arguments)
    assert result.exit_code == 1
    assert "✘" in result.stdout


def test_command_is_added_to_spacys_own():
    commands = typer.main.get_command(app).commands
    assert "convert" in commands["msvse"].commands
