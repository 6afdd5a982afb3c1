"""From posts to tensors: word pieces, windows, joint input, batches, gold labels."""

import numpy as np
import pytest
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from transformers import AutoTokenizer

from spacy_msvse import make_doc
from spacy_msvse.component.batches import cut_batches
from spacy_msvse.component.encode import PieceEncoder, align
from spacy_msvse.component.reader import ReadPost
from spacy_msvse.component.span_getters import create_strided_spans
from spacy_msvse.component.targets import make_targets
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import Reads
from spacy_msvse.network.crf import bio_labels
from spacy_msvse.vision.features import RegionFeatures

TYPES = ("PER", "LOC")
READS = Reads(vectors=("regions",), texts=("tags", "caption"), joint=("caption",))
LABELS = bio_labels(TYPES)


@pytest.fixture(scope="module")
def tokenizer(encoder):
    return AutoTokenizer.from_pretrained(encoder)


def whole_docs(docs):
    return [[doc[:]] for doc in docs]


def encoder_of(tokenizer, reads=READS, get_spans=whole_docs, max_length=64, max_view_words=64):
    return PieceEncoder(
        tokenizer,
        get_spans,
        reads,
        max_length=max_length,
        max_view_words=max_view_words,
        region_dim=3,
    )


def collator(*args, **settings):
    """From posts to tensors in one step."""
    ours = encoder_of(*args, **settings)
    return lambda posts: ours.collate(ours.encode(posts))


def post(words, **texts) -> ReadPost:
    return ReadPost(Doc(Vocab(), words=words), texts=texts)


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
    assert inputs.joint.token_types[0][inputs.joint.mask[0]].tolist() == [0, 0, 0, 0, 1, 1, 1]
    plain = inputs.text.ids[1][inputs.text.mask[1]]
    assert torch.equal(inputs.joint.ids[1][inputs.joint.mask[1]], plain), "no view, plain text"


def test_several_joint_views_are_kept_apart(tokenizer):
    reads = Reads(texts=("tags",), joint=("caption", "ocr"))
    inputs = collator(tokenizer, reads)([post(["saw"], caption="the", ocr="nice")])
    assert tokenizer.convert_ids_to_tokens(inputs.joint.ids[0]) == (
        ["[CLS]", "saw", "[SEP]", "the", "[SEP]", "nice", "[SEP]"]
    )
    assert inputs.joint_spans["caption"].tolist() == [[3, 4]]
    assert inputs.joint_spans["ocr"].tolist() == [[5, 6]]
    assert set(inputs.texts) == {"tags"}


def test_the_place_of_a_joint_view_is_known_also_where_it_is_cut_or_absent(tokenizer):
    reads = Reads(joint=("caption", "ocr"))
    posts = [
        post(["saw"], caption="the " * 3, ocr="nice " * 60),
        post(["saw"], ocr="nice"),
        post(["saw"]),
    ]
    inputs = collator(tokenizer, reads, max_length=16)(posts)
    assert inputs.joint_spans["caption"].tolist() == [[3, 6], [0, 0], [0, 0]]
    assert inputs.joint_spans["ocr"].tolist() == [[7, 15], [3, 4], [0, 0]]
    assert inputs.present("caption").tolist() == [True, False, False]
    assert inputs.present("ocr").tolist() == [True, True, False]


@pytest.fixture(params=["right", "left"])
def cutting_tokenizer(request, encoder):
    """A tokenizer that cuts a text that is too long on one side."""
    return AutoTokenizer.from_pretrained(encoder, truncation_side=request.param)


@pytest.mark.parametrize("max_length", range(11, 25))
def test_the_place_of_a_joint_view_holds_its_own_pieces(cutting_tokenizer, max_length):
    """The cut is on either side. It leaves both views, one view, or none."""
    reads = Reads(joint=("caption", "ocr"))
    posts = [post(["saw"], caption="the " * 6, ocr="nice " * 8)]
    inputs = collator(cutting_tokenizer, reads, max_length=max_length)(posts)
    pieces = cutting_tokenizer.convert_ids_to_tokens(inputs.joint.ids[0])
    assert len(pieces) == min(max_length, 4 + 6 + 1 + 8)
    for view, word in (("caption", "the"), ("ocr", "nice")):
        first, end = inputs.joint_spans[view][0].tolist()
        assert pieces[first:end] == [word] * pieces.count(word)
        assert bool(inputs.present(view)) == (word in pieces)


def test_every_text_and_every_view_is_tokenised_once(tokenizer, monkeypatch):
    """A caption is both a prefix view and a joint view, and a window may be halved."""
    from spacy_msvse.component import encode

    seen = []

    def encode_words(tokenizer, texts, **settings):
        seen.extend(tuple(words) for words in texts)
        return original(tokenizer, texts, **settings)

    original = encode.encode_words
    monkeypatch.setattr(encode, "encode_words", encode_words)
    words = ["jordan", "zzzzzz"] * 6
    collator(tokenizer, max_length=16)([post(words, caption="the nice", tags="very")])
    assert sorted(seen) == sorted([tuple(words), ("the", "nice"), ("very",)])


def test_half_a_surrogate_pair_in_a_view_is_read_as_another_character(tokenizer):
    posts = [post(["saw"], caption="the \ud83d dog", tags="\ude00"), post(["saw"], caption="the ?")]
    inputs = collator(tokenizer)(posts)
    decode = tokenizer.convert_ids_to_tokens
    assert decode(inputs.joint.ids[0][inputs.joint.mask[0]])[3:6] == ["the", "?", "d"]
    assert decode(inputs.texts["tags"].ids[0]) == ["?"]


def test_an_absent_view_has_an_empty_row(tokenizer):
    inputs = collator(tokenizer)([post(["saw"], tags="nice"), post(["saw"])])
    assert inputs.texts["tags"].mask.tolist() == [[True], [False]]
    assert not inputs.texts["caption"].mask.any()
    assert inputs.vectors == {}


def test_long_posts_read_each_token_where_most_of_its_context_is(tokenizer):
    words = ["jordan", "saw", "the", "nice"] * 5
    get_spans = create_strided_spans(window=8, stride=4)
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


def test_no_more_words_of_a_view_are_encoded_than_asked_for(tokenizer):
    ours = encoder_of(tokenizer, max_view_words=4)
    posts = [post(["saw"], caption="nice " * n) for n in (3, 4, 5000)]
    three, four, many = (encoded.length for encoded in ours.encode(posts))
    assert three < four == many


def test_align_of_nothing():
    assert align([], [], [0], 1) == ([pytest.approx([])], [pytest.approx([])])


def test_batches_are_cut_by_what_is_encoded(tokenizer):
    """Two tokens can be 2 word pieces or 20, and a caption adds to them."""
    posts = [
        post(["saw", "jordan"]),
        post(["abcdefghij", "abcdefghij"]),
        post(["saw", "jordan"], caption="saw the very nice florence"),
    ]
    encoded = encoder_of(tokenizer).encode(posts)
    assert list(cut_batches(encoded, 1000)) == [[1, 2, 0]]
    assert list(cut_batches(encoded, 25)) == [[1], [2, 0]]
    assert list(cut_batches(encoded, 1)) == [[1], [2], [0]]
    assert list(cut_batches(encoded, 1000, in_order=True)) == [[0, 1, 2]]
    assert list(cut_batches(encoded, 25, in_order=True)) == [[0], [1], [2]]
    assert list(cut_batches([], 10)) == []


def test_windows_of_long_posts_count_in_a_batch(tokenizer):
    get_spans = create_strided_spans(window=4, stride=4)
    encoded = encoder_of(tokenizer, get_spans=get_spans).encode([post(["saw"] * 16)] * 3)
    assert [len(each.windows) for each in encoded] == [4, 4, 4]
    assert list(cut_batches(encoded, 6 * 8)) == [[0, 1], [2]]


def test_regions_are_padded_and_a_wrong_width_is_a_coded_error(tokenizer):
    boxes = np.zeros((2, 4), dtype="float32")
    full = post(["saw"])
    full.vectors["regions"] = RegionFeatures(np.ones((2, 3), dtype="float32"), boxes)
    inputs = collator(tokenizer)([full, post(["saw"])])
    assert inputs.vectors["regions"].mask.tolist() == [[True, True], [False, False]]
    full.vectors["regions"] = RegionFeatures(np.ones((2, 5), dtype="float32"), boxes)
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


def test_gold_labels_are_read_from_examples(nlp):
    targets = make_targets(
        [example(nlp, ["in", "new", "york"], ents=[(1, 3, "LOC")]), example(nlp, ["a"], ents=[])],
        TYPES,
    )
    assert allowed_labels(targets, 0) == [{"O"}, {"B-LOC"}, {"I-LOC"}]
    assert targets.entity_types.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert targets.types_known.all()


def test_missing_labels_are_never_taken_for_o(nlp):
    unannotated = example(nlp, ["in", "york"])
    targets = make_targets([unannotated], TYPES)
    assert allowed_labels(targets, 0) == [set(LABELS), set(LABELS)]
    assert not targets.types_known.any()


def test_misaligned_tokens_are_never_taken_for_o(nlp):
    """The reference splits differently, so that an entity covers half a token."""
    misaligned = example(nlp, ["newyork", "saw"], ["new", "york", "saw"], ents=[(1, 2, "LOC")])
    targets = make_targets([misaligned], TYPES)
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
    targets = make_targets(examples, TYPES)
    for row, example in enumerate(examples):
        gold = [
            token.ent_iob_ + ("-" + token.ent_type_ if token.ent_type_ else "")
            for token in example.reference
        ]
        assert allowed_labels(targets, row)[: len(gold)] == [
            {label} if label else set(LABELS) for label in gold
        ]
        found = {label[2:] for label in gold}
        assert targets.entity_types[row].tolist() == [name in found for name in TYPES]
        known = [name in found or "" not in gold for name in TYPES]
        assert targets.types_known[row].tolist() == known
    assert not targets.types_known.all(), "labels were missing"


def test_an_unknown_gold_label_is_a_coded_error(nlp):
    with pytest.raises(MsvseError, match="MSVSE-E017"):
        make_targets([example(nlp, ["saw"], ents=[(0, 1, "ORG")])], TYPES)


def test_queries_are_tokenised_once_and_leave_less_room_for_the_text(nlp, encoder):
    """The network puts a query before each window, and both must fit the encoder."""
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    docs = [ReadPost(make_doc(nlp, ["saw"] * 100)), ReadPost(make_doc(nlp, "jordan"))]
    reads = Reads(queries=("the nice jordan", "amazon"))
    spans = create_strided_spans(200, 200)
    pieces = PieceEncoder(tokenizer, spans, reads, max_length=64, max_view_words=8, region_dim=3)
    inputs = pieces.collate(pieces.encode(docs))
    assert inputs.queries.mask.sum(dim=1).tolist() == [5, 3]
    assert inputs.text.ids.shape[1] <= 64 - 5
    assert (inputs.token_piece[0] >= 0).all()


def test_a_query_that_leaves_no_room_for_the_text_is_refused(encoder):
    tokenizer, spans = AutoTokenizer.from_pretrained(encoder), create_strided_spans(200, 200)
    reads = Reads(queries=("jordan", "jordan " * 60))
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*queries.*62 word pieces.*at most 56"):
        PieceEncoder(tokenizer, spans, reads, max_length=64, max_view_words=8, region_dim=3)


def test_drawn_boxes_become_targets_by_the_type_of_the_entity_that_they_name(nlp):
    doc = make_doc(nlp, "saw Jordan in Phoenix")
    boxes = [("Phoenix", 1.0, 0.5, 0.5, 1.0, 1.0), ("a dog", 1.0, 0.0, 0.0, 0.5, 0.5)]
    named = Example.from_dict(doc, {"entities": [(4, 10, "PER"), (14, 21, "LOC")]})
    named.reference.user_data["meta"] = {"boxes": boxes}
    other = Example.from_dict(make_doc(nlp, "nothing"), {"entities": []})
    targets = make_targets([named, other], ["PER", "LOC"])
    assert targets.box_types.tolist() == [[1], [-1]]
    assert targets.boxes[0, 0].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert make_targets([other], ["PER", "LOC"]).boxes is None
