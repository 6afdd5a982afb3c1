import hashlib
import re
import warnings
from pathlib import Path

import pytest
import srsly
import typer
from PIL import Image
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401 (joins the commands)
from spacy_msvse.cli.convert import parse_label_map, parse_texts
from spacy_msvse.corpus.audit import audit
from spacy_msvse.corpus.convert import convert
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.corpus.rows import BadRowsError
from spacy_msvse.errors import MsvseError

POSTS = "IMGID:1\nAda\tB-PER\n\nIMGID:2\nParis\tI-LOC\n,\tO\nX\tB-OTHER\n\nIMGID:3\nhello\tO"
BAD_POSTS = "IMGID:1\nAda\nBob\tB-PER\n\nIMGID:2\nEve\tB-PER\n"
ADA = {"start": 0, "end": 3, "label": "PER"}
ROW = {"text": "Ada sings", "image": "1.jpg", "spans": [ADA]}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


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
    row = {"text": "hi,#NYC", "words": ["hi", ",", "#NYC"], "spans": [span], "image": "1.jpg"}
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


def test_all_pictures_of_a_post_are_counted_and_described(write, output, pictures, nlp):
    for name in ("Lm7_a.jpg", "Lm7_b.jpg", "Lm7_c.jpg"):
        Image.new("RGB", (2, 2)).save(pictures / name)
    posts = write("posts.txt", "WID:Lm7\nAda\tB-PER\n\nWID:Lk2\nhello\tO\n")
    captions = write("captions.txt", "Lm7_b.jpg :a cat\nLm7_a.jpg :a dog\nLm7_c.jpg :a dog")
    tags = write("tags.json", '{"Lm7_a": ["dog", "sofa"], "Lm7_c": ["cat", "dog"]}')
    report = convert(
        posts, output, format="conll", image_root=pictures, captions=captions, tags=tags
    )
    assert (report.pictures_referenced, report.pictures_found) == (4, 3)
    assert (report.posts_with_pictures, report.posts_with_several_pictures) == (2, 1)
    first, second = read_docs(output, nlp)
    assert first._.images == ["Lm7_a.jpg", "Lm7_b.jpg", "Lm7_c.jpg"]
    assert first._.image_caption == "a dog a cat"
    assert first._.image_tags == ["dog", "sofa", "cat"]
    assert second._.images == ["Lk2.jpg"]


def test_boxes_of_several_pictures_have_the_number_of_their_picture(write, output, nlp, tmp_path):
    for name in ("1", "2"):
        (tmp_path / f"{name}.xml").write_text(
            "<annotation><size><width>10</width><height>10</height></size><object><name>Ada</name>"
            "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>"
            "</annotation>"
        )
    row = {**ROW, "image": "3.jpg", "images": ["3.jpg", "2.jpg"]}
    posts = write("posts.jsonl", f"{srsly.json_dumps(ROW)}\n{srsly.json_dumps(row)}\n")
    convert(posts, output, boxes=tmp_path)
    one, several = (doc.user_data["meta"]["boxes"] for doc in read_docs(output, nlp))
    assert [list(box) for box in one] == [["Ada", 1.0, 0.0, 0.0, 0.5, 0.5]]
    assert [list(box) for box in several] == [["Ada", 1.0, 0.0, 0.0, 0.5, 0.5, 1]]


def test_the_meta_of_a_row_can_have_any_content(write, output, tmp_path, nlp):
    row = {**ROW, "meta": {"pictures": 3, "boxes": "none"}}
    convert(write("posts.jsonl", srsly.json_dumps(row)), output, format="jsonl")
    assert read_docs(output, nlp)[0].user_data["meta"] == row["meta"]


def test_the_types_that_an_annotation_covers_are_written_with_each_post(write, output, nlp):
    rows = [ROW, {**ROW, "meta": {"types": ["PERSON", "LOC"]}}]
    text = "".join(srsly.json_dumps(row) + "\n" for row in rows)
    arguments = ["msvse", "convert", str(write("posts.jsonl", text)), str(output)]
    options = ["--covers", "PERSON, ORG", "--label-map", "PER=PERSON", "--allow-no-pictures"]
    options += ["--slice", "first set"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    assert "covers PERSON, ORG" in result.output
    docs = read_docs(output, nlp)
    assert [doc._.covered_types for doc in docs] == [["PERSON", "ORG"], ["PERSON", "LOC"]]
    assert all(doc.user_data["meta"]["first set"] is True for doc in docs)
    report = srsly.read_json(f"{output}.json")
    assert report["types_covered"] == {"PERSON, ORG": 1, "PERSON, LOC": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW, "entity 'Ada' is a PER, but the annotation of the post covers LOC"),
        ({**ROW, "meta": {"types": "LOC"}}, "covered_types.*it is not a list"),
    ],
)
def test_an_entity_of_a_type_that_is_not_covered_is_a_bad_row(write, output, row, reason):
    with pytest.raises(BadRowsError, match=reason):
        convert(write("posts.jsonl", srsly.json_dumps(row)), output, covers=["LOC"])
    assert not output.exists()


def test_descriptions_of_a_row_have_priority_over_files(write, output, nlp):
    posts = write("posts.jsonl", srsly.json_dumps({**ROW, "caption": "mine"}))
    captions = write("captions.txt", "1.jpg :theirs")
    convert(posts, output, format="jsonl", captions=captions)
    (doc,) = read_docs(output, nlp)
    assert doc._.image_caption == "mine"


def test_further_texts_of_pictures_come_from_files(write, output, nlp):
    posts = write("posts.jsonl", srsly.json_dumps({**ROW, "texts": {"ocr": "mine"}}))
    texts = {
        "knowledge": write("knowledge.json", '{"1": "Ada is a person: she wrote."}'),
        "ocr": write("ocr.txt", "1.jpg :theirs"),
        "mood": write("mood.jsonl", '{"image": "1.jpg", "mood": "glad"}'),
    }
    report = convert(posts, output, format="jsonl", texts=texts)
    (doc,) = read_docs(output, nlp)
    expected = {"knowledge": "Ada is a person: she wrote.", "mood": "glad", "ocr": "mine"}
    assert doc._.image_texts == expected
    assert report.texts_used == {"knowledge": 1, "mood": 1, "ocr": 1}


def test_a_file_of_texts_that_fits_no_post_is_refused(write, output):
    posts = write("posts.jsonl", srsly.json_dumps(ROW))
    with pytest.raises(MsvseError, match="MSVSE-E136"):
        convert(posts, output, texts={"knowledge": write("knowledge.json", '{"9": "a"}')})
    with pytest.raises(BadRowsError, match="the knowledge of '1' is not one text"):
        convert(posts, output, texts={"knowledge": write("knowledge.json", '{"1": 7}')})
    with pytest.raises(MsvseError, match="MSVSE-E206"):
        convert(posts, output, texts={"caption": write("captions.txt", "1.jpg :a dog")})


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


def test_a_bad_row_of_a_file_beside_the_posts_is_reported_for_that_file(write, output):
    posts = write("posts.jsonl", srsly.json_dumps(ROW))
    captions = write("captions.json", srsly.json_dumps({"1.jpg": ["a dog", "a cat"]}))
    expected = r"MSVSE-E034\] '[^']*captions\.json': malformed rows"
    with pytest.raises(BadRowsError, match=expected) as error:
        convert(posts, output, captions=captions)
    assert "leave these posts out" not in str(error.value)  # they are captions


def test_bad_posts_can_be_left_out_and_are_in_the_report(write, output, nlp):
    bad = write("bad.txt", BAD_POSTS)
    report = convert(bad, output, format="conll", skip_bad_rows=True)
    assert [row.line for row in report.bad_rows] == [2]
    assert report.posts_malformed == 1
    assert [doc.text.strip() for doc in read_docs(output, nlp)] == ["Eve"]
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


def test_the_blanks_of_a_text_with_words_are_those_of_the_file(write, output, nlp):
    texts = ["  Ada   sings , well", "Ada,sings", "Ada \tsings\n\nwell ", "Ada\u00a0 sings"]
    rows = [
        {**ROW, "text": text, "words": re.findall(r"\w+|,", text), "spans": []} for text in texts
    ]
    rows[0]["spans"] = [{"start": 2, "end": 5, "label": "PER"}]
    convert(write("posts.jsonl", "\n".join(map(srsly.json_dumps, rows))), output)
    assert [doc.text for doc in read_docs(output, nlp)] == texts
    for example, row in zip(Corpus(output)(nlp), rows, strict=True):
        assert example.predicted.text == example.reference.text == row["text"]
        words = [token.text for token in example.predicted if not token.is_space]
        assert words == row["words"]
    found = audit({"train": output}, nlp).splits["train"]
    assert found.misaligned_entities.count == 0


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.jsonl", "jsonl"), ("a.JSON", "jsonl"), ("a.ndjson", "jsonl"), ("a.txt", "conll")]
    + [(f"a.{suffix}", "conll") for suffix in ("conll", "bio", "iob", "iob2", "tsv", "bioes")],
)
def test_the_suffix_tells_the_format(write, output, name, format):
    text = srsly.json_dumps(ROW) if format == "jsonl" else POSTS
    assert convert(write(name, text), output).format == format


@pytest.mark.parametrize("name", ["posts", "posts.train", "posts.xml"])
def test_a_suffix_that_does_not_tell_the_format_is_an_error(write, output, name):
    posts = write(name, "A post of prose\n" + POSTS)
    with pytest.raises(MsvseError, match=r"MSVSE-E138.*--format with one of: jsonl, json"):
        convert(posts, output)
    assert convert(posts, output, format="conll", skip_bad_rows=True).posts == 3


@pytest.mark.parametrize("name", ["posts", "posts.train", "posts.xml", "posts.jsonl"])
def test_the_content_tells_the_format_before_the_suffix(write, output, name):
    report = convert(write(name, POSTS), output)
    assert (report.format, report.read_as, report.posts) == ("conll", "CoNLL", 3)


def test_the_report_tells_the_scheme_and_what_was_left_out(write, output):
    answers = ["accept", "reject", "ignore", "reject"]
    rows = [{**ROW, "answer": answer} for answer in answers] + [{"text": 3}]
    rows[0]["spans"] = [ADA, {"start": 4, "end": 9, "label": "PER", "answer": "reject"}]
    posts = write("posts.jsonl", "\n".join(map(srsly.json_dumps, rows)))
    report = convert(posts, output, skip_bad_rows=True)
    assert (report.posts, report.posts_malformed, report.entities_rejected) == (1, 1, 1)
    written = srsly.read_json(f"{output}.json")
    assert written["posts_rejected"] == {"reject": 2, "ignore": 1}
    assert (written["posts_malformed"], written["label_scheme"]) == (1, "spans")
    report = convert(write("posts.txt", "IMGID:1\nAda\tS-PER\nis\tO\n"), output)
    assert report.label_scheme == "BIOES"


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("posts.jsonl", "", "0 malformed, 0 rejected"),
        ("posts.txt", "\n\n", "0 malformed, 0 rejected"),
        ("posts.txt", "Ada\n\nBob\n", "2 malformed, 0 rejected"),
        ("posts.jsonl", srsly.json_dumps({**ROW, "answer": "ignore"}), "0 malformed, 1 rejected"),
    ],
)
def test_a_conversion_without_a_post_fails(write, output, name, text, counts):
    with pytest.raises(MsvseError, match=rf"MSVSE-E134.*{counts}"):
        convert(write(name, text), output, skip_bad_rows=True)
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("a.jsonl", srsly.json_dumps({**ROW, "spans": []}), r"\(0 of 1"),
        ("a.jsonl", srsly.json_dumps({"text": "Ada", "image": "1.jpg"}), r"\(1 of 1"),
        (
            "a.jsonl",
            srsly.json_dumps({"text": "Ada", "image": "1.jpg", "mentions": [[0, 3, "PER"]]}),
            r"look like annotation, but are not read: 'mentions' \(1 post\)",
        ),
        ("a.txt", "IMGID:1\nAda\tO\n", r"\(0 of 1"),
    ],
)
def test_a_conversion_without_an_entity_fails_unless_it_is_meant(write, output, name, text, hint):
    posts = write(name, text)
    with pytest.raises(MsvseError, match=rf"MSVSE-E135.*{hint}.*--allow-no-entities"):
        convert(posts, output)
    assert not output.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert convert(posts, output, allow_no_entities=True).posts == 1


@pytest.mark.parametrize(
    ("row", "has_folder", "hint"),
    [
        ({}, False, "0 of 1 posts name a picture"),
        ({}, True, "0 of 1 posts name a picture"),
        ({"photos": ["1.jpg"]}, False, r"'photos' \(1 post\)"),
        ({"image": "2.jpg"}, True, "1 of 1 posts name a picture.*check --image-root"),
        ({"image": "2.jpg", "caption": "a dog"}, True, "1 of 1 posts name a picture"),
        ({"image": "lfs.jpg"}, True, "git lfs pull"),
    ],
)
def test_a_conversion_without_a_picture_fails_unless_it_is_meant(
    write, output, pictures, row, has_folder, hint
):
    (pictures / "lfs.jpg").write_text(LFS)
    posts = write("posts.jsonl", srsly.json_dumps({"text": "Ada", "spans": [ADA], **row}))
    settings = {"image_root": pictures} if has_folder else {}
    with pytest.raises(MsvseError, match=rf"MSVSE-E137.*{hint}.*--allow-no-pictures"):
        convert(posts, output, **settings)
    assert not output.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert convert(posts, output, **settings, allow_no_pictures=True).posts == 1


def test_descriptions_suffice_in_place_of_pictures(write, output):
    row = {"text": "Ada", "spans": [ADA], "texts": {"ocr": "SALE"}}
    assert convert(write("posts.jsonl", srsly.json_dumps(row)), output).posts == 1


def test_keys_that_are_not_read_are_named_in_a_warning_and_in_the_report(write, output):
    rows = [ROW, {"text": "Ada", "label": [[0, 3, "PER"]], "img": "1.jpg"}]
    posts = write("posts.jsonl", "\n".join(map(srsly.json_dumps, rows)))
    with pytest.warns(UserWarning, match="MSVSE-W020") as caught:
        report = convert(posts, output)
    named = [str(warning.message) for warning in caught]
    assert "annotation are not read: 'label' (1 post)" in named[0]
    assert "a picture are not read: 'img' (1 post)" in named[1]
    assert report.unread_keys == {"label": 1, "img": 1}


def test_a_caption_of_a_file_beside_the_posts_replaces_a_key_that_is_not_read(write, output):
    posts = write("posts.jsonl", srsly.json_dumps({**ROW, "captions": "a dog"}))
    captions = write("captions.json", srsly.json_dumps({ROW["image"]: "a cat"}))
    with pytest.warns(UserWarning, match=r"MSVSE-W020.*a caption are not read: 'captions'"):
        convert(posts, output)
    assert convert(posts, output, captions=captions).unread_keys == {}


def test_binary_annotations_are_missing_labels_on_request_and_named_otherwise(write, output, nlp):
    posts = write("posts.jsonl", srsly.json_dumps({**ROW, "answer": "accept", "_view_id": "ner"}))
    with pytest.warns(UserWarning, match=r"MSVSE-W021.*1 posts.*--binary"):
        convert(posts, output)
    assert [token.ent_iob_ for token in read_docs(output, nlp)[0]] == ["B", "O"]
    report = convert(posts, output, binary=True)
    assert report.posts_partly_annotated == 1
    assert [token.ent_iob_ for token in read_docs(output, nlp)[0]] == ["B", ""]


def test_a_label_to_rename_that_no_entity_has_is_named(write, output):
    with pytest.warns(UserWarning, match=r"MSVSE-W022.*'OTHR'"):
        convert(write("posts.txt", POSTS), output, label_map={"OTHR": "MISC", "LOC": "PLACE"})


def test_a_label_that_is_renamed_to_nothing_is_refused(write, output):
    with pytest.raises(BadRowsError, match="empty label"):
        convert(write("posts.txt", POSTS), output, label_map={"PER": ""})


@pytest.mark.parametrize("option", ["captions", "tags", "boxes"])
@pytest.mark.parametrize("name", ["9.jpg", None])
def test_a_file_of_descriptions_that_fits_no_post_is_an_error(
    write, output, tmp_path, option, name
):
    if option == "boxes":
        path = tmp_path / "boxes"
        path.mkdir()
        if name:
            (path / "9.xml").write_text("<annotation/>")
    else:
        path = write("described", srsly.json_dumps({name: "a dog"} if name else {}))
    shown = name[:1] if name else "none"
    with pytest.raises(MsvseError, match=rf"MSVSE-E136.*{shown}.*pictures.*'1\.jpg'"):
        convert(write("posts.txt", POSTS), output, **{option: path})
    assert not output.exists()


def test_captions_are_found_without_suffix_and_in_a_list(write, output):
    posts = write("posts.txt", POSTS)
    for text in ("1 :a dog", '[{"image_id": 1, "caption": "a dog"}]'):
        assert convert(posts, output, captions=write("captions", text)).captions_used == 1


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_picture_whose_name_is_too_long_for_a_file_is_a_bad_row(
    write, output, pictures, has_folder
):
    posts = write("posts.jsonl", srsly.json_dumps({**ROW, "image": "iVBORw0KGgo" * 50}))
    settings = {"image_root": pictures} if has_folder else {}
    with pytest.raises(BadRowsError, match=r"posts\.jsonl:1: .*too long.*base64"):
        convert(posts, output, **settings)


def test_a_picture_whose_path_is_too_long_is_a_bad_row(write, output, pictures):
    posts = write("posts.jsonl", srsly.json_dumps({**ROW, "image": "folder/" * 2000 + "1.jpg"}))
    with pytest.raises(BadRowsError, match=r"posts\.jsonl:1: "):
        convert(posts, output, image_root=pictures)


def test_pictures_that_are_git_lfs_pointers_are_not_found_and_named(write, output, pictures):
    (pictures / "2.jpg").write_text(LFS)
    with pytest.warns(UserWarning, match=r"MSVSE-W023.*1 pictures"):
        report = convert(write("posts.txt", POSTS), output, image_root=pictures)
    assert (report.pictures_found, report.pictures_lfs_pointers) == (1, 1)


@pytest.mark.parametrize("name", ["posts.jsonl", "posts.txt"])
def test_a_file_that_is_not_text_is_one_error(write, output, name):
    for content, code in ((LFS, "E130"), ("\0\0", "E131")):
        with pytest.raises(MsvseError, match=rf"MSVSE-{code}.*posts"):
            convert(write(name, content), output, skip_bad_rows=True)


def test_a_folder_in_place_of_posts_is_one_error(tmp_path, output):
    with pytest.raises(MsvseError, match=r"MSVSE-E253.*it is a folder"):
        convert(tmp_path, output, format="conll")


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
    result = run(
        write("posts.txt", POSTS),
        output,
        "-f",
        "conll",
        "--label-map",
        "OTHER=MISC",
        "--label-map",
        "A=B",
    )
    assert result.exit_code == 0
    assert "MISC" in result.output
    assert output.is_file()


def test_command_reads_another_column_and_boxes(write, output, tmp_path, nlp):
    posts = write("posts.txt", "IMGID:1\nAda\tB-person\tB-author\n")
    (tmp_path / "1.xml").write_text("<annotation/>")
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


def test_command_guesses_the_format_and_says_what_it_wrote(write, output):
    result = run(write("posts.txt", POSTS), output)
    assert result.exit_code == 0
    assert "Wrote 3 posts" in " ".join(result.output.split())
    assert "Read as CoNLL" in " ".join(result.output.split())
    result = run(write("posts.xml", "A post of prose\n"), output)
    assert result.exit_code == 1
    assert "MSVSE-E138" in result.output


def test_command_shows_warnings_and_what_was_left_out(write, output):
    rows = [{**ROW, "_view_id": "ner"}, {**ROW, "answer": "reject"}, {"text": 3}]
    posts = write("posts.jsonl", "\n".join(map(srsly.json_dumps, rows)))
    result = run(posts, output, "--skip-bad-rows", "--label-map", "ORG=MISC")
    shown = " ".join(result.output.split())
    assert result.exit_code == 0
    assert "MSVSE-W021" in shown
    assert "MSVSE-W022" in shown
    assert "Posts left out: malformed 1" in shown
    assert "Posts left out: answer 'reject' 1" in shown
    assert "Labels read as spans" in shown


def test_command_fails_if_nothing_is_found_unless_it_is_meant(write, output):
    posts = write("posts.txt", "Ada\tO\n")
    assert "MSVSE-E135" in run(posts, output).output
    assert "MSVSE-E137" in run(posts, output, "--allow-no-entities").output
    assert run(posts, output).exit_code == 1
    assert run(posts, output, "--allow-no-entities", "--allow-no-pictures").exit_code == 0


def test_command_has_the_options_of_jsonl(write, output, nlp):
    row = {**ROW, "text": "😀 Ada sings", "spans": [{**ADA, "start": 3, "end": 6, "text": "Ada"}]}
    posts = write("posts.jsonl", srsly.json_dumps(row))
    assert "--offsets utf16" in " ".join(run(posts, output).output.split())
    assert run(posts, output, "--offsets", "utf16", "--binary").exit_code == 0
    (doc,) = read_docs(output, nlp)
    assert [ent.text for ent in doc.ents] == ["Ada"]
    assert [token.ent_iob_ for token in doc] == ["", "B", ""]


def test_command_says_that_the_output_cannot_be_written(write, tmp_path):
    (tmp_path / "file").touch()
    result = run(write("posts.txt", POSTS), tmp_path / "file" / "posts.spacy")
    assert result.exit_code == 1
    assert "MSVSE-E161" in result.output


@pytest.mark.parametrize("arguments", [("--label-map", "OTHER"), ("-l", "zz")])
def test_command_explains_a_wrong_setting(write, output, arguments):
    result = run(write("posts.txt", POSTS), output, "-f", "conll", *arguments)
    assert result.exit_code == 1
    assert "✘" in result.output


def test_command_is_added_to_spacys_own():
    commands = typer.main.get_command(app).commands
    assert "convert" in commands["msvse"].commands


def test_keys_that_are_not_read_are_counted(write, output):
    """Also those that look like nothing that a post has, such as a mark in the wrong place."""
    row = {**ROW, "caption": "a face", "picture_decides": True, "lang": "en", "_task_hash": 3}
    posts = write("posts.jsonl", "\n".join(map(srsly.json_dumps, [row, {**row, "lang": None}])))
    report = convert(posts, output)
    assert report.other_keys == {"picture_decides": 2, "lang": 1}
    assert not report.unread_keys


def test_files_of_further_texts_are_named_by_their_view():
    assert parse_texts(["knowledge=a=b.json", "ocr=c.txt"]) == {
        "knowledge": Path("a=b.json"),
        "ocr": Path("c.txt"),
    }
    for entries in (["knowledge"], ["=a.json"], ["ocr="], ["ocr=a", "ocr=b"]):
        with pytest.raises(MsvseError, match="MSVSE-E207"):
            parse_texts(entries)
