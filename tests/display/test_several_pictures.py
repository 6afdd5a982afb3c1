"""Posts with 1, 2 and 5 pictures from a file to a page: convert, extract, train, save, annotate,
render."""

import json

import pytest
import spacy
from spacy.language import Language

from spacy_msvse.corpus.annotate import annotate
from spacy_msvse.corpus.convert import convert
from spacy_msvse.corpus.describe import describe
from spacy_msvse.corpus.jsonl import dump_row, parse_rows, read_rows
from spacy_msvse.corpus.reader import create_corpus
from spacy_msvse.corpus.sources import find_corpus_keys, read_sources
from spacy_msvse.display.gallery import read_gallery
from spacy_msvse.display.page import write_page
from spacy_msvse.vision.extraction import fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.store import FeatureStore

from ..tiny import COLOURS, MeanColour, picture, save_encoder, tiny_pipeline, train

PICTURES = {"ORG": ["o.png"], "PER": ["o.png", "p.png"], "LOC": [f"{n}.png" for n in range(5)]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three posts in a file, and their pictures."""
    folder = tmp_path_factory.mktemp("posts")
    (folder / "o.png").write_bytes(picture("ORG"))
    (folder / "p.png").write_bytes(picture("PER"))
    for number in range(5):
        (folder / f"{number}.png").write_bytes(picture("LOC", seed=number))
    with (folder / "posts.jsonl").open("w") as file_:
        for label, images in PICTURES.items():
            span = {"start": 4, "end": 10, "label": label}
            row = {"text": "saw jordan today", "image": images[0], "images": images}
            file_.write(json.dumps({**row, "spans": [span]}) + "\n")
    return folder


@pytest.fixture(scope="module")
def nlp(folder, tmp_path_factory) -> Language:
    """A pipeline that was trained on them and loaded again."""
    report = convert(folder / "posts.jsonl", folder / "posts.spacy", image_root=folder)
    assert (report.pictures_referenced, report.pictures_found) == (8, 8)
    nlp = tiny_pipeline(save_encoder(tmp_path_factory.mktemp("encoder")), max_pictures=5)
    examples = list(create_corpus(folder / "posts.spacy", image_root=folder)(nlp))
    assert [len(example.predicted._.images) for example in examples] == [1, 2, 5]
    train(nlp, examples, steps=40)
    nlp.to_disk(folder / "pipeline")
    return spacy.load(folder / "pipeline")


def test_annotation_reads_all_pictures_and_its_rows_can_be_read_again(nlp, folder, tmp_path):
    rows = list(annotate(nlp, read_rows(folder / "posts.jsonl"), image_root=folder, n_process=0))
    assert [row.problem for row in rows] == [None] * 3
    found = [[span["label"] for span in row.values["spans"]] for row in rows]
    assert found == [[label] for label in PICTURES]
    path = tmp_path / "annotated.jsonl"
    path.write_text("".join(dump_row(row.values) for row in rows))
    assert [post.images for post in parse_rows(read_rows(path), [])] == [*PICTURES.values()]


def test_pictures_that_are_not_read_are_named_in_the_row(nlp, folder):
    component = nlp.get_pipe("msvse_ner")
    component.max_pictures = 2
    try:
        with pytest.warns(UserWarning, match=r"MSVSE-W062.*`max_pictures` \(2\): 1"):
            rows = list(
                annotate(nlp, read_rows(folder / "posts.jsonl"), image_root=folder, n_process=0)
            )
    finally:
        component.max_pictures = 5
    expected = "only the first 2 pictures are read (`max_pictures`)"
    assert [row.problem for row in rows] == [None, None, expected]
    assert rows[2].values["error"] == expected
    assert rows[2].values["spans"]


def test_a_page_shows_every_picture(nlp, folder, tmp_path):
    component = nlp.get_pipe("msvse_ner")
    component.image_root = folder
    report = write_page(nlp, folder / "posts.jsonl", tmp_path / "page.html", image_root=folder)
    html = (tmp_path / "page.html").read_text()
    assert (report.posts, report.bad_rows, report.unreadable) == (3, [], [])
    assert html.count("<img ") == 8
    assert html.count("Without picture 5") == 1
    assert html.count("Without picture 1<") == 2


def test_the_gallery_shows_every_picture(folder):
    gallery = read_gallery(folder / "posts.jsonl", folder)
    assert [tile.count("<img ") for _, tile in gallery] == [1, 2, 5]


@pytest.mark.usefixtures("nlp")
def test_a_store_is_filled_with_each_picture_once(folder, tmp_path):
    extractor = VisualExtractor(regions=MeanColour(), tags=MeanColour())
    with FeatureStore(tmp_path) as store:
        path = folder / "posts.spacy"
        with pytest.warns(UserWarning, match=r"MSVSE-W062.*`max_pictures` \(2\): 1"):
            fill_store(extractor, read_sources(path, [], max_pictures=2), store, image_root=folder)
        assert len(store) == 4
        report = fill_store(
            extractor, read_sources(path, [], max_pictures=5), store, image_root=folder
        )
        assert (len(store), report.failed) == (7, [])
        keys, problems = find_corpus_keys([folder / "posts.spacy"], folder)
        assert problems == []
        assert {key for key, _, _ in store.scan()} <= keys


def test_descriptions_of_all_pictures_are_joined(folder):
    rows = describe(
        VisualExtractor(tags=MeanColour()), read_rows(folder / "posts.jsonl"), image_root=folder
    )
    with pytest.warns(UserWarning, match=r"MSVSE-W062.*`max_pictures` \(4\): 1"):
        rows = list(rows)
    assert [row.values["tags"] for row in rows] == [["blue"], ["blue", "red"], ["green"]]
    assert set(COLOURS) == set(PICTURES)
