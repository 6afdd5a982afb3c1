"""A save that is killed at any moment leaves the older pipeline, or the new one, and no mixture."""

import multiprocessing
import time

import pytest
import spacy

from spacy_msvse import make_doc

from ..tiny import COLOURS, entities, picture

#: A fork needs no time to start, so that a moment is a moment of the save.
FORK = multiprocessing.get_context("fork")


def save_again_and_again(saved, folder, ready) -> None:
    ready.set()
    while True:
        saved.to_disk(folder)


def answers(nlp) -> list:
    docs = [make_doc(nlp, "saw jordan today", image=picture(label)) for label in COLOURS]
    return [(entities(doc), [ent._.confidence for ent in doc.ents]) for doc in nlp.pipe(docs)]


def other_pipeline(trained, folder):
    """The same pipeline with other weights."""
    trained.to_disk(folder)
    nlp = spacy.load(folder)
    network = nlp.get_pipe("msvse_ner").model.shims[0].network
    for parameter in network.parameters():
        parameter.data.mul_(0.5)
    nlp.meta["version"] = "9.9.9"
    nlp.to_disk(folder)
    return nlp


def check_kills(trained, tmp_path, moments: list[float], part: str = "") -> None:
    """Kill a process that saves a pipeline, or one component of it, over another pipeline."""
    old, target, new = tmp_path / "old", tmp_path / "target", tmp_path / "new"
    trained.to_disk(old)
    other = other_pipeline(trained, new)
    expected = {"old": answers(trained), "new": answers(other)}
    assert expected["old"] != expected["new"]
    saved = other.get_pipe(part) if part else other
    finished = 0
    for moment in moments:
        spacy.load(old).to_disk(target)
        ready = FORK.Event()
        process = FORK.Process(target=save_again_and_again, args=(saved, target / part, ready))
        process.start()
        ready.wait()
        time.sleep(moment)
        process.kill()
        process.join()
        try:
            loaded = spacy.load(target)
        except Exception:  # of spaCy, which does not replace its own files as a whole
            continue
        assert answers(loaded) in expected.values(), f"a mixture after {moment} s"
        finished += 1
    if part:
        assert finished, "the component's folder is there at almost any moment"


def test_a_killed_save_of_a_pipeline_leaves_no_mixture(trained, tmp_path):
    check_kills(trained, tmp_path, [0.01, 0.03, 0.06])


def test_a_killed_save_of_the_component_leaves_a_whole_one(trained, tmp_path):
    check_kills(trained, tmp_path, [0.005, 0.01, 0.03, 0.06], part="msvse_ner")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "msvse_ner"])
def test_a_save_that_is_killed_at_20_moments_leaves_no_mixture(trained, tmp_path, part):
    check_kills(trained, tmp_path, [0.004 * step for step in range(20)], part)
