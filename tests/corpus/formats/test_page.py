"""The examples of docs/formats.md are read as the page says."""

import re
from pathlib import Path

import pytest

from spacy_msvse.corpus.formats.options import ReadOptions
from spacy_msvse.corpus.formats.recognise import SUFFIXES
from spacy_msvse.corpus.formats.table import FORMATS, open_posts
from spacy_msvse.corpus.jsonl import parse_rows

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")


def examples(section: str) -> list[str]:
    """The blocks of data of a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```(?:json|text)\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(
    ("section", "number", "title", "entities"),
    [
        ("Our rows", 0, "JSONL", 1),
        ("doccano", 0, "doccano in JSONL", 4),
        ("Label Studio", 0, "tasks of Label Studio in a JSON array", 1),
        ("Label Studio", 1, "JSON_MIN of Label Studio in a JSON array", 1),
        ("Hugging Face", 0, "tokens and labels in JSONL", 1),
        ("CSV and TSV", 0, "CSV", 1),
        ("CoNLL", 0, "CoNLL", 1),
    ],
)
def test_an_example_is_recognised_and_read(tmp_path, nlp, section, number, title, entities):
    path = tmp_path / "posts"
    path.write_text(examples(section)[number], encoding="utf-8")
    labels = {41: "PER"} if section == "doccano" else {0: "O", 1: "B-PER", 2: "I-PER"}
    posts = open_posts(path, ReadOptions(labels=labels))
    assert posts.title == title
    bad_rows = []
    docs = [post.to_doc(nlp) for post in parse_rows(posts.rows, bad_rows)]
    assert not bad_rows
    assert sum(len(doc.ents) for doc in docs) == entities


def test_the_page_names_every_format_and_every_suffix():
    for name in (*FORMATS, *SUFFIXES):
        assert f"`{name}`" in PAGE


def test_the_python_of_the_page_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "Ada sings  (Ada,)\n"
