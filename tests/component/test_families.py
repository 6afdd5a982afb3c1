"""Every encoder family learns from the picture, through the prefixes."""

import pytest
import spacy

from spacy_msvse import make_doc
from spacy_msvse.network.encoders.families import FAMILIES

from ..tiny import (
    COLOURS,
    NAMES,
    ambiguous_examples,
    entities,
    picture,
    save_encoder,
    tiny_pipeline,
    train,
)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family_pipeline(request, tmp_path_factory):
    """A pipeline of a family, trained from random weights on 40 posts. Only prefixes connect the
    picture with the labels, because no view is joined to the text."""
    spacy.util.fix_random_seed(0)
    encoder = save_encoder(tmp_path_factory.mktemp(request.param), request.param)
    nlp = tiny_pipeline(encoder, model={"joint_views": []})
    examples = ambiguous_examples(nlp, copies=4)[:40]
    train(nlp, examples, steps=60, rate=5e-3)
    return nlp, examples


def test_it_learns_forty_posts(family_pipeline):
    nlp, examples = family_pipeline
    assert nlp.evaluate(examples)["ents_f"] >= 0.99


def test_another_picture_changes_the_label(family_pipeline):
    nlp, _ = family_pipeline
    for name in NAMES[:2]:
        answers = {
            label: entities(nlp(make_doc(nlp, f"saw {name} today", image=picture(label))))
            for label in COLOURS
        }
        assert answers == {label: [(name, label)] for label in COLOURS}


def test_it_is_saved_and_loaded_bit_by_bit(family_pipeline, tmp_path):
    nlp, examples = family_pipeline
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    docs = [example.predicted for example in examples[:5]]
    ours, theirs = (each.get_pipe("msvse_ner").predict(docs) for each in (nlp, loaded))
    assert [p.entities for p in ours] == [p.entities for p in theirs]
    assert [p.visual_entities for p in ours] == [p.visual_entities for p in theirs]
