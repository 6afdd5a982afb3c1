"""The controls change the pictures and nothing else."""

import pytest
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.evaluation.controls import disjoint_permutation, no_picture, shuffled


def post(nlp, label, image=None, **views):
    doc = make_doc(nlp, "saw jordan", image=image, **views)
    return Example.from_dict(doc, {"entities": [(4, 10, label)]})


def test_no_picture_takes_everything_that_tells_of_it(nlp):
    example = post(nlp, "PER", image=b"picture", tags=["cat"], caption="a cat", texts={"ocr": "x"})
    no_picture([example])
    doc = example.predicted
    assert (doc._.image, doc._.image_tags, doc._.image_caption, doc._.image_texts) == (None,) * 4


def test_shuffled_gives_nobody_a_picture_of_its_own_type(nlp):
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
def test_nobody_meets_itself_even_if_all_types_are_alike(seed):
    donors = disjoint_permutation([frozenset({"PER"})] * 7, seed)
    assert sorted(donors) == list(range(7))
    assert all(item != donor for item, donor in enumerate(donors))


def test_a_single_post_keeps_its_picture():
    assert disjoint_permutation([frozenset()], 0) == [0]
