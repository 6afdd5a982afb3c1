"""The text in a picture as a view of the network."""

import pytest
import spacy
from spacy.training import Example

from spacy_msvse import make_doc

from ..tiny import entities, save_encoder, tiny_pipeline, train
from ..vision.conftest import encode
from ..vision.extractors.test_rapid_ocr import poster

pytest.importorskip("rapidocr")
pytest.importorskip("onnxruntime")

SIGNS = {"PER": "visit", "LOC": "today", "ORG": "nice"}


def test_text_in_the_picture_reaches_the_network(tmp_path):
    """Posts of one text, whose type is written only in the picture. A given text replaces it."""
    nlp = tiny_pipeline(
        save_encoder(tmp_path / "encoder"),
        model={"prefix_views": ["ocr"], "joint_views": []},
        vision={
            "@misc": "spacy-msvse.VisualExtractor.v1",
            "ocr": {"@misc": "spacy-msvse.RapidOcr.v1"},
        },
    )
    nlp.config["initialize"]["components"] = {
        "msvse_ner": {"feature_store": str(tmp_path / "store")}  # each picture is read once
    }
    pictures = {label: encode(poster(word)) for label, word in SIGNS.items()}

    def post(label):
        return make_doc(nlp, "saw jordan again", image=pictures[label])

    examples = [Example.from_dict(post(label), {"entities": [(4, 10, label)]}) for label in SIGNS]
    train(nlp, examples)
    for label, word in SIGNS.items():
        doc = nlp(post(label))
        assert doc._.image_texts == {"ocr": word}
        assert doc._.image_status == {"ocr": "used"}
        assert entities(doc) == [("jordan", label)]

    given = make_doc(nlp, "saw jordan again", image=pictures["PER"], texts={"ocr": SIGNS["LOC"]})
    assert entities(nlp(given)) == [("jordan", "LOC")]
    assert given._.image_texts == {"ocr": SIGNS["LOC"]}

    nlp.to_disk(tmp_path / "pipeline")
    restored = spacy.load(tmp_path / "pipeline")
    assert entities(restored(post("LOC"))) == [("jordan", "LOC")]


def test_an_extracted_view_that_the_network_does_not_read_is_a_warning(tmp_path):
    vision = {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "ocr": {"@misc": "spacy-msvse.RapidOcr.v1"},
    }
    nlp = tiny_pipeline(
        save_encoder(tmp_path / "encoder"),
        model={"prefix_views": ["tags"], "joint_views": []},
        vision=vision,
    )
    doc = make_doc(nlp, "saw jordan again", tags=["red"])
    with pytest.warns(UserWarning, match=r"MSVSE-W005.*vision\.ocr.*Add 'ocr' to the views"):
        nlp.initialize(lambda: [Example.from_dict(doc, {"entities": [(4, 10, "PER")]})])
