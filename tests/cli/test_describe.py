"""`python -m spacy msvse describe`: the same rows, with the views that a model has written."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import srsly
from spacy.tokens import DocBin

from spacy_msvse.corpus.resume import partial_path
from spacy_msvse.vision.extractors import chat_client

from ..chat_server import chat_server, completion, echo, question, wait
from ..tiny import picture
from . import command

pytest.importorskip("aiohttp")

ROWS = [
    {
        "text": "saw jordan today",
        "image": "PER.png",
        "spans": [{"start": 4, "end": 10, "label": "P"}],
    },
    {"text": "given", "texts": {"knowledge": "stays", "ocr": "x"}},
    {"words": ["saw", "florence"], "id": 7, "texts": {"ocr": "x"}},
    {"text": 3},
    {"text": "rejected", "answer": "reject"},
    {"text": "again", "error": "of an earlier run", "spans": []},
    {"text": "no picture", "image": "missing.png"},
]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(chat_client, "FIRST_WAIT", 0.01)


@pytest.fixture
def posts(tmp_path):
    (tmp_path / "PER.png").write_bytes(picture("PER"))
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + '{"text": "half\n')
    return path


def run(posts, output, server, *options, status=0):
    url = ("--chat-url", server.url, "--chat-model", "m", "--retries", 0)
    return command.run("describe", posts, output, *url, *options, status=status)


def read(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_rows_come_out_in_order_with_their_views(posts, tmp_path):
    with chat_server() as server:
        result = run(posts, tmp_path / "out.jsonl", server)
    rows = read(tmp_path / "out.jsonl")
    about = {"knowledge": "about saw jordan today"}
    assert rows[0] == {**ROWS[0], "texts": about}
    assert rows[1] == ROWS[1]
    assert rows[2] == {**ROWS[2], "texts": {"ocr": "x", "knowledge": "about saw florence"}}
    assert rows[3]["text"] == 3
    assert "'text'" in rows[3]["error"]
    assert rows[4] == ROWS[4]
    assert rows[5] == {"text": "again", "spans": [], "texts": {"knowledge": "about again"}}
    assert rows[6]["texts"] == {"knowledge": "about no picture"}
    assert set(rows[7]) == {"line", "error"}
    assert [body["model"] for body in server.bodies] == ["m"] * 4
    assert "8 rows described: 4 views extracted, 0 stored already, 2 rows with an error" in (
        result.stderr
    )
    assert "4 requests; tokens: 28 in, 12 out" in result.stderr
    assert f"{posts}:4: " in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("PER.png", "out.jsonl", "out.jsonl.features", "posts.jsonl"),
    ]


def test_a_picture_that_cannot_be_read_is_named_and_the_text_is_asked_for(posts, tmp_path):
    with chat_server(lambda *_: completion("seen")) as server:
        run(posts, tmp_path / "out.jsonl", server, "--send-pictures", "--views", "caption")
    rows = read(tmp_path / "out.jsonl")
    assert rows[0]["caption"] == rows[6]["caption"] == "seen"
    assert "MSVSE-E020" in rows[6]["error"]
    assert "missing.png" in rows[6]["error"]


def test_the_output_is_accepted_by_convert_as_it_is(posts, tmp_path, nlp):
    posts.write_text("".join(json.dumps(ROWS[row]) + "\n" for row in (0, 2, 5)))
    answer = '{"knowledge": "k", "caption": "c", "tags": "t, u"}'
    with chat_server(lambda *_: completion(answer)) as server:
        run(posts, tmp_path / "out.jsonl", server, "--views", "knowledge,caption,tags")
    convert = ("convert", tmp_path / "out.jsonl", tmp_path / "out.spacy", "--image-root", tmp_path)
    command.run(*convert)
    docs = list(DocBin().from_disk(tmp_path / "out.spacy").get_docs(nlp.vocab))
    assert [doc._.image_texts for doc in docs] == [
        {"knowledge": "k"},
        {"ocr": "x", "knowledge": "k"},
        {"knowledge": "k"},
    ]
    assert [(doc._.image_caption, list(doc._.image_tags)) for doc in docs] == [
        ("c", ["t", "u"])
    ] * 3


def test_a_second_run_asks_only_for_the_rows_that_failed(posts, tmp_path):
    failing = {"on": True}

    def reply(server, handler, body):
        if failing["on"] and "again" in question(body):
            handler.answer(b"busy", 500)
            return None
        return echo(server, handler, body)

    output = tmp_path / "out.jsonl"
    with chat_server(reply) as server:
        run(posts, output, server)
        assert "MSVSE-E222" in read(output)[5]["error"]
        assert len(server.bodies) == 4
        assert "MSVSE-E041" in run(posts, output, server, status=1).stderr
        failing["on"] = False
        run(posts, output, server, "--force")
        assert len(server.bodies) == 5
    assert read(output)[5]["texts"] == {"knowledge": "about again"}
    assert "error" not in read(output)[5]


def test_if_no_row_gets_an_answer_every_row_comes_out_and_the_status_is_1(posts, tmp_path):
    posts.write_text('{"text": "a"}\n{"text": "b"}\n')
    with chat_server(lambda s, handler, b: handler.answer(b"", 404)) as server:
        result = run(posts, tmp_path / "out.jsonl", server, status=1)
    assert "MSVSE-E156" in result.stderr
    assert ["status 404" in row["error"] for row in read(tmp_path / "out.jsonl")] == [True, True]


def test_options_are_settings(posts, tmp_path):
    (tmp_path / "prompt.txt").write_text("Post: {text} ({words})\n")
    (tmp_path / "examples.jsonl").write_text('{"text": "x", "answer": "y"}\n')
    with chat_server(lambda *_: completion("one two three")) as server:
        run(
            *(posts, tmp_path / "out.jsonl", server, "--prompt", tmp_path / "prompt.txt"),
            *("--examples", tmp_path / "examples.jsonl", "--max-words", 2, "--max-tokens", 9),
            *("--request", '{"temperature": null, "seed": 1}', "--views", "mood"),
        )
    assert read(tmp_path / "out.jsonl")[5]["texts"] == {"mood": "one two"}
    body = next(body for body in server.bodies if "again" in question(body))
    assert [message["content"] for message in body.pop("messages")] == [
        *("Post: x (2)", "y", "Post: again (2)"),
    ]
    assert body == {"model": "m", "max_tokens": 9, "seed": 1, "path": "/v1/chat/completions"}


def test_the_extractors_of_a_config_fill_rows_too(posts, tmp_path):
    config = tmp_path / "config.cfg"
    config.write_text(command.CONFIG.split("[components.msvse_ner.vision.regions]")[0])
    config.write_text(
        config.read_text()
        + '[components.msvse_ner.vision.tags]\n@misc = "tests.MeanColour.v1"\n'
        + '[components.msvse_ner.vision.caption]\n@misc = "spacy-msvse.TagCaption.v1"\n'
    )
    command.run("describe", posts, tmp_path / "out.jsonl", "--config", config)
    row = read(tmp_path / "out.jsonl")[0]
    assert (row["tags"], row["caption"]) == (["red"], "a picture of red")


VISION = """
[vision]
@misc = "spacy-msvse.VisualExtractor.v1"

[vision.knowledge]
@misc = "spacy-msvse.ChatView.v1"
model = "m"
"""


def test_a_file_with_a_section_of_extractors_is_enough(posts, tmp_path):
    (tmp_path / "vision.cfg").write_text(VISION)
    options = ("--config", tmp_path / "vision.cfg")
    with chat_server() as server:
        arguments = ("describe", posts, tmp_path / "out.jsonl", *options)
        command.run(*arguments, "--chat-url", server.url)
        assert len(server.bodies) == 4
        # Without the URL, only stored answers are used.
        posts.write_text('{"text": "again"}\n{"text": "new"}\n')
        with pytest.warns(UserWarning, match="MSVSE-W060"):
            result = command.run(*arguments, "--force")
        assert len(server.bodies) == 4
    assert read(tmp_path / "out.jsonl") == [
        {"text": "again", "texts": {"knowledge": "about again"}},
        {"text": "new"},
    ]
    assert "0 views extracted, 1 stored already, 1 not asked for" in result.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], "E228"),
        (["--chat-model", "m"], "E228"),
        (["--chat-model", "m", "--chat-url", "http://u:p@h/"], "E220"),
        (["--chat-model", "m", "--chat-url", "http://h/", "--chat-key-env", "NO_KEY"], "E221"),
        (["--chat-model", "m", "--chat-url", "http://h/", "--request", "[1]"], "E232"),
        (["--chat-model", "m", "--chat-url", "http://h/", "--views", "mood"], "E007"),
        (["--config", "regions.cfg"], "E227"),
        (["--config", "regions.cfg", "--max-words", "3"], "E229"),
        (["--config", "tags.cfg", "--chat-url", "http://h/"], "E226"),
        (["--config", "tags.cfg", "--chat-key-env", "NO_KEY"], "E225"),
    ],
)
def test_options_that_do_not_fit_are_refused(posts, tmp_path, monkeypatch, options, code):
    (tmp_path / "regions.cfg").write_text(command.CONFIG)
    (tmp_path / "tags.cfg").write_text(command.CONFIG.replace("vision.regions", "vision.tags"))
    monkeypatch.chdir(tmp_path)
    result = command.run("describe", posts, "out.jsonl", *options, status=1)
    assert f"MSVSE-{code}]" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_after_a_kill_no_stored_answer_is_asked_for_again(tmp_path):
    texts = [f"post {number}" for number in range(60)]
    srsly.write_jsonl(tmp_path / "posts.jsonl", [{"text": text} for text in texts])
    output = tmp_path / "out.jsonl"

    def reply(server, handler, body):
        wait(server, 0.1)
        return echo(server, handler, body)

    with chat_server(reply) as server:
        arguments = [sys.executable, "-m", "spacy", "msvse", "describe"]
        arguments += [str(tmp_path / "posts.jsonl"), str(output), "--chat-model", "m"]
        arguments += ["--chat-url", server.url, "--concurrency", "4"]
        with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 150
            while len(server.bodies) < 25:
                assert time.monotonic() < end
                time.sleep(0.002)
            process.kill()
        assert not output.exists()
        partial = partial_path(output)
        written = partial.read_bytes().count(b"\n") if partial.exists() else 0
        assert written > 0
        before = len(server.bodies)
        subprocess.run(arguments, check=True, stderr=subprocess.DEVNULL)
    asked = Counter(question(body) for body in server.bodies)
    assert len(asked) == len(texts)
    again = [text for text, times in asked.items() if times > 1]
    assert len(again) <= 4
    assert max(asked.values()) <= 2
    assert len(server.bodies) <= len(texts) + 4
    assert before < len(texts)
    assert [row["texts"]["knowledge"] for row in read(output)] == [f"about {t}" for t in texts]


def test_an_interrupt_does_not_wait_for_answers(tmp_path):
    srsly.write_jsonl(tmp_path / "posts.jsonl", [{"text": text} for text in "abcdefgh"])
    with chat_server(lambda server, *_: wait(server, 120)) as server:
        arguments = [sys.executable, "-m", "spacy", "msvse", "describe", tmp_path / "posts.jsonl"]
        arguments += [tmp_path / "out.jsonl", "--chat-model", "m", "--chat-url", server.url]
        with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 150
            while not server.bodies:
                assert time.monotonic() < end
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) != 0
