"""Posts with several pictures in a pipeline."""

import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.component.architectures import get_piece_encoder
from spacy_msvse.component.reader import Reader, given_views
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.controls import no_picture, shuffled
from spacy_msvse.vision.store import FeatureStore

from ..tiny import COLOURS, NAMES, MeanColour, entities, picture, reasons, tiny_pipeline, train

LABELS = tuple(COLOURS)


def grey(seed: int) -> bytes:
    """A picture that shows no type."""
    from io import BytesIO

    from PIL import Image

    noise = np.random.default_rng(seed).integers(90, 110, (12, 16, 3)).astype("uint8")
    stream = BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def second_decides(nlp: Language, seed: int = 0) -> list[Example]:
    """Posts of one text for each type. The first picture is grey; the second one decides."""
    examples = []
    for number, name in enumerate(NAMES):
        for label in LABELS:
            images = [grey(10 * seed + number), picture(label, seed=seed)]
            doc = make_doc(nlp, f"saw {name} today", images=images)
            examples.append(Example.from_dict(doc, {"entities": [(4, 4 + len(name), label)]}))
    return examples


@pytest.fixture(scope="module")
def trained(encoder) -> Language:
    """A pipeline that has learned from posts whose second picture decides. Do not change it."""
    nlp = tiny_pipeline(encoder)
    train(nlp, second_decides(nlp))
    return nlp


def ner(nlp: Language):
    return nlp.get_pipe("msvse_ner")


def found(doc: Doc) -> list:
    """The entities. A confidence depends a little on the other posts of a batch."""
    return [(e.start, e.end, e.label_, pytest.approx(e._.confidence, abs=1e-5)) for e in doc.ents]


def test_a_type_that_only_the_second_picture_shows_is_learned(trained):
    unseen = second_decides(trained, seed=5)
    assert trained.evaluate(unseen)["ents_f"] == 1.0


def test_a_type_that_only_the_second_picture_shows_is_not_learned_from_the_first(encoder):
    nlp = tiny_pipeline(encoder, max_pictures=1)
    with pytest.warns(UserWarning, match=r"MSVSE-W062.*`max_pictures` \(1\): 12"):
        train(nlp, second_decides(nlp), steps=40)
    with pytest.warns(UserWarning, match="MSVSE-W062"):
        scores = nlp.evaluate(second_decides(nlp, seed=5))
    # The text has three types, each as often as the others.
    assert scores["ents_f"] < 0.5


def test_one_picture_in_a_list_is_one_picture(trained):
    one = trained(make_doc(trained, "saw jordan today", image=picture("LOC")))
    listed = trained(make_doc(trained, "saw jordan today", images=[picture("LOC")]))
    assert found(one) == found(listed)
    assert one.user_data.keys() == listed.user_data.keys()
    assert one._.image_regions == listed._.image_regions


def make_posts(nlp: Language) -> list[Doc]:
    """Posts with 1, 2 and 5 pictures, and without any."""
    several = [grey(1), picture("PER"), grey(2), picture("LOC", seed=3), grey(3)]
    return [
        make_doc(nlp, "saw jordan today", image=picture("ORG")),
        make_doc(nlp, "saw amazon again", images=[grey(1), picture("LOC")]),
        make_doc(nlp, "visit phoenix", images=several),
        make_doc(nlp, "visit florence today and again"),
    ]


def test_a_batch_equals_single_posts(encoder):
    nlp = tiny_pipeline(encoder, max_pictures=5)
    train(nlp, second_decides(nlp), steps=20)
    together = list(nlp.pipe(make_posts(nlp)))
    for doc, alone in zip(together, make_posts(nlp), strict=True):
        alone = nlp(alone)
        assert entities(doc) == entities(alone)
        for one, other in zip(doc.ents, alone.ents, strict=True):
            assert one._.confidence == pytest.approx(other._.confidence, abs=1e-5)
        assert doc._.image_status == alone._.image_status
        assert doc._.image_regions == alone._.image_regions


def test_every_region_knows_its_picture_and_words_are_united(trained):
    images = [picture("PER"), picture("LOC"), picture("PER", seed=4)]
    doc = trained(make_doc(trained, "saw jordan today", images=images))
    assert [region[6] for region in doc._.image_regions] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert doc._.image_tags == ["red", "green"]
    assert doc._.image_caption == "a picture of red a picture of green"
    (post,) = ner(trained).reader.read([doc])
    assert post.pictures == 3
    inputs = get_piece_encoder(ner(trained).model).collate(
        get_piece_encoder(ner(trained).model).encode([post])
    )
    assert inputs.vectors["regions"].pictures.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2, 2]]


def test_a_picture_that_a_post_has_twice_is_read_once(trained, monkeypatch):
    asked = []
    extract = MeanColour.extract

    def count(self, pictures, known):
        asked.extend(pictures)
        return extract(self, pictures, known)

    monkeypatch.setattr(MeanColour, "extract", count)
    twice = [picture("LOC"), grey(1), picture("LOC"), grey(1)]
    docs = [
        make_doc(trained, "saw jordan today", images=twice),
        make_doc(trained, "saw jordan today", images=twice[:2]),
        make_doc(trained, "saw jordan today", image=twice[1]),
    ]
    first, second, _ = trained.pipe(docs)
    assert len(asked) == 2
    assert found(first) == found(second)
    assert first._.image_regions == second._.image_regions


def test_pictures_that_cannot_be_read_are_named_and_the_others_are_used(trained):
    images = ["gone.png", picture("PER"), b"broken"]
    doc = make_doc(trained, "saw jordan today", images=images)
    with pytest.warns(UserWarning, match="MSVSE-W002"):
        doc = trained(doc)
    assert set(doc._.image_status.values()) == {"used"}
    assert {(number, view) for number, view, _ in doc._.image_problems} == {
        (number, view) for number in (0, 2) for view in ("regions", "tags", "caption")
    }
    assert all("MSVSE-E020" in reason for *_, reason in doc._.image_problems)
    assert {region[6] for region in doc._.image_regions} == {1}
    alone = trained(make_doc(trained, "saw jordan today", image=picture("PER")))
    assert found(doc) == found(alone)
    with pytest.warns(UserWarning, match="MSVSE-W002"):
        none = trained(make_doc(trained, "saw jordan today", images=["gone.png", b"broken"]))
    assert set(none._.image_status.values()) == {"unreadable"}
    assert len(none._.image_problems) == 6


def test_further_pictures_than_the_setting_are_reported(encoder):
    nlp = tiny_pipeline(encoder, max_pictures=2)
    train(nlp, second_decides(nlp), steps=2)
    images = [grey(1), picture("PER"), picture("LOC"), "gone.png"]
    with pytest.warns(UserWarning, match=r"MSVSE-W062.*`max_pictures` \(2\): 1"):
        doc = nlp(make_doc(nlp, "saw jordan today", images=images))
    assert [(number, view) for number, view, _ in doc._.image_problems] == [(2, None), (3, None)]
    assert reasons(doc._.image_problems)[None] == (
        "only the first 2 pictures are read (`max_pictures`)"
    )
    assert {region[6] for region in doc._.image_regions} == {0, 1}
    assert len(doc._.images) == 4
    alone = nlp(make_doc(nlp, "saw jordan today", images=images[:2]))
    assert found(doc) == found(alone)
    assert alone._.image_problems is None


def test_the_setting_is_saved_and_checked(encoder, tmp_path):
    nlp = tiny_pipeline(encoder)
    assert ner(nlp).max_pictures == 4
    train(nlp, second_decides(nlp), steps=1)
    ner(nlp).max_pictures = 3
    nlp.to_disk(tmp_path)
    assert ner(spacy.load(tmp_path)).max_pictures == 3
    assert nlp.config["components"]["msvse_ner"]["max_pictures"] == 3
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        ner(nlp).max_pictures = 0


@pytest.mark.parametrize("way", ["disk", "bytes", "pickle", "docbin"])
def test_several_pictures_survive(trained, tmp_path, way):
    """The copy of a Doc, and the copy of a pipeline, answer the same."""
    doc = make_doc(
        trained,
        "saw jordan today",
        images=["a/b.png", picture("PER")],
        regions=[("dog", 0.5, 0, 0, 1, 1, 1)],
    )
    if way == "disk":
        copy = Doc(trained.vocab).from_disk(_save(doc, tmp_path))
    elif way == "bytes":
        copy = Doc(trained.vocab).from_bytes(doc.to_bytes())
    elif way == "pickle":
        copy = pickle.loads(pickle.dumps(doc))
    else:
        packed = DocBin(store_user_data=True, docs=[doc]).to_bytes()
        (copy,) = DocBin().from_bytes(packed).get_docs(trained.vocab)
    assert copy._.images == doc._.images == ["a/b.png", picture("PER")]
    assert copy._.image == "a/b.png"
    assert [tuple(region) for region in copy._.image_regions] == [("dog", 0.5, 0, 0, 1, 1, 1)]


def _save(doc: Doc, folder):
    doc.to_disk(folder / "doc")
    return folder / "doc"


def test_a_saved_pipeline_answers_the_same(trained, tmp_path):
    trained.to_disk(tmp_path)
    copies = [spacy.load(tmp_path), spacy.blank("en")]
    copies[1] = spacy.util.load_model_from_config(trained.config).from_bytes(trained.to_bytes())
    posts = make_posts(trained)[:2]
    expected = [found(trained(doc)) for doc in posts]
    for copy in copies:
        assert [found(copy(doc)) for doc in make_posts(copy)[:2]] == expected


def test_given_features_are_one_array_a_picture(trained):
    images = [grey(1), picture("PER")]
    text = "saw jordan today"
    extracted = trained(make_doc(trained, text, images=images))
    vectors = [MeanColour().extract([_pixels(image)], [{}])[0]["regions"] for image in images]
    regions = [
        ("", 0.0, *box, number) for number, one in enumerate(vectors) for box in one.boxes.tolist()
    ]
    features = [np.float16(one.vectors).astype("float32") for one in vectors]
    doc = make_doc(trained, text, images=images, features=features, regions=regions)
    given = given_views(doc)["regions"]
    assert given.pictures.tolist() == [0, 0, 0, 1, 1, 1]
    trained(doc)
    assert [one[:3] for one in found(doc)] == [one[:3] for one in found(extracted)]
    (one,), (other,) = doc.ents, extracted.ents
    assert one._.confidence == pytest.approx(other._.confidence, abs=1e-4)
    partly = make_doc(trained, text, images=images, features=[None, features[1]])
    assert given_views(partly)["regions"].pictures.tolist() == [1, 1, 1]


def _pixels(image: bytes):
    from io import BytesIO

    from PIL import Image

    return Image.open(BytesIO(image)).convert("RGB")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"features": [np.ones((1, 3))] * 3}, "E240"),
        ({"features": np.ones((1, 3))}, "E240"),
        ({"features": [np.ones((1, 3)), "key"]}, "E014"),
        ({"features": [np.ones((1, 3)), np.ones((1, 4))]}, "E014"),
        ({"features": [None, None]}, "E014"),
        ({"regions": [("dog", 0.5, 0, 0, 1, 1, 2)]}, "E240"),
        ({"regions": [("dog", 0.5, 0, 0, 1, 1, -1)]}, "E071"),
        ({"regions": [("dog", 0.5, 0, 0, 1, 1, 0.5)]}, "E071"),
        ({"image": "c.jpg"}, "E035"),
        ({"images": "a.jpg"}, "E035"),
        ({"images": ["a.jpg", None]}, "E035"),
        ({"images": ["a.jpg", ["b.jpg"]]}, "E035"),
    ],
)
def test_values_that_do_not_fit_the_pictures_are_refused(trained, arguments, code):
    with pytest.raises(MsvseError, match=f"MSVSE-{code}"):
        make_doc(trained, "Ada", **{"images": ["a.jpg", "b.jpg"], **arguments})


def test_a_stored_key_for_each_picture_gives_its_features(trained, tmp_path):
    from spacy_msvse.vision.picture import picture_key

    component, images = ner(trained), [grey(1), picture("PER")]
    expected = found(trained(make_doc(trained, "saw jordan today", images=images)))
    component.feature_store = FeatureStore(tmp_path)
    try:
        trained(make_doc(trained, "saw jordan today", images=images))
        keys = [picture_key(image) for image in images]
        doc = trained(make_doc(trained, "saw jordan today", features=keys))
        assert doc._.image_status["regions"] == "used"
        assert {region[6] for region in doc._.image_regions} == {0, 1}
        assert found(doc) == expected
    finally:
        component.feature_store = None


def test_the_effect_of_each_picture_is_given(trained):
    docs = [
        make_doc(trained, "saw jordan today", images=[grey(1), picture("LOC")]),
        make_doc(trained, "saw jordan today", image=picture("PER")),
    ]
    (several,), (one,) = ner(trained).explain_pictures(docs)
    assert one.without_each == []
    without_grey, without_green = several.without_each
    assert several.with_picture.label == "LOC"
    assert without_grey.label == "LOC"
    assert without_grey.confidence > 0.5
    assert without_green.confidence < without_grey.confidence
    assert several.region_pictures == [0, 0, 0, 1, 1, 1]
    left_out = ner(trained).explain_pictures(
        [make_doc(trained, "saw jordan today", images=[picture("LOC")])]
    )[0][0]
    assert asdict(left_out.with_picture)["confidence"] == pytest.approx(
        without_grey.confidence, abs=1e-4
    )


def test_controls_move_all_pictures_of_a_post_together(trained):
    examples = second_decides(trained)
    pictures = {tuple(example.predicted._.images) for example in examples}
    shuffled(examples, seed=1)
    assert {tuple(example.predicted._.images) for example in examples} == pictures
    for example in examples:
        assert len(example.predicted._.images) == 2
        assert example.predicted._.images != example.reference._.images
    no_picture(examples)
    assert not any(example.predicted._.images for example in examples)


def test_pictures_of_a_table_may_be_missing(trained):
    nothing = float("nan")
    assert make_doc(trained, "Ada", image=nothing)._.images == []
    assert make_doc(trained, "Ada", images=nothing)._.images == []
    both = make_doc(trained, "Ada", image=nothing, images=["a.jpg"])
    assert both._.images == ["a.jpg"]
    listed = np.empty(2, dtype=object)
    listed[:] = ["a.jpg", b"picture"]
    assert make_doc(trained, "Ada", images=listed)._.images == ["a.jpg", b"picture"]


def test_assigning_one_picture_replaces_all(trained):
    doc = make_doc(trained, "Ada", images=["a.jpg", "b.jpg"])
    assert (doc._.image, doc._.images) == ("a.jpg", ["a.jpg", "b.jpg"])
    doc._.image = "c.jpg"
    assert doc._.images == ["c.jpg"]
    doc._.image = None
    assert (doc._.image, doc._.images) == (None, [])
    doc._.images = ["a.jpg", "b.jpg"]
    doc._.images = []
    assert doc._.image is None


def test_a_batch_has_fewer_posts_if_they_have_more_pictures(trained):
    """The memory of a batch is bounded: a post counts as long as so many posts of one picture."""
    predictor = replace(ner(trained).predictor, max_batch_tokens=60)
    images = [picture("PER"), grey(1), grey(2), grey(3)]
    for count in (1, 4):
        docs = [make_doc(trained, "saw jordan today", images=images[:count]) for _ in range(12)]
        batches = [[post.length // count for post in b.posts] for b in predictor.batches(docs)]
        length = batches[0][0]
        expected = max(1, 60 // (length * count))
        assert [len(batch) for batch in batches[:-1]] == [expected] * (len(batches) - 1)
        assert sum(map(len, batches)) == 12


def test_so_many_pictures_are_read_at_once(trained, monkeypatch):
    monkeypatch.setattr("spacy_msvse.component.predictor.READ_SIZE", 6)
    sizes = []
    read = Reader.read

    def count(self, docs, masked=()):
        docs = list(docs)
        sizes.append([len(doc._.images) for doc in docs])
        return read(self, docs, masked)

    monkeypatch.setattr(Reader, "read", count)
    counts = [1, 0, 1, 4, 1, 3, 4, 4]
    images = [picture("PER"), grey(1), grey(2), grey(3)]
    docs = [make_doc(trained, "saw jordan", images=images[:n]) for n in counts]
    list(trained.pipe(docs))
    assert sizes == [[1, 0, 1], [4, 1], [3], [4], [4]]
