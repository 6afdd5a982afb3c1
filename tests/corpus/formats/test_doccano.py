"""Posts of doccano. The files are made in the form of its exports."""

import pytest

from .conftest import get_entities

#: doccano 1.8, sequence labelling, "JSONL"; its documentation: doccano.github.io, "Export".
TUPLES = [
    {"id": 1, "text": "Ada met Bob", "image": "1.jpg", "label": [[0, 3, "PER"], [8, 11, "PER"]]},
    {"id": 2, "text": "hello", "image": "2.jpg", "label": []},
]
#: Versions before 1.5: `labels`; some versions had `data` for the text.
OLDER = [{"id": 1, "data": "Ada met Bob", "image": "1.jpg", "labels": [[0, 3, "PER"]]}]
#: doccano 1.8 with relations, "JSONL(relation)".
RELATIONS = [
    {
        "id": 6400,
        "text": "Ada met Bob",
        "image": "1.jpg",
        "Comments": [],
        "entities": [
            {"id": 1662, "label": "PER", "start_offset": 0, "end_offset": 3},
            {"id": 1663, "label": "PER", "start_offset": 8, "end_offset": 11},
        ],
        "relations": [{"id": 273, "from_id": 1662, "to_id": 1663, "type": "met"}],
    }
]
#: doccano 1.0: numbers of labels in its database, with users.
NUMBERS = [
    {
        "id": 1,
        "text": "Ada met Bob",
        "image": "1.jpg",
        "annotations": [
            {"label": 41, "start_offset": 0, "end_offset": 3, "user": 1, "created_at": "2021"},
        ],
        "meta": {},
        "annotation_approver": None,
    }
]

PER = [("Ada", "PER"), ("Bob", "PER")]


@pytest.mark.parametrize(
    ("records", "options", "expected"),
    [
        (TUPLES, {}, [PER, []]),
        (list(reversed(TUPLES)), {}, [[], PER]),
        (OLDER, {}, [PER[:1]]),
        (RELATIONS, {}, [PER]),
        (NUMBERS, {"labels": {41: "PER", 42: "LOC"}}, [PER[:1]]),
    ],
)
def test_each_shape_is_recognised_and_read(read, records, options, expected):
    source, posts, docs, bad_rows = read(records, **options)
    assert source.title == "doccano in JSONL"
    assert not bad_rows
    assert [get_entities(doc) for doc in docs] == expected
    assert all(doc._.image for doc in docs)
    assert all(post.entities is not None for post in posts)


def test_numbers_of_labels_need_their_names(read):
    with pytest.raises(ValueError, match=r"MSVSE-E244.*'annotations'.*--labels"):
        read(NUMBERS)
    _, _, _, ((line, reason),) = read(NUMBERS, labels={1: "PER"})
    assert (line, reason) == (1, "'annotations.0' has the label 41, which the labels do not have")


def test_a_post_without_annotation_stays_without(read):
    _, posts, _, _ = read([*TUPLES, {"id": 3, "text": "new"}])
    assert [post.entities is None for post in posts] == [False, False, True]


def test_offsets_that_javascript_counts_are_read_on_request(read):
    records = [{"text": "😀 Ada", "image": "1.jpg", "label": [[3, 6, "PER"]]}]
    _, _, (doc,), _ = read(records, offsets="utf16")
    assert get_entities(doc) == [("Ada", "PER")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"text": "Ada", "label": [[0, 3]]}, "'label.0' is [0, 3], not [start, end, label]"),
        ({"text": "Ada", "label": [[0, 3, None]]}, "'label.0'"),
        ({"text": "Ada", "label": [["0", 3, "PER"]]}, "'label.0'"),
        ({"text": "Ada", "label": [{"start_offset": 0, "label": "PER"}]}, "'label.0'"),
        ({"text": "Ada", "label": [[0, 9, "PER"]]}, "outside the text"),
        ({"text": "Ada", "label": [[0, 3, ""]]}, "label of span 0 is empty"),
        ({"text": "Ada", "label": [[0, 3, "PER"]], "spans": []}, "both 'spans' and 'label'"),
        ({"label": [[0, 3, "PER"]]}, "neither 'text' nor 'words'"),
        ({"text": 3, "label": []}, "'text'"),
    ],
)
def test_a_malformed_row_is_reported_and_the_others_are_kept(read, record, reason):
    _, _, docs, ((line, found),) = read([TUPLES[0], record, TUPLES[1]])
    assert len(docs) == 2
    assert line == 2
    assert reason in found


def test_rows_of_ours_with_a_key_of_the_name_are_not_of_doccano(read):
    rows = [
        {"text": "Ada", "spans": [], "label": [[0, 3, "PER"]]},
        {"text": "Ada", "label": [[0, 3, "PER"]]},
    ]
    source, posts, _, _ = read(rows)
    assert source.shape == "posts"
    assert posts[1].unread_keys == {"annotation": ["label"]}


def test_without_annotation_rows_stay_as_they_are(read):
    source, _, _, _ = read(TUPLES, annotation=False)
    assert source.shape == "doccano"
    _, posts, _, _ = read(OLDER, annotation=False)
    assert posts[0].text == "Ada met Bob"
    assert posts[0].entities is None
