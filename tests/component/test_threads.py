"""One pipeline in several threads, as in a web server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from spacy_msvse import make_doc

from ..tiny import COLOURS, NAMES, mixed_examples, picture, tiny_pipeline, train

NUM_THREADS, ROUNDS = 8, 6


@pytest.fixture(scope="module")
def trained(encoder):
    nlp = tiny_pipeline(encoder)
    train(nlp, mixed_examples(nlp), steps=15)
    return nlp


def posts(nlp) -> list:
    """Posts with and without a picture, short and long, and an empty one."""
    docs = [
        make_doc(nlp, f"saw {name} today " * repeats, image=picture(label, seed=repeats))
        for repeats, name in enumerate(NAMES, start=1)
        for label in COLOURS
    ]
    return [*docs, make_doc(nlp, "nice jordan"), make_doc(nlp, "")]


def answer(doc) -> list:
    entities = [(ent.start, ent.end, ent.label_, round(ent._.confidence, 4)) for ent in doc.ents]
    return [entities, doc._.image_status]


def test_threads_get_the_answers_of_one_thread(trained):
    expected = [answer(trained(doc)) for doc in posts(trained)]
    # The piece encoder is created at the first use. Here several threads create it again.
    trained.get_pipe("msvse_ner").model.shims[0].piece_encoder = None

    def work(_):
        return [answer(trained(doc)) for _ in range(ROUNDS) for doc in posts(trained)]

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for found in pool.map(work, range(NUM_THREADS)):
            assert found == expected * ROUNDS


def test_attention_is_recorded_for_the_thread_that_asks(trained):
    component = trained.get_pipe("msvse_ner")
    docs = posts(trained)[:4]

    def explain(_):
        return [[e.attention for e in one] for one in component.explain_pictures(docs)]

    def predict(_):
        return [answer(doc) for doc in trained.pipe(posts(trained))]

    attention, answers = explain(0), predict(0)
    assert any(paid for post in attention for paid in post)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        explained = [pool.submit(explain, 0) for _ in range(NUM_THREADS)]
        predicted = [pool.submit(predict, 0) for _ in range(NUM_THREADS)]
        for future in explained:
            for found, expected in zip(future.result(), attention, strict=True):
                assert [e.keys() for e in found] == [e.keys() for e in expected]
                for one, other in zip(found, expected, strict=True):
                    assert one == pytest.approx(other, abs=1e-5)
        assert all(future.result() == answers for future in predicted)
