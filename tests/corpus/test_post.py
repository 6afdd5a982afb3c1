"""Posts of files as Docs."""

from pathlib import Path

import pytest

from spacy_msvse.corpus.post import PostRow
from spacy_msvse.errors import MsvseError


def post_row(text, *entities):
    return PostRow(Path("posts"), 1, text, list(entities))


def test_labels_are_renamed(nlp):
    doc = post_row("Ada Bob", (0, 3, "OTHER"), (4, 7, "PER")).to_doc(nlp, {"OTHER": "MISC"})
    assert [ent.label_ for ent in doc.ents] == ["MISC", "PER"]


def test_renaming_does_not_merge_adjacent_entities(nlp):
    doc = post_row(["Ada", "Bob"], (0, 3, "A"), (4, 7, "B")).to_doc(nlp, {"A": "B"})
    assert [ent.text for ent in doc.ents] == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("entities", "reason"),
    [
        ([(0, 2, "PER")], "cuts through a token"),
        ([(0, 4, "PER")], "cuts through a token"),
        ([(0, 99, "PER")], "outside the text"),
        ([(-3, 3, "PER")], "outside the text"),
        ([(3, 3, "PER")], "outside the text"),
        ([(0, 7, "PER"), (4, 7, "LOC")], "overlap"),
        ([(0, 3, "PER"), (0, 3, "LOC")], r"'Ada' \(LOC\) and 'Ada' \(PER\) overlap"),
        ([(0, 3, "")], "empty label"),
        ([(0, 3, " ")], "empty label"),
    ],
)
def test_an_entity_that_does_not_fit_is_refused(nlp, entities, reason):
    with pytest.raises(MsvseError, match=reason):
        post_row("Ada Bob", *entities).to_doc(nlp)


@pytest.mark.parametrize("text", ["", []])
def test_a_post_without_tokens_is_refused(nlp, text):
    with pytest.raises(MsvseError, match="no tokens"):
        post_row(text).to_doc(nlp)
