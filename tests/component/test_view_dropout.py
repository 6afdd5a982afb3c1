"""A share of the posts is trained without a view, so that the pipeline serves posts without it."""

import random
from unittest.mock import patch

import pytest
import torch

from spacy_msvse import make_doc
from spacy_msvse.component.encode import PieceEncoder
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, picture, tiny_pipeline

VIEWS = ("regions", "tags", "caption")


def trained(encoder, steps=3, pictures=True, **settings):
    """A pipeline after some steps; and the views that each of its posts had in them."""
    nlp = tiny_pipeline(encoder, **settings)
    examples, seen = ambiguous_examples(nlp), []
    torch.manual_seed(0)
    random.seed(0)
    optimizer = nlp.initialize(lambda: examples)
    if not pictures:
        for example in examples:
            example.predicted._.image = None

    def record(encoder, posts):
        seen.extend({v for v, status in post.status.items() if status == "used"} for post in posts)
        return encode(encoder, posts)

    encode = PieceEncoder.encode
    torch.manual_seed(0)
    random.seed(0)
    with patch.object(PieceEncoder, "encode", record):
        for _ in range(steps):
            nlp.update(examples, sgd=optimizer, drop=0.0)
    return nlp, seen


def weights(nlp):
    return nlp.get_pipe("msvse_ner").require_network().state_dict()


def differ(one, other) -> bool:
    return any(not torch.equal(weights(one)[name], weights(other)[name]) for name in weights(one))


def test_without_a_rate_nothing_changes(encoder):
    plain, seen = trained(encoder)
    assert not differ(plain, trained(encoder, view_dropout=dict.fromkeys(VIEWS, 0.0))[0])
    assert all(views == {*VIEWS} for views in seen)


def test_with_a_rate_of_one_training_is_that_without_the_view(encoder):
    dropped, seen = trained(encoder, view_dropout=dict.fromkeys(VIEWS, 1.0))
    assert not any(seen)
    absent, _ = trained(encoder, pictures=False)
    assert not differ(dropped, absent)
    assert differ(dropped, trained(encoder)[0])


def test_each_view_is_drawn_for_each_post_in_each_step(encoder):
    _, seen = trained(encoder, steps=30, view_dropout={"tags": 0.5})
    share = sum("tags" in views for views in seen) / len(seen)
    assert 0.35 < share < 0.65
    assert all({"regions", "caption"} <= views for views in seen)
    assert trained(encoder, steps=30, view_dropout={"tags": 0.5})[1] == seen, "drawn by the seed"


def test_a_prediction_reads_all_views(encoder):
    nlp, _ = trained(encoder, view_dropout=dict.fromkeys(VIEWS, 0.5))
    doc = nlp(make_doc(nlp, "saw jordan today", image=picture("PER")))
    assert doc._.image_status == dict.fromkeys(VIEWS, "used")


def test_a_rate_of_a_view_that_is_not_read_is_named(encoder):
    nlp = tiny_pipeline(encoder, view_dropout={"knowlege": 0.3})
    with pytest.warns(UserWarning, match="MSVSE-W053.*knowlege.*regions, tags, caption"):
        nlp.initialize(lambda: ambiguous_examples(nlp))


@pytest.mark.parametrize("rates", [{"tags": 1.5}, {"tags": -0.1}, {"tags": "half"}, ["tags"], 0.5])
def test_rates_are_shares(encoder, rates):
    with pytest.raises((MsvseError, ValueError), match="view_dropout"):
        tiny_pipeline(encoder, view_dropout=rates)
