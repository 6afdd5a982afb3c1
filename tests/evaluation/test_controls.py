"""The controls change the pictures and nothing else."""

import pytest
from spacy.tokens import DocBin
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.evaluation.controls import (
    derangement,
    disjoint_permutation,
    no_picture,
    shuffle_corpus,
    shuffled,
)


def post(nlp, label, image=None, **views):
    doc = make_doc(nlp, "saw jordan", image=image, **views)
    return Example.from_dict(doc, {"entities": [(4, 10, label)]})


def test_no_picture_removes_the_picture_and_its_descriptions(nlp):
    example = post(nlp, "PER", image=b"picture", tags=["cat"], caption="a cat", texts={"ocr": "x"})
    no_picture([example])
    doc = example.predicted
    assert (doc._.image, doc._.image_tags, doc._.image_caption, doc._.image_texts) == (None,) * 4


def test_shuffled_gives_no_post_a_picture_of_its_own_type(nlp):
    labels = ["PER"] * 5 + ["LOC"] * 4 + ["ORG"] * 6
    examples = [post(nlp, x, image=x.encode(), tags=[x]) for x in labels]
    examples.append(post(nlp, "PER"))
    shuffled(examples, seed=1)
    for label, example in zip(labels, examples, strict=False):
        assert example.predicted._.image not in (None, label.encode())
        assert example.predicted._.image_tags == [example.predicted._.image.decode()]
    assert sorted(eg.predicted._.image.decode() for eg in examples[:-1]) == sorted(labels)
    assert examples[-1].predicted._.image is None, "a post without a picture gets none"


def test_shuffled_is_seeded(nlp):
    def order(seed):
        examples = [post(nlp, "PER", image=bytes([i])) for i in range(9)]
        shuffled(examples, seed=seed)
        return [example.predicted._.image for example in examples]

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize("seed", range(5))
def test_no_post_keeps_its_picture_even_if_all_types_are_equal(seed):
    donors = disjoint_permutation([frozenset({"PER"})] * 7, seed)
    assert sorted(donors) == list(range(7))
    assert all(item != donor for item, donor in enumerate(donors))


def test_a_single_post_keeps_its_picture():
    assert disjoint_permutation([frozenset()], 0) == [0]


@pytest.mark.parametrize("number", [2, 3, 4, 50])
@pytest.mark.parametrize("seed", range(5))
def test_a_derangement_leaves_no_item_in_place(number, seed):
    donors = derangement(number, seed)
    assert sorted(donors) == list(range(number))
    assert all(item != donor for item, donor in enumerate(donors))
    assert donors == derangement(number, seed)


def test_a_shuffled_corpus_differs_only_in_the_pictures(nlp, tmp_path):
    """A post may get the picture of a post of the same type, since the permutation must not depend
    on the labels."""
    docs = []
    for index in range(40):
        doc = make_doc(nlp, ["saw", f"jordan{index}"], image=f"{index}.jpg", tags=[str(index)])
        doc.ents = [doc.char_span(4, len(doc.text) - 1, "LOC" if index % 4 else "PER")]
        doc.user_data["meta"] = {"number": index}
        docs.append(doc)
    docs.append(make_doc(nlp, ["no", "picture"]))
    source, target = tmp_path / "train.spacy", tmp_path / "shuffled.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(source)
    shuffle_corpus(source, target)
    written = list(DocBin().from_disk(target).get_docs(nlp.vocab))

    def text(doc):
        ents = [(ent.text, ent.label_) for ent in doc.ents]
        return [t.text for t in doc], doc.has_unknown_spaces, ents, doc.user_data.get("meta")

    assert [text(doc) for doc in written] == [text(doc) for doc in docs]
    assert sorted(str(doc._.image) for doc in written) == sorted(str(doc._.image) for doc in docs)
    for number, doc in enumerate(written):
        assert doc._.image != f"{number}.jpg"
        assert doc._.image is None or list(doc._.image_tags) == [doc._.image.removesuffix(".jpg")]
    types = {doc._.image: doc.ents[0].label_ for doc in docs[:-1]}
    same = sum(types.get(doc._.image) == doc.ents[0].label_ for doc in written[:-1])
    assert same > 0
    again = tmp_path / "again.spacy"
    shuffle_corpus(source, again)
    assert again.read_bytes() == target.read_bytes()
