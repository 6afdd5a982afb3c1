"""`debug-data` finds each fault of a small corpus."""

import json

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_msvse import make_doc
from spacy_msvse.component.architectures import network_config

from ..tiny import picture
from .command import run


def post(nlp, text, *spans, annotated: bool = True, **attributes) -> Doc:
    """A gold post; spans are (start, end, label) in characters."""
    image = attributes.pop("image", None)
    doc = make_doc(nlp, text, image=image)
    for name, value in attributes.items():
        doc._.set(name, value)
    entities = [doc.char_span(*span[:2], label=span[2]) for span in spans]
    doc.set_ents(entities, default="outside" if annotated else "missing")
    return doc


@pytest.fixture
def write(tmp_path):
    """Write posts to a .spacy file."""

    def write(name: str, docs) -> str:
        path = tmp_path / f"{name}.spacy"
        DocBin(docs=docs, store_user_data=True).to_disk(path)
        return str(path)

    return write


@pytest.fixture
def pictures(tmp_path):
    """A folder with two good pictures, one of them twice, and a broken one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "red.png").write_bytes(picture("PER"))
    (folder / "red-again.png").write_bytes(picture("PER"))
    (folder / "green.png").write_bytes(picture("LOC"))
    (folder / "broken.png").write_bytes(picture("ORG")[:60])
    (tmp_path / "outside.png").write_bytes(picture("ORG"))
    return folder


def debug(*arguments, status: int = 0) -> dict:
    return json.loads(run("debug-data", *arguments, "--json", status=status).stdout)


def messages(report: dict, level: str) -> str:
    return "\n".join(v["message"] for v in report["verdicts"] if v["level"] == level)


def good_posts(nlp, folder=None) -> list[Doc]:
    return [
        post(nlp, "saw jordan today", (4, 10, "PER"), image="red.png"),
        post(nlp, "in florence again", (3, 11, "LOC"), image="green.png"),
    ]


def test_a_good_corpus_passes(nlp, write, pictures):
    dev = [post(nlp, "the amazon", (4, 10, "PER"), image=picture("ORG", seed=9))]
    report = debug(write("train", good_posts(nlp)), write("dev", dev), "--image-root", pictures)
    train = report["splits"]["train"]
    assert (train["posts"], train["tokens"]) == (2, 6)
    assert train["labels"] == {"PER": 1, "LOC": 1}
    assert (train["pictures"], train["readable"]) == (2, 2)
    assert not messages(report, "fail")
    assert "No text and no picture is in two splits" in messages(report, "good")


def test_missing_broken_and_forbidden_pictures_are_named(nlp, write, pictures):
    docs = good_posts(nlp)
    names = ("gone.png", "broken.png", "../outside.png", "https://example.com/x.jpg")
    docs += [post(nlp, f"number {i}", image=name) for i, name in enumerate(names)]
    report = debug(write("train", docs), "--image-root", pictures, status=1)
    found = report["splits"]["train"]
    assert [one["picture"] for one in found["missing"]] == ["gone.png"]
    assert [one["picture"] for one in found["broken"]] == ["broken.png"]
    assert [one["picture"] for one in found["refused"]] == list(names[2:])
    assert [one["post"] for one in found["refused"]] == [5, 6]
    assert "MSVSE-E021" in found["refused"][0]["reason"]


def test_entities_with_a_fault_are_found(nlp, write):
    docs = [
        post(nlp, "saw jordan !", (4, 12, "PER")),
        post(nlp, "saw jordan today", annotated=False),
        Doc(nlp.vocab),
    ]
    # Gold tokens that split a token of the training tokenizer.
    split = Doc(nlp.vocab, words=["new", "york", "again"], spaces=[False, True, False])
    split.set_ents([Span(split, 1, 2, "LOC")], default="outside")
    found = debug(write("train", [*docs, split]))["splits"]["train"]
    assert found["punctuation_edges"]["count"] == 1
    assert found["unannotated_posts"]["count"] == 1
    assert found["empty_posts"]["examples"] == ["post 3"]
    assert found["misaligned_entities"]["examples"] == ["post 4: 'york' (LOC)"]


def test_labels_that_training_lacks_and_rare_ones_are_named(nlp, write):
    train = write("train", [post(nlp, "saw jordan", (4, 10, "PER"))])
    dev = write("dev", [post(nlp, "saw amazon", (4, 10, "ORG"))])
    warnings = messages(debug(train, dev), "warn")
    assert "dev: labels that training lacks: ORG (1)" in warnings
    assert "Labels with no more than 50 entities: PER (1)" in warnings


def test_duplicates_are_found_by_content(nlp, write, pictures):
    docs = good_posts(nlp)
    docs.append(post(nlp, "Saw  JORDAN today", (5, 11, "PER"), image="red-again.png"))
    found = debug(write("train", docs), "--image-root", pictures)["splits"]["train"]
    assert found["repeated_texts"]["count"] == 1
    assert found["shared_pictures"]["examples"] == ["post 3: red-again.png"]
    assert found["repeated_posts"]["count"] == 1


def test_leakage_between_splits_is_found(nlp, write, pictures):
    test = [
        post(nlp, "SAW jordan today", (4, 10, "PER"), image="green.png"),
        post(nlp, "something else", image="red-again.png"),
        post(nlp, "in florence again", (3, 11, "LOC"), image="green.png"),
    ]
    report = debug(write("train", good_posts(nlp)), write("dev", test), "--image-root", pictures)
    counts = {leak["kind"]: leak["posts"]["count"] for leak in report["leaks"]}
    assert counts == {"text": 2, "picture": 3, "text and picture": 1}
    assert "post 1: SAW jordan today" in report["leaks"][0]["posts"]["examples"]


def test_a_view_that_few_posts_have_is_reported_as_masked(nlp, write):
    docs = [post(nlp, f"number {i}", (0, 6, "MISC")) for i in range(200)]
    docs[0]._.image_tags = ["beach"]
    docs[1]._.image_caption = ""
    for doc in docs[:3]:
        doc._.image_texts = {"ocr": "SALE"}
    report = debug(write("train", docs))
    found = report["splits"]["train"]
    assert found["views"]["tags"] == 1
    assert found["texts"] == {"ocr": 3}
    assert "tags: in 1 of 200 training posts (0.50%), less than 1.00%" in (messages(report, "warn"))


@pytest.mark.parametrize(
    ("docs", "message"),
    [
        (lambda nlp: [post(nlp, "saw jordan")], "no entities"),
        (lambda nlp: [], "no posts"),
        (
            lambda nlp: [post(nlp, "saw jordan", (4, 10, "PER"), image="gone.png")],
            "nothing visual can be learned",
        ),
        (
            lambda nlp: [
                post(nlp, "saw jordan", (4, 10, "PER"), image_features=[[1.0] * width])
                for width in (3, 4)
            ],
            "differ in width",
        ),
    ],
)
def test_an_error_that_would_stop_training_fails(nlp, write, docs, message):
    assert message in messages(debug(write("train", docs(nlp)), status=1), "fail")


def test_a_file_without_posts_is_a_coded_error(tmp_path):
    path = tmp_path / "train.spacy"
    path.write_bytes(b"not a DocBin")
    assert "MSVSE-E042" in run("debug-data", path, status=1).output


def test_the_report_can_be_read(nlp, write, pictures):
    docs = [*good_posts(nlp), post(nlp, "number", image="gone.png")]
    output = run("debug-data", write("train", docs), "--image-root", pictures).output
    assert "missing pictures: 1 of 3" in output
    assert "gone.png" in output
    assert "Summary" in output


def test_the_views_of_the_default_config_are_checked(nlp, write):
    report = debug(write("train", [post(nlp, "saw jordan", (4, 10, "PER"))]))
    model = spacy.blank("en").add_pipe("msvse_ner").model
    assert report["views"] == list(network_config(model).views)
