"""`annotate --ask-below` asks only about posts that the pipeline is unsure of."""

import json
import warnings
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.component import predictor
from spacy_msvse.corpus.annotate import BATCH_SIZE, annotate
from spacy_msvse.corpus.ask_below import Asking
from spacy_msvse.corpus.jsonl import read_rows
from spacy_msvse.corpus.resume import partial_path
from spacy_msvse.corpus.rows import Row
from spacy_msvse.vision.extractors.chat_client import Usage

from ..chat_server import chat_server, completion, question
from ..tiny import save_encoder, tiny_pipeline, train
from . import command

pytest.importorskip("aiohttp")

#: What the model says decides the type of "jordan".
SAID = {"PER": "visit", "LOC": "today"}

#: The type of "jordan" is unknown without an answer. That of "amazon" is known.
UNSURE = {"PER": "saw jordan again", "LOC": "saw jordan again ."}
SURE = ("the amazon in a", "saw the amazon")
TEXTS = [UNSURE["PER"], SURE[0], UNSURE["LOC"], SURE[1]]
ROWS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]

VISION = {
    "@misc": "spacy-msvse.VisualExtractor.v1",
    "knowledge": {"@misc": "spacy-msvse.ChatView.v1", "retries": 0},
}


def reply(server, handler, body):
    label = "LOC" if "." in question(body).splitlines()[2] else "PER"
    return completion(SAID[label])


def fails(server, handler, body):
    """No answer for a post with a full stop."""
    if "." not in question(body).splitlines()[2]:
        return reply(server, handler, body)
    handler.answer(b"too long", 400)
    return None


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """A pipeline that was trained on posts with and without the view."""
    folder = tmp_path_factory.mktemp("ask-below")
    settings = {"prefix_views": ["knowledge"], "joint_views": ["knowledge"]}
    nlp = tiny_pipeline(save_encoder(folder / "encoder"), model=settings, vision=VISION)
    examples = []
    for label, said in SAID.items():
        for text in UNSURE.values():
            for texts in ({"knowledge": said}, None):
                gold = {"entities": [(4, 10, label)]}
                examples.append(Example.from_dict(make_doc(nlp, text, texts=texts), gold))
        for text in SURE:
            start = text.index("amazon")
            for texts in ({"knowledge": said}, None):
                gold = {"entities": [(start, start + 6, "ORG")]}
                examples.append(Example.from_dict(make_doc(nlp, text, texts=texts), gold))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\[MSVSE-W060\]")
        train(nlp, examples, steps=100)
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture
def posts(tmp_path) -> Path:
    path = tmp_path / "posts.jsonl"
    write(path, ROWS)
    return path


@pytest.fixture(scope="module")
def before(pipeline) -> list[dict]:
    """The rows as they are annotated without any answer."""
    folder = pipeline.parent
    write(folder / "posts.jsonl", ROWS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\[MSVSE-W0(01|60)\]")
        arguments = (pipeline, folder / "posts.jsonl", folder / "out.jsonl", "--n-process", 0)
        command.run("annotate", *arguments)
    return read(folder / "out.jsonl")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def types(row):
    return [span["label"] for span in row["spans"]]


def run(pipeline, posts, output, server, *options, **settings):
    asked = ("--chat-url", server.url, "--ask-below", 0.9, "--n-process", 0)
    return command.run("annotate", pipeline, posts, output, *asked, *options, **settings)


@pytest.mark.parametrize("n_process", [0, 1])
def test_only_posts_below_the_threshold_are_asked_for(pipeline, posts, before, tmp_path, n_process):
    with chat_server(reply) as server:
        output = tmp_path / "out.jsonl"
        result = run(pipeline, posts, output, server, "--n-process", n_process)
        assert sorted(one.splitlines()[2] for one in server.questions) == sorted(UNSURE.values())
    rows = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert [row["asked"] for row in rows] == [True, False, True, False]
    assert list(map(types, rows)) == [["PER"], ["ORG"], ["LOC"], ["ORG"]]
    assert [{**row, "asked": False} for row in before[1::2]] == rows[1::2]
    assert "4 rows annotated; asked for 2 of 4 posts" in result.stderr
    assert "2 requests; tokens: 14 in, 6 out" in result.stderr


def test_a_post_that_has_the_view_is_not_asked_for(pipeline, posts, tmp_path):
    given = [{"text": UNSURE["PER"], "texts": {"knowledge": said}} for said in (SAID["LOC"], "")]
    write(posts, given)
    with chat_server(reply) as server:
        result = run(pipeline, posts, tmp_path / "out.jsonl", server)
        assert server.bodies == []
    rows = read(tmp_path / "out.jsonl")
    assert [row["asked"] for row in rows] == [False, False]
    assert types(rows[0]) == ["LOC"]
    assert "asked for 0 of 2 posts" in result.stderr
    assert "0 requests; tokens: 0 in, 0 out" in result.stderr


def test_a_stored_answer_is_used_and_not_asked_for_again(pipeline, posts, tmp_path):
    store = ("--features", tmp_path / "store")
    with chat_server(reply) as server:
        run(pipeline, posts, tmp_path / "a.jsonl", server, *store)
        result = run(pipeline, posts, tmp_path / "b.jsonl", server, *store)
        assert len(server.bodies) == 2
    assert "0 requests" in result.stderr
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


@pytest.mark.parametrize("done", [1, 3])
def test_a_run_that_continues_has_the_same_output(pipeline, posts, tmp_path, done):
    store = ("--features", tmp_path / "store")
    output = tmp_path / "out.jsonl"
    with chat_server(reply) as server:
        run(pipeline, posts, output, server, *store)
        whole = output.read_bytes()
        output.unlink()
        lines = whole.splitlines(keepends=True)
        partial_path(output).write_bytes(b"".join(lines[:done]) + lines[done][:5])
        result = run(pipeline, posts, output, server, *store)
        assert len(server.bodies) == 2
    assert output.read_bytes() == whole
    rest = [row["asked"] for row in read(output)[done:]]
    assert f"asked for {sum(rest)} of {len(rest)} post" in result.stderr


def test_a_post_without_an_answer_keeps_its_first_reading_and_says_so(
    pipeline, posts, before, tmp_path
):
    with chat_server(fails) as server:
        result = run(pipeline, posts, tmp_path / "out.jsonl", server)
    rows = read(tmp_path / "out.jsonl")
    assert ["error" in row for row in rows] == [False, False, True, False]
    assert "MSVSE-E222" in rows[2]["error"]
    assert rows[2]["asked"] is True
    assert rows[2]["spans"] == before[2]["spans"]
    assert types(rows[0]) == ["PER"]
    assert "1 of them with an error; asked for 2 of 4 posts" in result.stderr


def test_a_row_that_cannot_be_used_is_not_asked_for(pipeline, posts, tmp_path):
    write(posts, [{"text": 3}, {"text": ""}, {"text": UNSURE["PER"], "image": "gone.png"}])
    with chat_server(reply) as server:
        run(pipeline, posts, tmp_path / "out.jsonl", server)
        assert len(server.bodies) == 1
    bad, empty, without_picture = read(tmp_path / "out.jsonl")
    assert (bad["asked"], empty["asked"], without_picture["asked"]) == (False, False, True)
    assert "error" in bad
    assert types(without_picture) == ["PER"]


@pytest.mark.parametrize("share", [0, 1])
def test_at_the_ends_of_the_range_none_and_all_are_asked_for(pipeline, posts, tmp_path, share):
    with chat_server(reply) as server:
        run(pipeline, posts, tmp_path / "out.jsonl", server, "--ask-below", share)
        assert len(server.bodies) == 4 * share


def test_without_a_threshold_the_key_of_a_user_stays(pipeline, posts, tmp_path):
    write(posts, [{"text": SURE[0], "asked": "yesterday"}])
    with chat_server(reply) as server:
        asked = ("--ask", "--chat-url", server.url, "--n-process", 0)
        result = command.run("annotate", pipeline, posts, tmp_path / "a.jsonl", *asked)
        assert "1 request; tokens: 7 in, 3 out" in result.stderr
        run(pipeline, posts, tmp_path / "b.jsonl", server)
    assert read(tmp_path / "a.jsonl")[0]["asked"] == "yesterday"
    assert read(tmp_path / "b.jsonl")[0]["asked"] is False


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--ask-below", 0.5], "E225"),
        (["--ask-below", 0.5, "--ask", "--chat-url", "http://127.0.0.1:9/v1"], "E261"),
    ],
)
def test_options_that_do_not_fit_are_refused(pipeline, posts, tmp_path, options, code):
    result = command.run("annotate", pipeline, posts, tmp_path / "a.jsonl", *options, status=1)
    assert f"MSVSE-{code}] " in result.stderr
    assert "--ask-below" in result.stderr


def test_a_method_without_confidences_of_posts_is_one_coded_error(
    pipeline, posts, tmp_path, monkeypatch
):
    monkeypatch.setattr(predictor, "absences_of", lambda answer, found, posts: [None] * posts)
    with chat_server(reply) as server:
        result = run(pipeline, posts, tmp_path / "out.jsonl", server, status=1)
        assert server.bodies == []
    assert "MSVSE-E260" in result.stderr


@pytest.mark.parametrize("option", ["--ask", "--ask-below=0.5"])
def test_a_view_that_no_component_reads_is_not_asked_for(pipeline, posts, tmp_path, option):
    nlp = spacy.load(pipeline)
    # Half of its training posts had the view.
    nlp.get_pipe("msvse_ner").min_view_share = 1.0
    nlp.to_disk(tmp_path / "changed")
    options = (option, "--chat-url", "http://127.0.0.1:9/v1", "--n-process", 0)
    with pytest.warns(UserWarning, match="MSVSE-W003"):
        result = command.run(
            "annotate", tmp_path / "changed", posts, tmp_path / "a.jsonl", *options, status=1
        )
    assert "MSVSE-E262" in result.stderr


def test_batches_are_asked_for_while_later_rows_are_not_yet_read(pipeline):
    nlp = spacy.load(pipeline)
    taken, usage = [], Usage()

    def rows():
        for number in range(10 * BATCH_SIZE):
            taken.append(number)
            yield Row(Path("posts.jsonl"), number, {"text": TEXTS[number % 2]})

    with chat_server(reply) as server:
        asking = Asking(server.url, below=0.9)
        found = annotate(nlp, rows(), n_process=0, asking=asking, usage=usage)
        assert next(found).values["asked"] is True
        assert usage.requests == len(server.bodies) == 1  # equal posts share an answer
        assert len(taken) <= 2 * BATCH_SIZE
        found.close()
    assert not nlp.get_pipe("msvse_ner").vision.extractors["knowledge"].ready


@pytest.fixture
def corpus(tmp_path):
    """Gold posts whose view is given, two of each text."""
    nlp = spacy.blank("en")
    docs = []
    for text, label in [*((text, label) for label, text in UNSURE.items()), *GOLD] * 2:
        doc = make_doc(nlp, text, texts={"knowledge": SAID.get(label, SAID["PER"])})
        start = text.index("amazon" if label == "ORG" else "jordan")
        doc.set_ents([doc.char_span(start, start + 6, label)])
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    return tmp_path / "dev.spacy"


#: The texts whose type is known.
GOLD = [(text, "ORG") for text in SURE]


def test_the_chosen_threshold_asks_for_the_posts_of_the_curve(pipeline, corpus, tmp_path):
    output = tmp_path / "curve.json"
    result = command.run("ask-curve", pipeline, corpus, "--output", output)
    curve = json.loads(output.read_text())
    chosen = curve["chosen"]
    assert (curve["views"], curve["posts"], curve["answered"]) == (["knowledge"], 8, 8)
    assert curve["with"] == 1
    assert 0.25 < curve["without"] < 1
    assert chosen["asked"] in (2, 4)
    assert f"with --ask-below {chosen['below']} (F1 " in result.output
    write(tmp_path / "posts.jsonl", [{"text": text} for text in TEXTS * 2])
    with chat_server(reply) as server:
        options = ("--ask-below", chosen["below"])
        run(pipeline, tmp_path / "posts.jsonl", tmp_path / "out.jsonl", server, *options)
    rows = read(tmp_path / "out.jsonl")
    assert sum(row["asked"] for row in rows) == chosen["asked"]
    gold = [["PER"], ["ORG"], ["LOC"], ["ORG"]] * 2
    right = sum(types(row) == label for row, label in zip(rows, gold, strict=True))
    assert right / 8 == pytest.approx(chosen["f"])


def test_the_curve_reads_stored_answers_and_asks_nothing(pipeline, corpus, posts, tmp_path):
    nlp = spacy.blank("en")
    docs = list(DocBin().from_disk(corpus).get_docs(nlp.vocab))
    for doc in docs:
        doc._.image_texts = None
    DocBin(docs=docs, store_user_data=True).to_disk(corpus)
    with pytest.warns(UserWarning, match="MSVSE-W060"):
        result = command.run("ask-curve", pipeline, corpus, status=1)
    assert "MSVSE-E264" in result.stderr
    with chat_server(reply) as server:
        store = ("--features", tmp_path / "store")
        run(pipeline, posts, tmp_path / "out.jsonl", server, "--ask-below", 0.9, *store)
        with pytest.warns(UserWarning, match="MSVSE-W060"):
            result = command.run("ask-curve", pipeline, corpus, "--ask-below", 0.9, *store)
        assert len(server.bodies) == 2
    # Only the unsure posts have a stored answer.
    assert "MSVSE-W071] 4 of 8 posts" in result.stderr
    assert "--ask-below 0.9: 50.00% of the posts, F1 100.00;" in result.output


def test_answers_that_do_not_help_choose_no_threshold(pipeline, tmp_path):
    nlp = spacy.blank("en")
    docs = [make_doc(nlp, text, texts={"knowledge": "visit"}) for text in SURE]
    for doc in docs:
        start = doc.text.index("amazon")
        doc.set_ents([doc.char_span(start, start + 6, "ORG")])
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    result = command.run("ask-curve", pipeline, tmp_path / "dev.spacy", "--views", "knowledge")
    assert "MSVSE-W070" in result.stderr.splitlines()[-1]


def test_reading_the_output_again_asks_as_before(pipeline, posts, tmp_path):
    """Rows that were annotated are rows to annotate."""
    with chat_server(reply) as server:
        run(pipeline, posts, tmp_path / "a.jsonl", server)
        run(pipeline, tmp_path / "a.jsonl", tmp_path / "b.jsonl", server)
    assert [row.values for row in read_rows(tmp_path / "a.jsonl")] == read(tmp_path / "b.jsonl")
