"""Nothing is sent unless the command says so, and then only to the server that it names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.vision.extractors import chat_client
from spacy_msvse.vision.extractors.chat_client import ChatClient

from ..chat_server import chat_server, completion, echo, question
from ..tiny import reasons, save_encoder, tiny_pipeline, train
from . import command

pytest.importorskip("aiohttp")

#: What the model says decides the type.
SAID = {"PER": "visit", "LOC": "today"}
TEXTS = {"PER": "saw jordan again", "LOC": "saw jordan again ."}
SECRET = "aws-secret-0123456789"

CHAT = {"@misc": "spacy-msvse.ChatView.v1", "retries": 0}


def vision(**chat):
    return {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "tags": {"@misc": "tests.MeanColour.v1"},
        "knowledge": {**CHAT, **chat},
    }


def reply(server, handler, body):
    label = "LOC" if "." in question(body).splitlines()[2] else "PER"
    return completion(SAID[label])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(chat_client, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline that finds the type of "jordan" by what a model has said."""
    folder = tmp_path_factory.mktemp("knowledge")
    nlp = tiny_pipeline(
        save_encoder(folder / "encoder"),
        model={"prefix_views": ["knowledge"], "joint_views": ["knowledge"]},
        vision=vision(),
    )
    examples = [
        Example.from_dict(
            make_doc(nlp, text, texts={"knowledge": said}), {"entities": [(4, 10, label)]}
        )
        for label, said in SAID.items()
        for text in TEXTS.values()
    ]
    train(nlp, examples, steps=80)
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture
def posts(tmp_path):
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS.values()))
    return path


def read(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def types(row):
    return [span["label"] for span in row["spans"]]


@pytest.mark.parametrize("n_process", [0, 1])
def test_annotate_asks_if_it_is_told_to_and_the_answer_is_read(
    pipeline, posts, tmp_path, n_process
):
    options = ("--ask", "--features", tmp_path / "store", "--n-process", n_process)
    with chat_server(reply) as server:
        asked = ("--chat-url", server.url)
        result = command.run("annotate", pipeline, posts, tmp_path / "a.jsonl", *options, *asked)
        assert f"The server {server.url} is asked for: knowledge" in result.stderr
        assert len(server.bodies) == 2
        command.run("annotate", pipeline, posts, tmp_path / "b.jsonl", *options, *asked)
        assert len(server.bodies) == 2  # the answers are in the store
        # They are also used without permission to ask.
        stored = ("--features", tmp_path / "store", "--n-process", n_process)
        command.run("annotate", pipeline, posts, tmp_path / "c.jsonl", *stored)
        assert len(server.bodies) == 2
    rows = read(tmp_path / "a.jsonl")
    assert list(map(types, rows)) == [["PER"], ["LOC"]]
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


def test_annotate_without_permission_reads_posts_without_the_view(pipeline, posts, tmp_path):
    arguments = ("annotate", pipeline, posts, tmp_path / "out.jsonl", "--n-process", 0)
    text_only, no_answer = (
        pytest.warns(UserWarning, match=f"MSVSE-{code}") for code in ("W001", "W060")
    )
    with text_only, no_answer:
        command.run(*arguments)
    assert all("error" not in row for row in read(tmp_path / "out.jsonl"))


def test_a_post_without_an_answer_is_read_without_it_and_says_so(pipeline, posts, tmp_path):
    def fails(server, handler, body):
        if "." in question(body).splitlines()[2]:
            handler.answer(b"too long", 400)
            return None
        return reply(server, handler, body)

    with chat_server(fails) as server:
        options = ("--ask", "--chat-url", server.url, "--n-process", 0)
        command.run("annotate", pipeline, posts, tmp_path / "out.jsonl", *options)
    first, second = read(tmp_path / "out.jsonl")
    assert (types(first), "error" in first) == (["PER"], False)
    assert "spans" in second
    assert "MSVSE-E222" in second["error"]
    assert "status 400): too long" in second["error"]


def test_the_status_of_a_view_says_why_it_is_missing(pipeline):
    nlp = spacy.load(pipeline)
    component = nlp.get_pipe("msvse_ner")
    component.on_missing_image = "ignore"
    with pytest.warns(UserWarning, match="MSVSE-W060"):
        doc = nlp(TEXTS["PER"])
    assert (doc._.image_status, doc._.image_problems) == ({"knowledge": "absent"}, None)
    refuse = chat_server(lambda s, handler, b: handler.answer(b"", 404))
    with refuse as server, ChatClient(server.url) as client:
        component.vision.allow_asking(client)
        doc = nlp(TEXTS["PER"])
    assert doc._.image_status == {"knowledge": "unreadable"}
    assert "status 404" in reasons(doc._.image_problems)["knowledge"]


def test_extract_asks_only_if_it_is_told_to(tmp_path, nlp):
    config = tmp_path / "config.cfg"
    config.write_text(
        command.CONFIG.replace("vision.regions", "vision.knowledge").replace(
            "tests.MeanColour.v1", "spacy-msvse.ChatView.v1"
        )
    )
    docs = [make_doc(nlp, text) for text in TEXTS.values()]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "posts.spacy")
    arguments = ("extract", tmp_path / "posts.spacy", tmp_path / "store", "--config", config)
    with chat_server(reply) as server:
        with pytest.warns(UserWarning, match="MSVSE-W060"):
            result = command.run(*arguments)
        counts = "0 extracted, 0 stored already, 0 failed, 2 not asked for"
        assert counts in " ".join(result.output.split())
        assert server.bodies == []
        asked = ("--ask", "--chat-url", server.url)
        result = command.run(*arguments, *asked)
        assert "2 extracted" in result.output
        assert "tokens: 14 in, 6 out" in result.stderr
        assert "2 stored already" in command.run(*arguments).output
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--ask"], "E225"),
        (["--chat-url", "http://127.0.0.1:9/v1"], "E225"),
        (["--chat-key-env", "HOME"], "E225"),
        (["--ask", "--chat-url", "127.0.0.1"], "E220"),
    ],
)
def test_options_that_do_not_fit_are_refused(pipeline, posts, tmp_path, options, code):
    result = command.run("annotate", pipeline, posts, tmp_path / "a.jsonl", *options, status=1)
    assert f"MSVSE-{code}]" in result.stderr


def test_a_pipeline_that_asks_no_server_is_named(trained, posts, tmp_path):
    options = ("--ask", "--chat-url", "http://127.0.0.1:9/v1")
    result = command.run("annotate", trained, posts, tmp_path / "a.jsonl", *options, status=1)
    assert "MSVSE-E226" in result.stderr


def changed(pipeline, folder, **settings):
    """A copy of a pipeline, as somebody else may have made it."""
    nlp = spacy.load(pipeline)
    nlp.to_disk(folder)
    path = folder / "config.cfg"
    config = spacy.util.load_config(path)
    config["components"]["msvse_ner"]["vision"]["knowledge"].update(settings)
    config.to_disk(path)
    return folder


@pytest.mark.parametrize("setting", ["base_url", "url", "chat_url"])
def test_a_pipeline_that_names_its_own_server_and_a_key_gets_nothing(
    pipeline, posts, tmp_path, monkeypatch, setting
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with chat_server() as theirs, chat_server(reply) as ours:
        names = {setting: theirs.url, "key_env": "AWS_SECRET_ACCESS_KEY"}
        folder = changed(pipeline, tmp_path / "named", **names)
        asked = ("--ask", "--chat-url", ours.url)
        result = command.run("annotate", folder, posts, tmp_path / "a.jsonl", *asked, status=1)
        assert "MSVSE-E" in result.stderr
        assert (theirs.bodies, ours.bodies) == ([], [])
        # Where the config accepts any value, it is part of the question, and nothing else.
        values = {
            **names,
            "extra_headers": {"Authorization": "Bearer $AWS_SECRET_ACCESS_KEY"},
            "api_key": "$AWS_SECRET_ACCESS_KEY",
        }
        prompt = "{AWS_SECRET_ACCESS_KEY} {text.__class__}\n\n{text}"
        folder = changed(pipeline, tmp_path / "asked", request=values, prompt=prompt)
        command.run("annotate", folder, posts, tmp_path / "b.jsonl", *asked)
        assert (theirs.bodies, len(ours.bodies)) == ([], 2)
        assert SECRET not in str(ours.bodies)
        assert "Authorization" not in str(ours.headers)
        # The two questions are sent at the same time, so they arrive in any order.
        assert f" {{text.__class__}}\n\n{TEXTS['PER']}" in ours.questions


WITHOUT_SOCKETS = """
import sys, warnings
events = []
def hook(event, arguments):
    if event.startswith("socket.") and event.partition(".")[2] in (
        "connect", "sendto", "sendmsg", "getaddrinfo", "gethostbyname"
    ):
        events.append((event, str(arguments[1:])))
sys.addaudithook(hook)
warnings.simplefilter("ignore")
import spacy
from spacy.training import Example
from spacy_msvse import make_doc
import tests.tiny
nlp = spacy.load(sys.argv[1])
nlp(make_doc(nlp, "saw jordan again"))
list(nlp.pipe(["saw jordan", "at amazon"], n_process=1))
doc = make_doc(nlp, "saw jordan at a")
examples = [Example.from_dict(doc, {"entities": [(4, 10, "PER")]})]
fresh = tests.tiny.tiny_pipeline(
    sys.argv[2], model={"prefix_views": ["knowledge"], "joint_views": []},
    vision={"@misc": "spacy-msvse.VisualExtractor.v1",
            "knowledge": {"@misc": "spacy-msvse.ChatView.v1"}},
)
optimizer = fresh.initialize(lambda: examples)
fresh.update(examples, sgd=optimizer)
fresh.evaluate(examples)
fresh.to_disk(sys.argv[3])
spacy.load(sys.argv[3]).from_bytes(fresh.to_bytes())
print(events)
from spacy_msvse.vision.extractors.chat_client import ChatClient
with ChatClient(sys.argv[4]) as client:
    nlp.get_pipe("msvse_ner").vision.allow_asking(client)
    nlp(make_doc(nlp, "saw jordan again"))
print([event for event, _ in events])
"""


def test_no_socket_is_used_at_load_training_and_prediction(pipeline, tmp_path):
    encoder = pipeline.parent / "encoder"
    with chat_server(echo) as server:
        run = subprocess.run(
            [
                *(sys.executable, "-c", WITHOUT_SOCKETS, pipeline, encoder),
                *(tmp_path / "fresh", server.url),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OPENAI_API_KEY": SECRET},
        )
        assert run.returncode == 0, run.stderr
        before, after = run.stdout.splitlines()
        assert before == "[]"
        assert "socket.connect" in after  # the hook works, and so does the permission
        assert len(server.bodies) == 1
        assert SECRET not in str(server.headers)


def test_the_example_of_the_page_asks_the_server(pipeline, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "chat.md").read_text(encoding="utf8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("MY_KEY", "a-key")
    with chat_server(reply) as server:
        values = {"nlp": spacy.load(pipeline)}
        exec(block.replace("http://127.0.0.1:8000/v1", server.url), values)
        assert len(server.bodies) == 1
        assert values["doc"]._.image_texts["knowledge"] == SAID["PER"]
