"""Each fault of a corpus is found and counted."""

import weakref

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_msvse import make_doc
from spacy_msvse.corpus.audit import MAX_EXAMPLES, Audit, SplitAudit, audit
from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.picture import decode_picture

from ..tiny import picture


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def post(nlp, text, entities=(), image=None, **given) -> Doc:
    """An annotated post; entities as (first token, token after the last, label)."""
    doc = make_doc(nlp, text, image=image, **given)
    doc.set_ents(spans(doc, entities))
    return doc


def spans(doc: Doc, entities) -> list[Span]:
    return [Span(doc, start, end, label=label) for start, end, label in entities]


@pytest.fixture
def audit_splits(nlp, tmp_path):
    """Save splits of posts and audit them."""

    def audit_splits(*splits: list[Doc], **settings) -> Audit:
        paths = {}
        for name, docs in zip(("train", "dev", "test"), splits, strict=False):
            paths[name] = tmp_path / f"{name}.spacy"
            DocBin(docs=docs, store_user_data=True).to_disk(paths[name])
        return audit(paths, nlp, **settings)

    return audit_splits


@pytest.fixture
def audit_one(audit_splits):
    """Audit one split."""

    def audit_one(*docs: Doc, **settings) -> SplitAudit:
        return audit_splits(list(docs), **settings).splits["train"]

    return audit_one


def test_posts_tokens_and_entities_are_counted(nlp, audit_one):
    found = audit_one(
        post(nlp, "saw Jordan in Jordan", [(1, 2, "PER"), (3, 4, "LOC")]),
        post(nlp, "saw Jordan", [(1, 2, "LOC")]),
        post(nlp, ""),
        post(nlp, " \n "),
    )
    assert (found.posts, found.entities, found.labels) == (4, 3, {"PER": 1, "LOC": 2})
    assert found.tokens == 7
    assert found.empty_posts.count == 2
    assert found.empty_posts.examples == ["post 3", "post 4"]


def test_edges_of_entities_are_checked(nlp, audit_one):
    found = audit_one(
        post(nlp, ["\n", "Jordan", "!"], [(0, 2, "PER")]),
        post(nlp, ["\n", "Jordan", "!"], [(1, 3, "PER")]),
        post(nlp, ["\n", "Jordan", "!"], [(1, 2, "PER")]),
    )
    assert found.whitespace_edges.examples == ["post 1: '\\n Jordan' (PER)"]
    assert found.punctuation_edges.examples == ["post 2: 'Jordan !' (PER)"]
    assert (found.whitespace_edges.count, found.punctuation_edges.count) == (1, 1)


def test_posts_without_annotation_differ_from_posts_without_entities(nlp, audit_one):
    unannotated = make_doc(nlp, "saw Jordan today")
    partly = make_doc(nlp, "saw Amazon today")
    partly.set_ents(spans(partly, [(1, 2, "ORG")]), default="missing")
    found = audit_one(unannotated, partly, post(nlp, "nothing here"))
    assert found.unannotated_posts.examples == ["post 1: saw Jordan today"]
    assert found.partly_annotated_posts.examples == ["post 2: saw Amazon today"]


def test_entities_that_end_inside_a_token_are_found(nlp, audit_one):
    text = Doc(nlp.vocab, words=["New", "York", "er"], spaces=[True, False, False])
    text.set_ents(spans(text, [(0, 2, "LOC")]))
    assert audit_one(text).misaligned_entities.examples == ["post 1: 'New York' (LOC)"]


def test_a_post_of_words_keeps_its_tokens(tmp_path):
    """As in training: the tokenizer does not read them."""
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: Doc(nlp.vocab, words=[text])
    words = Doc(nlp.vocab, words=["saw", "Jordan"])
    words.set_ents(spans(words, [(1, 2, "PER")]))
    text = Doc(nlp.vocab, words=["saw", "Jordan"], spaces=[True, False])
    text.set_ents(spans(text, [(1, 2, "PER")]))
    DocBin(docs=[words, text]).to_disk(tmp_path / "posts.spacy")
    found = audit({"train": tmp_path / "posts.spacy"}, nlp).splits["train"]
    assert found.misaligned_entities.examples == ["post 2: 'Jordan' (PER)"]


def test_pictures_are_found_missing_broken_or_refused(nlp, audit_one, tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    whole = picture("PER")
    (root / "whole.png").write_bytes(whole)
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "text.jpg").write_text("not a picture")
    (root / "empty.jpg").touch()
    (tmp_path / "outside.png").write_bytes(whole)
    names = ["whole.png", "gone.png", "cut.png", "text.jpg", "empty.jpg", "../outside.png"]
    names += ["http://example.org/a.png", "whole.png/a.png"]
    docs = [post(nlp, name, image=name) for name in names]
    found = audit_one(*docs, post(nlp, "none"), post(nlp, "bytes", image=whole), image_root=root)
    assert (found.pictures, found.readable) == (9, 2)
    assert [one.picture for one in found.missing] == ["gone.png", "whole.png/a.png"]
    assert [one.picture for one in found.broken] == ["cut.png", "text.jpg", "empty.jpg"]
    assert [one.picture for one in found.refused] == [names[5], names[6]]
    assert [one.post for one in found.broken] == [3, 4, 5]
    reasons = [one.reason for one in (*found.missing, *found.broken, *found.refused)]
    assert all(one.startswith("[MSVSE-E02") for one in reasons)
    assert "it is empty" in found.broken[2].reason
    assert "truncated" in found.broken[0].reason


def test_all_pictures_of_a_post_are_checked(nlp, audit_one):
    first, second = picture("PER"), picture("LOC")
    found = audit_one(
        make_doc(nlp, "one", images=[first, b"broken", second]),
        make_doc(nlp, "two", images=[second]),
        make_doc(nlp, "one", images=[first, second]),
        make_doc(nlp, "ONE", images=[first, second, "gone.png"]),
        make_doc(nlp, "one", images=[first, second]),
        make_doc(nlp, "three", images=[picture("ORG")]),
    )
    assert (found.posts_with_pictures, found.posts_with_several_pictures) == (6, 4)
    assert (found.pictures, found.readable) == (12, 10)
    assert [one.post for one in (*found.broken, *found.missing)] == [1, 4]
    assert found.shared_pictures.count == 4
    # The fourth post names one more picture. A picture that cannot be read has no content.
    assert found.repeated_posts.examples == ["post 3: one", "post 5: one"]
    assert found.views["regions"] == 6


def test_a_post_of_another_split_leaks_if_one_of_its_pictures_does(nlp, tmp_path):
    first, second = picture("PER"), picture("LOC")
    posts = {
        "train": [make_doc(nlp, "one", images=[first, second])],
        "dev": [
            make_doc(nlp, "two", images=[picture("ORG"), second, first]),
            make_doc(nlp, "three", image=picture("ORG")),
        ],
    }
    paths = {name: tmp_path / f"{name}.spacy" for name in posts}
    for name, docs in posts.items():
        DocBin(store_user_data=True, docs=docs).to_disk(paths[name])
    leaks = {leak.kind: leak.posts for leak in audit(paths, nlp).leaks}
    assert leaks["picture"].count == 1
    assert leaks["picture"].examples[0].startswith("post 1: ")


def test_each_broken_picture_is_reported_by_its_own_name(nlp, audit_one):
    found = audit_one(post(nlp, "one", image=b"x" * 10), post(nlp, "two", image=b"x" * 10))
    assert [one.post for one in found.broken] == [1, 2]
    found = audit_one(post(nlp, "one", image="a.jpg"), post(nlp, "two", image="b.jpg"))
    assert ["a.jpg" in found.missing[0].reason, "b.jpg" in found.missing[1].reason] == [True] * 2


def test_a_value_that_is_not_a_picture_is_refused(nlp, audit_one):
    doc = post(nlp, "one")
    doc.user_data["._.", "images", None, None] = 3
    assert "MSVSE-E035" in audit_one(doc).refused[0].reason


def test_views_that_posts_give_are_counted(nlp, audit_one):
    found = audit_one(
        post(nlp, "one", tags=["dog"], caption="a dog"),
        post(nlp, "two", caption="a cat", texts={"ocr": "SALE", "knowledge": ""}),
        post(nlp, "three", tags=[], caption=""),
        post(nlp, "four", features=np.ones((2, 8), dtype="float32")),
        post(nlp, "five"),
    )
    assert (found.tags, found.captions, found.texts) == (1, 2, {"ocr": 1})
    assert found.region_widths == {8: 1}
    assert found.described == 4


def test_region_vectors_that_are_not_a_table_are_found(nlp, audit_one):
    bad = [np.ones(8), np.ones((0, 8)), [[1.0], [1.0, 2.0]]]
    bad += [np.ones((2, 0)), np.float32(1), [[None, {}]], [["a"]], np.full((1, 8), np.nan)]
    docs = [post(nlp, "one") for _ in bad]
    for doc, vectors in zip(docs, bad, strict=True):
        doc.user_data["._.", "image_features", None, None] = vectors
    found = audit_one(*docs)
    assert found.bad_values.count == len(bad)
    assert not found.region_widths
    assert found.views["regions"] == 0


def test_a_post_has_a_view_if_it_is_given_or_can_be_extracted(nlp, audit_one):
    docs = (
        post(nlp, "one", image=picture("PER")),
        post(nlp, "two", image="gone.jpg", tags=["dog"]),
        post(nlp, "three", image=picture("PER"), caption=""),  # given, and empty
        post(nlp, "four", texts={"ocr": "SALE"}),
    )
    views = ("regions", "tags", "caption", "ocr")
    found = audit_one(*docs, views=views)
    assert found.views == {"regions": 2, "tags": 3, "caption": 1, "ocr": 1}
    assert found.view_share("tags") == 0.75
    found = audit_one(*docs, views=views, extracted=())
    assert found.views == {"regions": 0, "tags": 1, "caption": 0, "ocr": 1}


def test_a_view_that_an_extractor_wrote_is_not_given(nlp, audit_one):
    doc = post(nlp, "one", tags=["dog"])
    doc._.image_extracted = ["tags"]
    found = audit_one(doc)
    assert (found.tags, found.described, found.views["tags"]) == (0, 0, 0)


def test_repetition_is_found_by_content(nlp, audit_one, tmp_path):
    for name in ("a.png", "renamed.png"):
        (tmp_path / name).write_bytes(picture("PER"))
    (tmp_path / "b.png").write_bytes(picture("LOC"))
    found = audit_one(
        post(nlp, "Saw Jordan", image="a.png"),
        post(nlp, "saw  JORDAN", image="b.png"),
        post(nlp, "at home", image="renamed.png"),
        post(nlp, "saw jordan", image=picture("PER")),
        post(nlp, "alone"),
        post(nlp, ""),
        post(nlp, ""),
        image_root=tmp_path,
    )
    assert found.repeated_texts.count == 2
    assert found.repeated_texts.examples == ["post 2: saw JORDAN", "post 4: saw jordan"]
    assert found.shared_pictures.count == 2
    assert found.shared_pictures.examples[0] == "post 3: renamed.png"
    assert found.repeated_posts.examples == ["post 4: saw jordan"]


def test_leakage_is_found_between_every_two_splits(nlp, audit_splits):
    first, second, third = (picture(label) for label in ("PER", "LOC", "ORG"))
    found = audit_splits(
        [post(nlp, "saw Jordan", image=first), post(nlp, "only here", image=second)],
        [post(nlp, "Saw jordan ", image=first), post(nlp, "at home", image=second)],
        [post(nlp, "saw jordan", image=third), post(nlp, "AT HOME", image=second)],
    )
    counts = {(leak.earlier, leak.later, leak.kind): leak.posts.count for leak in found.leaks}
    assert counts == {
        ("train", "dev", "text"): 1,
        ("train", "dev", "picture"): 2,
        ("train", "dev", "text and picture"): 1,
        ("train", "test", "text"): 1,
        ("train", "test", "picture"): 1,
        ("train", "test", "text and picture"): 0,
        ("dev", "test", "text"): 2,
        ("dev", "test", "picture"): 1,
        ("dev", "test", "text and picture"): 1,
    }
    assert found.leaks[0].posts.examples == ["post 1: Saw jordan"]


@pytest.mark.parametrize(
    "words",
    [
        ["RT", "@", "ada", ":", "see", "#", "sea"],
        ["RT", "@Ada", ":", "see", "http://t.co/x1", "#sea", "http:…"],
        ["RT", "@", "ada", ":", "see", "http://t.", "co/x1", "#", "sea"],
    ],
)
def test_a_post_that_another_corpus_tokenizes_differently_leaks(audit_splits, words):
    nlp = spacy.blank("en")
    known = Doc(nlp.vocab, words=["RT", "@ada", ":", "see", "http://t.co/x1", "#sea"])
    found = audit_splits([known], [Doc(nlp.vocab, words=words)])
    assert found.leaks[0].posts.count == 1


def test_posts_of_one_link_each_are_not_empty_and_not_equal(nlp, audit_one):
    found = audit_one(post(nlp, "http://t.co/x1"), post(nlp, "http://t.co/x2"))
    assert found.empty_posts.count == found.repeated_texts.count == 0


def test_a_picture_that_cannot_be_read_leaks_by_its_name(nlp, audit_splits, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    found = audit_splits(
        [post(nlp, str(i), image=f"{name}.jpg") for i, name in enumerate(("broken", "gone", "a"))],
        [post(nlp, f"x{i}", image=f"{name}.jpg") for i, name in enumerate(("b", "gone", "broken"))],
        image_root=tmp_path,
    )
    leaks = {leak.kind: leak.posts for leak in found.leaks}
    assert leaks["picture"].examples == ["post 2: gone.jpg", "post 3: broken.jpg"]
    assert leaks["text"].count == 0


def test_no_more_than_the_first_few_examples_are_kept(nlp, audit_one):
    found = audit_one(*(post(nlp, "") for _ in range(MAX_EXAMPLES + 3)))
    assert found.empty_posts.count == MAX_EXAMPLES + 3
    assert len(found.empty_posts.examples) == MAX_EXAMPLES


def test_a_picture_is_decoded_once_and_none_is_kept(nlp, audit_splits, monkeypatch):
    """Of many pictures, one is in memory at a time."""
    decoded = []

    def decode(data, *args, **options):
        image = decode_picture(data, *args, **options)
        assert not any(other() is not None for other in decoded)
        decoded.append(weakref.ref(image))
        return image

    monkeypatch.setattr("spacy_msvse.corpus.audit.decode_picture", decode)
    same, other = picture("PER"), picture("LOC")
    audit_splits(
        [post(nlp, "one", image=same), post(nlp, "two", image=same)], [post(nlp, "3", image=other)]
    )
    assert len(decoded) == 2


def test_a_folder_of_files_is_one_split(nlp, tmp_path):
    for name in ("a", "b"):
        DocBin(docs=[post(nlp, name)]).to_disk(tmp_path / f"{name}.spacy")
    assert audit({"train": tmp_path}, nlp).splits["train"].posts == 2


@pytest.mark.parametrize("name", ["gone.spacy", "posts.jsonl", "damaged.spacy"])
def test_a_file_that_cannot_be_read_is_a_coded_error_with_its_name(nlp, tmp_path, name):
    (tmp_path / "posts.jsonl").write_text("{}")
    (tmp_path / "damaged.spacy").write_bytes(b"damaged")
    with pytest.raises(MsvseError, match=rf"MSVSE-E0(33|42).*{name}"):
        audit({"train": tmp_path / name}, nlp)


def test_values_of_a_wrong_type_are_named_and_do_not_end_the_check(audit_one, nlp):
    """A file of Docs may hold anything."""
    docs = [post(nlp, name) for name in ("one", "two", "three", "four")]
    docs[2]._.image_tags = ["cat"]
    docs[3].user_data["._.", "images", None, None] = [1, 2]
    docs[0].user_data["._.", "image_tags", None, None] = np.zeros((1, 3))
    docs[1].user_data["._.", "image_texts", None, None] = ["ocr"]
    docs[2].user_data["._.", "image_extracted", None, None] = np.zeros((2, 3))
    found = audit_one(*docs)
    assert found.bad_values.examples == ["post 1: image_tags", "post 2: image_texts"]
    assert found.tags == 1
    assert "MSVSE-E035" in found.refused[0].reason
