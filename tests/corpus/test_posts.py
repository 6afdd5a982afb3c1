"""`read_posts` and `make_docs`: rows from any source, and Docs of them."""

import inspect
import json

import numpy
import pandas
import pytest
import spacy
from PIL import Image
from spacy.training import Example

from spacy_msvse import make_docs, make_examples, read_posts
from spacy_msvse.corpus.jsonl import dump_row
from spacy_msvse.errors import MsvseError

from ..tiny import COLOURS, NAMES, save_encoder

SPANS = [{"start": 0, "end": 3, "label": "PER"}]


def test_rows_of_any_source_have_one_shape(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Ada", "image": "1.jpg", "spans": SPANS}))
    (tmp_path / "b.json").write_text(json.dumps([{"text": "Ada", "label": [[0, 3, "PER"]]}]))
    (tmp_path / "c.txt").write_text("IMGID:1\nAda\tB-PER\n")
    (tmp_path / "d.csv").write_text("id,text\n7,Ada\n")
    sources = [tmp_path / name for name in ("a.jsonl", "b.json", "c.txt", "d.csv")]
    rows = [row for source in sources for row in read_posts(source)]
    assert rows == [
        {"text": "Ada", "image": "1.jpg", "spans": SPANS},
        {"text": "Ada", "spans": SPANS},
        {"words": ["Ada"], "image": "1.jpg", "spans": SPANS, "meta": {"id": "1"}},
        {"text": "Ada", "id": "7"},
    ]


def test_spans_count_characters_whatever_the_source_counts(nlp):
    rows = [
        {
            "text": "😀 Ada",
            "spans": [
                {"start": 3, "end": 6, "label": "PER", "score": 0.5},
                {"start": 0, "end": 2, "label": "X", "answer": "reject"},
            ],
            "answer": "accept",
            "caption": None,
        }
    ]
    (row,) = read_posts(rows, offsets="utf16")
    assert row == {
        "text": "😀 Ada",
        "spans": [{"start": 2, "end": 5, "label": "PER", "score": 0.5}],
    }
    (doc,) = make_docs(nlp, [row])
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "PER")]


def test_rows_that_were_read_are_read_again_equal():
    source = [
        {"text": "Ada", "spans": SPANS, "image": Image.new("RGB", (2, 2)), "id": 3},
        {"words": ["Ada"], "spans": []},
        {"text": "Ada", "answer": "reject"},
        {"text": "Ada", "meta": {"id": 1}, "tags": ["dog"], "texts": {"ocr": "SALE"}},
    ]
    rows = list(read_posts(source))
    assert len(rows) == 3
    assert list(read_posts(rows)) == rows
    again = list(read_posts([json.loads(dump_row(row)) for row in rows]))
    assert again == rows


def test_names_of_labels_may_be_a_list(nlp):
    rows = read_posts([{"tokens": ["Ada"], "ner_tags": [1]}], labels=["O", "B-PER"])
    assert [row["spans"] for row in rows] == [SPANS]


def test_the_first_row_that_cannot_be_used_is_an_error_unless_a_list_is_given(nlp):
    source = [{"text": "Ada"}, {"text": 3}, "Ada", {"text": "Bob"}]
    with pytest.raises(MsvseError, match=r"MSVSE-E030\] rows:2: 'text'"):
        list(read_posts(source))
    bad_rows = []
    assert [row["text"] for row in read_posts(source, bad_rows=bad_rows)] == ["Ada", "Bob"]
    assert [row.line for row in bad_rows] == [2, 3]

    source = [{"text": "Ada"}, {"text": "Ada", "spans": [{**SPANS[0], "end": 2}]}, 3, {"text": ""}]
    with pytest.raises(MsvseError, match=r"MSVSE-E030\] rows:2: entity 0-2 'Ad' cuts"):
        list(make_docs(nlp, source))
    bad_rows = []
    assert len(list(make_docs(nlp, source, bad_rows=bad_rows))) == 1
    assert [row.line for row in bad_rows] == [2, 3, 4]


def test_docs_have_gold_entities_pictures_and_descriptions(nlp, tmp_path):
    rows = [
        {"text": "Ada", "spans": SPANS, "image": "1.jpg", "caption": "a dog"},
        {"text": "Ada", "image": b"png"},
        {"text": "Ada", "spans": [], "answer": "ignore"},
    ]
    first, second = make_docs(nlp, rows, image_root=tmp_path, label_map={"PER": "PERSON"})
    assert [(ent.text, ent.label_) for ent in first.ents] == [("Ada", "PERSON")]
    assert (first._.image, first._.image_caption) == (str(tmp_path / "1.jpg"), "a dog")
    assert not second.has_annotation("ENT_IOB")
    assert second._.image == b"png"


def test_several_pictures_come_from_any_source(nlp, tmp_path):
    images = ["a.png", "b.png"]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Ada", "images": images}))
    (tmp_path / "b.json").write_text(json.dumps([{"text": "Ada", "images": images}]))
    task = {"data": {"text": "Ada", "images": [f"/data/local-files/?d={one}" for one in images]}}
    (tmp_path / "c.json").write_text(json.dumps([{**task, "annotations": []}]))
    (tmp_path / "d.txt").write_text("WID:Lk1,Lk2\nAda\tB-PER\n")
    frame = pandas.DataFrame({"text": ["Ada", "Bob"], "images": [images, None]})
    frame.to_parquet(tmp_path / "e.parquet")
    given = [*(tmp_path / name for name in ("a.jsonl", "b.json", "c.json", "d.txt", "e.parquet"))]
    for source in (*given, frame, pandas.read_parquet(tmp_path / "e.parquet")):
        rows = [*read_posts(source)]
        expected = ["Lk1.jpg", "Lk2.jpg"] if source is given[3] else images
        docs = [*make_docs(nlp, rows)]
        assert [doc._.images for doc in docs] == [expected, []][: len(docs)]
        again = [*make_docs(nlp, [json.loads(dump_row(row)) for row in rows], image_root=tmp_path)]
        whole = [str(tmp_path / name) for name in expected]
        assert [doc._.images for doc in again] == [whole, []][: len(docs)]


def test_a_picture_outside_its_folder_is_refused(nlp, tmp_path):
    rows = [{"text": "Ada", "image": "../1.jpg"}]
    with pytest.raises(MsvseError, match=r"rows:1: \[MSVSE-E021"):
        list(make_docs(nlp, rows, image_root=tmp_path))


def train_and_annotate(frame, encoder, folder):
    posts = frame.rename(columns={"picture": "image"})
    posts["spans"] = [
        [{"start": text.index(name), "end": text.index(name) + len(name), "label": label}]
        for text, name, label in zip(frame.text, frame.name, frame.label, strict=True)
    ]
    new = posts[["text", "image"]]
    nlp = spacy.blank("en")
    model = {"encoder": encoder, "prefix_length": 2, "prefix_width": 16}
    model["learning_rate_factors"] = {"encoder": 1.0}
    vision = {view: {"@misc": "tests.MeanColour.v1"} for view in ("regions", "tags")}
    vision["@misc"] = "spacy-msvse.VisualExtractor.v1"
    nlp.add_pipe("msvse_ner", config={"model": model, "vision": vision})
    gold, bare = (make_docs(nlp, read_posts(source)) for source in (posts, new))
    examples = [Example(*pair) for pair in zip(bare, gold, strict=True)]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 3e-3
    for _ in range(40):
        nlp.update(examples, sgd=optimizer, drop=0.0)
    nlp.to_disk(folder)
    trained = spacy.load(folder)
    docs = trained.pipe(make_docs(trained, read_posts(new)))
    return frame.assign(entities=[[(ent.text, ent.label_) for ent in doc.ents] for doc in docs])


def test_from_a_frame_to_a_saved_pipeline_and_back_to_a_frame_in_25_lines(tmp_path):
    made = [(name, label) for name in NAMES for label in COLOURS]
    frame = pandas.DataFrame(made, columns=["name", "label"])
    frame["text"] = [f"saw {name} today" for name in frame.name]
    frame["picture"] = [numpy.full((12, 16, 3), COLOURS[one], "uint8") for one in frame.label]
    spacy.util.fix_random_seed(0)
    found = train_and_annotate(frame, save_encoder(tmp_path / "encoder"), tmp_path / "pipeline")
    assert [list(entities) for entities in found.entities] == [[pair] for pair in made]
    assert len(inspect.getsource(train_and_annotate).splitlines()) <= 25


def test_examples_have_the_pictures_and_not_the_answers_on_the_side_to_be_predicted():
    nlp = spacy.blank("en")
    rows = [
        {
            "text": "saw jordan",
            "image": "p.png",
            "spans": [{"start": 4, "end": 10, "label": "PER"}],
        },
        {"words": ["so", "rare!"], "spans": [], "meta": {"types": ["PER"]}},
    ]
    examples = list(make_examples(nlp, rows))
    assert [example.predicted.ents for example in examples] == [(), ()]
    assert not any(example.predicted.has_annotation("ENT_IOB") for example in examples)
    assert examples[0].reference.ents[0].label_ == "PER"
    assert examples[0].predicted._.images == ["p.png"]
    assert [token.text for token in examples[1].predicted] == ["so", "rare!"]
    assert examples[1].predicted._.covered_types == examples[1].reference._.covered_types
