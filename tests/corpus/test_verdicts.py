"""An error of training fails, a weakness gives a warning, and nothing else does."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_msvse import make_doc
from spacy_msvse.corpus.audit import Audit, Leak, Occurrences, PictureProblem, SplitAudit, audit
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.corpus.verdicts import FAIL, GOOD, RARE_LABEL, WARN, judge
from spacy_msvse.vision.picture import PictureError

VIEWS = ("regions", "tags", "caption")
PROBLEM = PictureProblem(1, "a.jpg", "[MSVSE-E020] Picture 'a.jpg' cannot be read: gone.")


def split(**changes) -> SplitAudit:
    """A split that is fine in every respect, but for the changes."""
    fine = {
        "posts": 200,
        "labels": Counter(PER=100),
        "pictures": 200,
        "readable": 200,
        "views": Counter(dict.fromkeys(VIEWS, 200)),
    }
    return SplitAudit(**{**fine, **changes})


def save(folder: Path, doc: Doc) -> Path:
    DocBin(docs=[doc], store_user_data=True).to_disk(folder / "posts.spacy")
    return folder / "posts.spacy"


def verdicts(train=None, dev=None, leaks=(), image_root=None, level=None, **settings):
    """The verdicts of one level as (topic, message)."""
    splits = {"train": train or split()} | ({} if dev is None else {"dev": dev})
    found = judge(Audit(splits, list(leaks), image_root, VIEWS), **settings)
    return [(one.topic, one.message) for one in found if level in (None, one.level)]


def only(level, **settings) -> str:
    """The one verdict that is not good."""
    found = [(one, text) for one in (WARN, FAIL) for _, text in verdicts(level=one, **settings)]
    assert [one for one, _ in found] == [level], found
    return found[0][1]


def test_a_good_corpus_passes():
    leaks = [Leak("text", "train", "dev", Occurrences())]
    assert not verdicts(dev=split(), leaks=leaks, level=WARN)
    assert not verdicts(dev=split(), leaks=leaks, level=FAIL)
    topics = {topic for topic, _ in verdicts(dev=split(), leaks=leaks, level=GOOD)}
    assert topics == {"Posts", "Entities", "Pictures", "Views", "Leakage"}


def test_nothing_to_learn_fails():
    assert "train: no posts" in only(FAIL, train=SplitAudit())
    assert "train: no entities" in only(FAIL, train=split(labels=Counter()))


def test_nothing_to_score_is_warned_about():
    assert "dev: no posts" in only(WARN, dev=SplitAudit())
    assert "dev: no entities" in only(WARN, dev=split(labels=Counter()))


def test_unreadable_pictures_fail_only_if_nothing_visual_is_left():
    """As in training: tags, captions, texts or region vectors of any post suffice."""
    blind = {"readable": 0, "missing": [PROBLEM] * 200, "views": Counter(caption=2)}
    assert verdicts(train=split(**blind, described=0), level=FAIL) == [
        (
            "Pictures",
            "train: none of 200 pictures can be read, and no post gives tags or a caption: "
            "nothing visual can be learned",
        )
    ]
    assert not verdicts(train=split(**blind, described=2), level=FAIL)


@pytest.mark.parametrize("status", ["missing", "broken"])
def test_some_unreadable_pictures_are_warned_about_by_name(status):
    train = split(readable=199, **{status: [PROBLEM]})
    assert only(WARN, train=train) == f"train: {status} pictures: 1 of 200"
    found = judge(Audit({"train": train}, [], None, VIEWS))
    assert [one.examples for one in found if one.level == WARN] == [[f"post 1: {PROBLEM.reason}"]]


def test_pictures_outside_the_folder_fail_if_there_is_a_folder(tmp_path):
    """The reader raises an error then."""
    train = split(readable=199, refused=[PROBLEM])
    assert "must not be read" in only(FAIL, train=train, image_root="pictures")
    assert "must not be read" in only(WARN, train=train)
    nlp = spacy.blank("en")
    path = save(tmp_path, make_doc(nlp, "saw Jordan", image="../a.jpg"))
    with pytest.raises(PictureError, match="MSVSE-E021"):
        list(Corpus(path, image_root=tmp_path)(nlp))


@pytest.mark.filterwarnings("ignore:.*MSVSE-W009")
def test_failures_are_those_of_training(tmp_path):
    """`initialize` raises an error for each failure."""
    nlp = spacy.blank("en")
    nlp.add_pipe("msvse_ner")  # the error comes before the weights are loaded
    unlabelled = make_doc(nlp, "nothing here")
    unreadable = make_doc(nlp, "saw Jordan", image="gone.jpg")
    unreadable.set_ents([Span(unreadable, 1, 2, label="PER")])
    for doc, error in ((unlabelled, "MSVSE-E004"), (unreadable, "MSVSE-E009")):
        path = save(tmp_path, doc)
        assert FAIL in [one.level for one in judge(audit({"train": path}, nlp))]
        with pytest.raises(ValueError, match=error):
            nlp.initialize(partial(Corpus(path), nlp))


def test_a_corpus_of_text_alone_is_warned_about_once():
    train = split(pictures=0, readable=0, views=Counter())
    assert "only the text is read" in only(WARN, train=train)


def test_a_view_that_will_be_masked_is_warned_about():
    train = split(views=Counter(regions=200, tags=1, caption=2))
    assert only(WARN, train=train).startswith("tags: ")
    assert "0.50%), less than 1.00%: it will be masked" in only(WARN, train=train)
    assert not verdicts(train=train, min_view_share=0.005, level=WARN)


def test_labels_that_are_rare_or_unseen_are_warned_about():
    labels = Counter(PER=100, LOC=RARE_LABEL)
    assert only(WARN, train=split(labels=labels)).endswith(f"LOC ({RARE_LABEL})")
    dev = split(labels=Counter(PER=2, ORG=1))
    assert only(WARN, dev=dev) == "dev: labels that training lacks: ORG (1)"


@pytest.mark.parametrize(
    ("train", "dev", "named"),
    [
        (["Pet", "PET", "B-PET"], ["LOC"], "probably one: 'B-PET' (99), 'PET' (99), 'Pet' (99)"),
        (["PER"], ["PER", "PER "], "probably one: 'PER' (198), 'PER ' (99)"),
        (["creative-work", "Creative Work"], [], "'Creative Work' (99), 'creative-work' (99)"),
        (["PER "], ["PER "], "blank at an edge, or with a prefix: 'PER ' (198)"),
        (["I-PER"], ["I-PER"], "blank at an edge, or with a prefix: 'I-PER' (198)"),
    ],
)
def test_labels_that_are_probably_one_are_named(train, dev, named):
    splits = [split(labels=Counter(dict.fromkeys(labels, 99))) for labels in (train, dev)]
    found = [message for _, message in verdicts(*splits, level=WARN)]
    assert sum("a prefix" in message or "probably one" in message for message in found) == 1
    assert any(named in message for message in found)


@pytest.mark.parametrize(
    "name",
    [
        "empty_posts",
        "unannotated_posts",
        "partly_annotated_posts",
        "misaligned_entities",
        "whitespace_edges",
        "punctuation_edges",
        "repeated_texts",
        "shared_pictures",
        "repeated_posts",
    ],
)
def test_each_kind_of_occurrence_gives_a_warning_with_examples(name):
    train = split(**{name: Occurrences(3, ["post 1", "post 2"])})
    assert only(WARN, train=train).endswith(": 3")
    found = judge(Audit({"train": train}, [], None, VIEWS))
    assert [one.examples for one in found if one.level == WARN] == [["post 1", "post 2"]]


def test_leaks_are_warned_about():
    leak = Leak("picture", "train", "dev", Occurrences(2, ["post 1: a.jpg"]))
    message = only(WARN, dev=split(), leaks=[leak])
    assert message == "dev: posts with the picture of a post of train: 2"


def test_region_vectors_that_stop_training_fail():
    bad = Occurrences(1, ["post 1: image_features"])
    assert "cannot be used" in only(FAIL, train=split(bad_values=bad))
    assert "width" in only(FAIL, train=split(region_widths=Counter({8: 3, 16: 1})))
    train = split(region_widths=Counter({8: 3}))
    assert not verdicts(train=train, dev=split(region_widths=Counter({8: 1})), level=FAIL)
    assert "dev" in only(FAIL, train=train, dev=split(region_widths=Counter({16: 1})))


def test_an_unnamed_picture_folder_is_suggested_if_every_picture_is_missing():
    hint = "name it with --image-root"
    assert hint in only(WARN, train=split(readable=0, described=5, missing=[PROBLEM] * 200))
    assert hint not in only(WARN, train=split(readable=199, missing=[PROBLEM]))
