"""Posts of Label Studio. The files are made in the form of its documentation (1.x:
guide/task_format, guide/export, guide/predictions)."""

import json

import pytest

from spacy_msvse.corpus.formats.label_studio import write_label_studio

from .conftest import get_entities

REGION = {
    "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]},
    "id": "GX5a2",
    "from_name": "label",
    "to_name": "text",
    "type": "labels",
    "origin": "manual",
}
BOX = {
    "original_width": 600,
    "original_height": 403,
    "image_rotation": 0,
    "value": {
        "x": 10,
        "y": 25,
        "width": 40,
        "height": 50,
        "rotation": 0,
        "rectanglelabels": ["PER"],
    },
    "id": "Dx_aB91",
    "from_name": "box",
    "to_name": "img",
    "type": "rectanglelabels",
}


def make_annotation(*results, **settings):
    return {
        "id": 1001,
        "completed_by": 10,
        "result": list(results),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "updated_at": "2021-03-09T22:16:08.728378Z",
        "lead_time": 4.288,
        **settings,
    }


def make_task(*annotations, data=None, **settings):
    data = data or {"text": "Ada sings", "image": "/data/local-files/?d=pictures/1.jpg"}
    return {"id": 7, "data": data, "annotations": list(annotations), "predictions": [], **settings}


def read_tasks(read, *tasks, **options):
    return read(json.dumps(tasks, indent=1), "export.json", **options)


def test_tasks_are_recognised_and_read(read):
    tasks = make_task(make_annotation(REGION)), make_task(make_annotation()), make_task()
    source, posts, docs, bad_rows = read_tasks(read, *tasks)
    assert source.title == "tasks of Label Studio in a JSON array"
    assert not bad_rows
    assert [get_entities(doc) for doc in docs] == [[("Ada", "PER")], [], []]
    assert [post.entities is None for post in posts] == [False, False, True]
    assert posts[0].image == "pictures/1.jpg"


def test_json_min_is_recognised_and_read(read):
    record = {
        "tweet": "Ada sings",
        "photo": "1.jpg",
        "id": 7,
        "ner": [REGION["value"]],
        "annotator": 10,
        "annotation_id": 1001,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "updated_at": "2021-03-09T22:16:08.728378Z",
        "lead_time": 4.288,
    }
    without = {**record, "id": 8}
    del without["ner"]
    for records in ((record, without), (without, record)):
        source, posts, docs, bad_rows = read_tasks(read, *records)
        assert source.title == "JSON_MIN of Label Studio in a JSON array"
        assert not bad_rows
        assert sorted(map(len, (doc.ents for doc in docs))) == [0, 1]
        assert [post.image for post in posts] == ["1.jpg", "1.jpg"]
        assert not any(post.entities is None for post in posts)


def test_the_text_and_the_picture_may_have_other_names(read):
    data = {"tweet": "Ada sings", "url": "pictures/1.png", "n": 3}
    _, (post,), (doc,), _ = read_tasks(read, make_task(make_annotation(REGION), data=data))
    assert (post.image, get_entities(doc)) == ("pictures/1.png", [("Ada", "PER")])


def test_boxes_are_in_per_cent_of_the_picture(read):
    _, (post,), (doc,), bad_rows = read_tasks(read, make_task(make_annotation(REGION, BOX)))
    assert not bad_rows
    assert post.meta["boxes"] == [("PER", 1.0, 0.1, 0.25, 0.5, 0.75)]
    assert get_entities(doc) == [("Ada", "PER")]


def test_other_results_are_no_entities(read):
    relation = {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"}
    choice = {
        "type": "choices",
        "value": {"choices": ["good"]},
        "from_name": "c",
        "to_name": "text",
    }
    task = make_task(make_annotation(relation, REGION, choice))
    _, _, (doc,), bad_rows = read_tasks(read, task)
    assert not bad_rows
    assert get_entities(doc) == [("Ada", "PER")]


def test_a_task_that_was_skipped_counts_as_ignored(read):
    cancelled = make_annotation(was_cancelled=True)
    tasks = make_task(cancelled), make_task(cancelled, make_annotation(REGION))
    _, _, docs, bad_rows = read_tasks(read, *tasks)
    assert [get_entities(doc) for doc in docs] == [[("Ada", "PER")]]
    assert bad_rows == [(2, "the annotation was not accepted (answer: 'ignore')")]


def test_of_annotations_that_differ_the_ground_truth_counts(read):
    other = {**REGION, "value": {**REGION["value"], "labels": ["ORG"]}}
    same = {**REGION, "id": "other"}
    tasks = (
        make_task(make_annotation(REGION), make_annotation(same, id=2)),
        make_task(make_annotation(other), make_annotation(REGION, ground_truth=True)),
        make_task(make_annotation(other), make_annotation(REGION)),
    )
    _, _, docs, ((_, reason),) = read_tasks(read, *tasks)
    assert [get_entities(doc) for doc in docs] == [[("Ada", "PER")]] * 2
    assert reason == "the task has 2 annotations that differ; mark one as ground truth"


def test_without_annotations_the_last_prediction_counts_and_is_named(read):
    predictions = [{"model_version": "a", "result": []}, {"result": [REGION], "score": 0.9}]
    _, (post,), (doc,), _ = read_tasks(read, make_task(predictions=predictions))
    assert get_entities(doc) == [("Ada", "PER")]
    assert post.scheme == "predictions"


def test_an_old_export_has_completions(read):
    task = {"id": 1, "data": {"text": "Ada sings"}, "completions": [make_annotation(REGION)]}
    _, _, (doc,), _ = read_tasks(read, task)
    assert get_entities(doc) == [("Ada", "PER")]


def test_old_versions_count_utf16_units_and_get_a_hint(read):
    """Their offsets are those of JavaScript: github.com/HumanSignal/label-studio/issues/1347."""
    region = {**REGION, "value": {"start": 3, "end": 6, "text": "Ada", "labels": ["PER"]}}
    task = make_task(make_annotation(region), data={"text": "😀 Ada", "image": "1.jpg"})
    _, _, _, ((_, reason),) = read_tasks(read, task)
    assert "--offsets utf16" in reason
    _, _, (doc,), _ = read_tasks(read, task, offsets="utf16")
    assert get_entities(doc) == [("Ada", "PER")]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"id": 1, "annotations": []}, "the task has no object 'data'"),
        (make_task(data={"a": "x", "b": "y"}), "neither 'text' nor 'words'"),
        (make_task(3), "'annotations' is [3], not a list of objects"),
        (make_task(annotations=None), "'annotations' is None"),
        (make_task(make_annotation(3)), "'result' is [3]"),
        (make_task(make_annotation({"type": "labels"})), "has no list 'labels'"),
        (
            make_task(make_annotation({**REGION, "value": {"start": 0, "labels": ["PER"]}})),
            "no span of the text",
        ),
        (
            make_task(
                make_annotation(
                    {
                        **REGION,
                        "type": "hypertextlabels",
                        "value": {
                            "start": "/p[1]/text()[1]",
                            "end": "/p[1]/text()[1]",
                            "startOffset": 0,
                            "endOffset": 3,
                            "hypertextlabels": ["PER"],
                        },
                    }
                )
            ),
            "as in HTML or dialogues",
        ),
        (
            make_task(make_annotation({**REGION, "value": {**REGION["value"], "end": 99}})),
            "span 0-99 contradicts the text",
        ),
        (
            make_task(
                make_annotation({**REGION, "value": {**REGION["value"], "labels": ["A", "B"]}})
            ),
            "overlap",
        ),
    ],
)
def test_a_malformed_task_is_reported_and_the_others_are_kept(read, task, reason):
    good = make_task(make_annotation(REGION))
    _, _, docs, ((_, found),) = read_tasks(read, good, task, good)
    assert len(docs) == 2
    assert reason in found


#: Rows as `annotate` writes them.
ANNOTATED = [
    {
        "text": "Ada met Bob",
        "image": "1.jpg",
        "tags": ["dog"],
        "meta": {"id": 1},
        "spans": [
            {"start": 0, "end": 3, "label": "PER", "score": 0.9},
            {"start": 8, "end": 11, "label": "PER", "score": 0.4},
        ],
    },
    {"words": ["😀", "Ada"], "text": "😀 Ada", "spans": [{"start": 2, "end": 5, "label": "PER"}]},
    {"text": "hello", "spans": []},
    {"text": 3, "spans": "none", "error": "'text' is no text"},
    {"text": "Ada", "spans": [{"start": "0"}], "error": "'spans.0.end': Field required"},
    {"line": "{", "error": "not JSON"},
]


def test_predictions_have_the_form_of_the_documentation(tmp_path):
    write_label_studio(lambda: ANNOTATED, tmp_path / "out.json", model="en_demo-1.0")
    first, second, third, *others = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert first["data"] == {key: ANNOTATED[0][key] for key in ("text", "image", "tags", "meta")}
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == "en_demo-1.0"
    assert prediction["score"] == 0.4
    assert prediction["result"][0] == {
        "id": "1-1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]},
        "score": 0.9,
    }
    ids = [result["id"] for task in (first, second) for result in task["predictions"][0]["result"]]
    assert len(set(ids)) == 3
    assert third["predictions"] == [{"model_version": "en_demo-1.0", "result": []}]
    assert [task["data"] for task in others] == ANNOTATED[3:]
    assert not any("predictions" in task for task in others)


def test_what_was_written_is_read_again_equal(read, tmp_path):
    write_label_studio(lambda: ANNOTATED[:3], tmp_path / "out.json", model="en_demo-1.0")
    source, posts, _, bad_rows = read((tmp_path / "out.json").read_bytes(), "again.json")
    assert source.shape == "label-studio"
    assert not bad_rows
    _, expected, _, _ = read(ANNOTATED[:3])
    for found, post in zip(posts, expected, strict=True):
        assert (found.text, found.entities, found.image) == (post.text, post.entities, post.image)
        assert (found.tags, found.meta) == (post.tags, post.meta)


def test_no_rows_are_an_empty_array(tmp_path):
    write_label_studio(lambda: [], tmp_path / "out.json", model="m")
    assert json.loads((tmp_path / "out.json").read_text()) == []
