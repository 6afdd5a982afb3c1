"""The two readings of a post: which of them stays."""

from pathlib import Path

import pytest
import spacy

from spacy_msvse.corpus.ask_below import Annotated, Asking, AskingWork, Reading
from spacy_msvse.corpus.rows import Row

pytest.importorskip("aiohttp")

UNSURE = Reading(confidence=0.4, lacks=True, answered=False)


def row(number, **values):
    return Row(Path("posts.jsonl"), number, values, values.get("error"))


def work(*passes):
    """Work whose passes over the posts are given, and the rows that each pass got."""
    got, results = [], iter(passes)

    def annotate(rows):
        got.append([one.line for one in rows])
        return next(results)

    asking = Asking("http://127.0.0.1:9/v1", below=0.5)
    return AskingWork(spacy.blank("en"), asking, annotate), got


def test_only_a_reading_with_an_answer_replaces_the_first_one():
    answered = Reading(0.3, lacks=False, answered=True)
    first = [Annotated(row(n, spans=["first"]), UNSURE) for n in range(4)]
    second = [
        Annotated(row(0, spans=["second"]), answered),
        Annotated(row(1, spans=["second"], error="no answer"), UNSURE),
        Annotated(row(2, error="'msvse_ner' failed"), None),
        Annotated(row(3, spans=["second"]), UNSURE),
    ]
    annotate, got = work(first, second)
    found = annotate([row(n) for n in range(4)])
    assert got == [[0, 1, 2, 3]] * 2
    assert [one.row.values for one in found] == [
        {"spans": ["second"]},
        {"spans": ["first"], "error": "no answer"},
        {"spans": ["first"], "error": "'msvse_ner' failed"},
        {"spans": ["first"]},
    ]
    assert [one.row.problem for one in found] == [None, "no answer", "'msvse_ner' failed", None]
    # Nothing could be asked about the last one.
    assert [one.asked for one in found] == [True, True, True, False]


def test_a_post_is_read_again_if_it_lacks_the_view_and_is_below_the_threshold():
    first = [
        Annotated(row(0), Reading(0.5, lacks=True, answered=False)),
        Annotated(row(1), Reading(0.4, lacks=False, answered=False)),
        Annotated(row(2), Reading(0.4, lacks=False, answered=True)),
        Annotated(row(3), None),
        Annotated(row(4), UNSURE),
        # One of two views is stored.
        Annotated(row(5), Reading(0.4, lacks=True, answered=True)),
    ]
    annotate, got = work(first, [first[4], first[5]])
    found = annotate([row(n) for n in range(6)])
    assert got == [[0, 1, 2, 3, 4, 5], [4, 5]]
    assert [one.asked for one in found] == [False, False, True, False, False, True]


def test_without_an_unsure_post_there_is_one_pass():
    annotate, got = work([Annotated(row(0), Reading(0.9, lacks=True, answered=False))])
    assert [one.asked for one in annotate([row(0)])] == [False]
    assert got == [[0]]
