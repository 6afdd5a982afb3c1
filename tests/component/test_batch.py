"""From Docs to tensors: alignment, windows, joint input, gold labels."""

import numpy as np
import pytest
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy_transformers.span_getters import configure_strided_spans, get_doc_spans
from transformers import AutoTokenizer

from spacy_msvse import make_doc
from spacy_msvse.component.batch import (
    Collator,
    align,
    count_pieces,
    find_entities,
    make_targets,
)
from spacy_msvse.component.posts import Post
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.config import NetworkConfig
from spacy_msvse.network.crf import bio_labels

CONFIG = NetworkConfig(types=("PER", "LOC"), region_dim=3)
LABELS = bio_labels(CONFIG.types)


@pytest.fixture(scope="module")
def tokenizer(encoder):
    return AutoTokenizer.from_pretrained(encoder)


def collator(tokenizer, config=CONFIG, get_spans=get_doc_spans, max_length=64) -> Collator:
    return Collator(tokenizer, get_spans, config, max_length=max_length, max_view_words=64)


def post(words, **texts) -> Post:
    from spacy.vocab import Vocab

    return Post(Doc(Vocab(), words=words), texts=texts)


def first_pieces(inputs, tokenizer, row) -> list[str]:
    """The word piece that stands for each token of a post."""
    length = int(inputs.token_mask[row].sum())
    window, piece = inputs.token_window[row, :length], inputs.token_piece[row, :length]
    return tokenizer.convert_ids_to_tokens(inputs.text.ids[window, piece])


def test_the_first_word_piece_stands_for_the_token(tokenizer):
    inputs = collator(tokenizer)([post(["jordan", "zzz", "saw"]), post(["the"])])
    assert first_pieces(inputs, tokenizer, 0) == ["jordan", "z", "saw"]
    assert first_pieces(inputs, tokenizer, 1) == ["the"]


@pytest.mark.parametrize("invisible", ["\xa0", "\ufe0f", "\u200b", "\u200d", "\ufffd", "\xad"])
def test_a_token_without_word_pieces_is_the_unknown_token(tokenizer, invisible):
    inputs = collator(tokenizer)([post(["saw", invisible, "jordan"], caption="the")])
    assert first_pieces(inputs, tokenizer, 0) == ["saw", "[UNK]", "jordan"]
    joint = inputs.joint.ids[0]
    assert torch.equal(joint[:4], inputs.text.ids[0, :4]), "the joint text is the same"


def test_the_joint_text_stands_where_the_plain_text_stands(tokenizer):
    posts = [post(["saw", "jordan"], caption="the nice"), post(["saw", "zz", "florence"])]
    inputs = collator(tokenizer)(posts)
    decode = tokenizer.convert_ids_to_tokens
    assert decode(inputs.joint.ids[0][inputs.joint.mask[0]]) == (
        ["[CLS]", "saw", "jordan", "[SEP]", "the", "nice", "[SEP]"]
    )
    assert inputs.joint.types[0][inputs.joint.mask[0]].tolist() == [0, 0, 0, 0, 1, 1, 1]
    plain = inputs.text.ids[1][inputs.text.mask[1]]
    assert torch.equal(inputs.joint.ids[1][inputs.joint.mask[1]], plain), "no view, plain text"


def test_several_joint_views_are_kept_apart(tokenizer):
    config = NetworkConfig(types=("PER",), joint_views=("caption", "ocr"))
    inputs = collator(tokenizer, config)([post(["saw"], caption="the", ocr="nice")])
    assert tokenizer.convert_ids_to_tokens(inputs.joint.ids[0]) == (
        ["[CLS]", "saw", "[SEP]", "the", "[SEP]", "nice", "[SEP]"]
    )
    assert set(inputs.views) == {"tags", "caption", "ocr"}


def test_half_a_surrogate_pair_in_a_view_is_read_as_another_character(tokenizer):
    posts = [post(["saw"], caption="the \ud83d dog", tags="\ude00"), post(["saw"], caption="the ?")]
    inputs = collator(tokenizer)(posts)
    decode = tokenizer.convert_ids_to_tokens
    assert decode(inputs.joint.ids[0][inputs.joint.mask[0]])[3:6] == ["the", "?", "d"]
    assert decode(inputs.views["tags"].ids[0]) == ["?"]


def test_an_absent_view_has_an_empty_row(tokenizer):
    inputs = collator(tokenizer)([post(["saw"], tags="nice"), post(["saw"])])
    assert inputs.views["tags"].mask.tolist() == [[True], [False]]
    assert not inputs.views["caption"].mask.any()
    assert inputs.regions is None


def test_long_posts_read_each_token_where_most_of_its_context_is(tokenizer):
    words = ["jordan", "saw", "the", "nice"] * 5
    get_spans = configure_strided_spans(window=8, stride=4)
    inputs = collator(tokenizer, get_spans=get_spans)([post(words), post(["florence"])])
    assert first_pieces(inputs, tokenizer, 0) == words
    assert first_pieces(inputs, tokenizer, 1) == ["florence"]
    assert inputs.window_post.tolist().count(0) > 2
    # Token 5 is the sixth of the first window and the second of the next one.
    assert inputs.token_window[0, 5] == 0
    assert inputs.token_window[0, 7] == 1


def test_a_window_that_does_not_fit_the_encoder_is_halved(tokenizer):
    words = ["zzzzzzzzzz", "jordan", "zzzzzzzzzz", "saw"]
    inputs = collator(tokenizer, max_length=16)([post(words, caption="the")])
    assert inputs.text.ids.shape[1] <= 16
    assert inputs.joint.ids.shape[1] <= 16
    assert first_pieces(inputs, tokenizer, 0) == ["z", "jordan", "z", "saw"]


def test_a_word_that_does_not_fit_the_encoder_is_cut(tokenizer):
    inputs = collator(tokenizer, max_length=16)([post(["z" * 40, "saw"])])
    assert first_pieces(inputs, tokenizer, 0) == ["z", "saw"]


def test_tokens_that_no_window_holds_are_marked(tokenizer):
    def first_token(docs):
        return [[doc[:1]] for doc in docs]

    inputs = collator(tokenizer, get_spans=first_token)([post(["saw", "jordan"])])
    assert inputs.token_piece.tolist() == [[1, -1]]


def test_no_more_words_of_a_view_are_counted_than_are_read(tokenizer, nlp):
    docs = [make_doc(nlp, ["saw"], caption="nice " * n) for n in (3, 4, 5000)]
    three, four, many = count_pieces(tokenizer, docs, ["caption"], 4, False)
    assert three < four == many


def test_align_of_nothing():
    assert align([], [0]) == ([pytest.approx([])], [pytest.approx([])])


def test_regions_are_padded_and_a_wrong_width_is_a_coded_error(tokenizer):
    full = post(["saw"])
    full.regions, full.boxes = np.ones((2, 3), dtype="float32"), np.zeros((2, 4), dtype="float32")
    inputs = collator(tokenizer)([full, post(["saw"])])
    assert inputs.regions.mask.tolist() == [[True, True], [False, False]]
    full.regions = np.ones((2, 5), dtype="float32")
    with pytest.raises(MsvseError, match="MSVSE-E013"):
        collator(tokenizer)([full])


def example(nlp, words, reference_words=None, **annotations) -> Example:
    reference = Doc(nlp.vocab, words=reference_words or words)
    for name, spans in annotations.items():
        spans = [Span(reference, *span) for span in spans]
        reference.set_ents(spans, default="outside") if name == "ents" else reference.set_ents(
            [], missing=spans, default="unmodified"
        )
    return Example(Doc(nlp.vocab, words=words), reference)


def allowed_labels(targets, row) -> list[set[str]]:
    return [{LABELS[i] for i in np.flatnonzero(token)} for token in targets.allowed[row].numpy()]


def test_gold_labels_are_read_off_examples(nlp):
    targets = make_targets(
        [example(nlp, ["in", "new", "york"], ents=[(1, 3, "LOC")]), example(nlp, ["a"], ents=[])],
        CONFIG.types,
    )
    assert allowed_labels(targets, 0) == [{"O"}, {"B-LOC"}, {"I-LOC"}]
    assert targets.types.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert targets.types_known.all()


def test_missing_labels_are_never_taken_for_o(nlp):
    unannotated = example(nlp, ["in", "york"])
    targets = make_targets([unannotated], CONFIG.types)
    assert allowed_labels(targets, 0) == [set(LABELS), set(LABELS)]
    assert not targets.types_known.any()


def test_misaligned_tokens_are_never_taken_for_o(nlp):
    """The reference splits differently, so that an entity covers half a token."""
    misaligned = example(nlp, ["newyork", "saw"], ["new", "york", "saw"], ents=[(1, 2, "LOC")])
    targets = make_targets([misaligned], CONFIG.types)
    assert allowed_labels(targets, 0) == [set(LABELS), {"O"}]


def test_targets_are_those_of_a_plain_loop_over_random_labels(nlp):
    random = np.random.default_rng(0)
    examples = []
    for length in random.integers(1, 30, 50):
        cuts = np.unique(random.integers(0, length + 1, length))
        kinds = random.choice(["PER", "LOC", "", None], len(cuts))
        spans = [(*cut, kind) for *cut, kind in zip(cuts, cuts[1:], kinds, strict=False)]
        gold = Doc(nlp.vocab, words=["saw"] * int(length))
        gold.set_ents(
            [Span(gold, start, end, kind) for start, end, kind in spans if kind],
            missing=[Span(gold, start, end) for start, end, kind in spans if kind is None],
            default="outside",
        )
        examples.append(Example(Doc(nlp.vocab, words=["saw"] * int(length)), gold))
    targets = make_targets(examples, CONFIG.types)
    for row, example in enumerate(examples):
        gold = [
            token.ent_iob_ + ("-" + token.ent_type_ if token.ent_type_ else "")
            for token in example.reference
        ]
        assert allowed_labels(targets, row)[: len(gold)] == [
            {label} if label else set(LABELS) for label in gold
        ]
        found = {label[2:] for label in gold}
        assert targets.types[row].tolist() == [name in found for name in CONFIG.types]
        known = [name in found or "" not in gold for name in CONFIG.types]
        assert targets.types_known[row].tolist() == known
    assert not targets.types_known.all(), "labels were missing"


def test_an_unknown_gold_label_is_a_coded_error(nlp):
    with pytest.raises(MsvseError, match="MSVSE-E017"):
        make_targets([example(nlp, ["saw"], ents=[(0, 1, "ORG")])], CONFIG.types)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["O"], []),
        (["B-PER", "I-PER", "O"], [(0, 2, 0)]),
        (["B-PER", "B-PER", "I-PER"], [(0, 1, 0), (1, 3, 0)]),
        (["O", "B-LOC", "B-PER", "I-PER"], [(1, 2, 1), (2, 4, 0)]),
    ],
)
def test_entities_are_read_off_a_labelling(labels, expected):
    assert find_entities(np.asarray([LABELS.index(label) for label in labels])) == expected
