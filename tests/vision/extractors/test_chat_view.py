"""ChatView against a real HTTP server: every post comes out, and nothing hangs."""

import base64
import copy
import gc
import io
import json
import logging
import pickle
import re
import socket
import threading
import time
from dataclasses import fields
from pathlib import Path

import pytest
import srsly
from confection import ConfigValidationError
from PIL import Image
from spacy.util import registry

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extraction import ExtractionReport, PostSource, extract_posts, find_keys
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors import chat_client
from spacy_msvse.vision.extractors.chat_client import ChatClient
from spacy_msvse.vision.extractors.chat_view import ChatView
from spacy_msvse.vision.store import FeatureStore

from ...chat_server import chat_server, completion, echo, question, wait
from ...tiny import reasons
from ..conftest import CountingExtractor, encode, photo

pytest.importorskip("aiohttp")

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(chat_client, "FIRST_WAIT", 0.01)


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", KEY)
    return "TEST_CHAT_KEY"


def ask(server, texts, key_env=None, store=None, given=None, image=None, **settings):
    """The knowledge or the problem of each post, and the report."""
    url = server if isinstance(server, str) else server.url
    report = ExtractionReport()
    visual = VisualExtractor(knowledge=ChatView(**{"retries": 2, "seconds": 10.0, **settings}))
    pictures = () if image is None else (image,)
    posts = [PostSource(text, pictures, given=given or {}) for text in texts]
    with ChatClient(url, key_env) as client:
        visual.allow_asking(client)
        found = list(extract_posts(visual, posts, store=store, report=report))
    return [e.features.get("knowledge") or reasons(e.problems)["knowledge"] for e in found], report


def fails_first(status=500, times=1, **headers):
    """A reply that fails for the first requests of each post."""
    counts: dict[str, int] = {}

    def reply(server, handler, body):
        with server.lock:
            counts[question(body)] = counts.get(question(body), 0) + 1
        if counts[question(body)] <= times:
            handler.answer(b'{"error": {"message": "busy"}}', status, **headers)
            return None
        return echo(server, handler, body)

    return reply


def test_answers_are_in_the_order_of_the_posts():
    def reply(server, handler, body):
        wait(server, 0.1 if "0" in question(body) else 0)
        return echo(server, handler, body)

    texts = [f"post {number}" for number in range(20)]
    with chat_server(reply) as server:
        found, report = ask(server, texts)
    assert found == [f"about {text}" for text in texts]
    assert (report.extracted, report.failed) == (20, [])


@pytest.mark.parametrize("concurrency", [1, 3])
def test_as_many_posts_are_asked_for_at_once_as_the_setting_says(concurrency):
    def reply(server, handler, body):
        wait(server, 0.15)
        return echo(server, handler, body)

    with chat_server(reply) as server:
        ask(server, [f"post {n}" for n in range(9)], concurrency=concurrency)
        assert server.most_at_once == concurrency
        assert len(server.bodies) == 9


def test_one_post_is_asked_for_once():
    with chat_server() as server:
        found, _ = ask(server, ["same"] * 5, concurrency=4)
    assert found == ["about same"] * 5
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(status):
    with chat_server(fails_first(status, times=2)) as server:
        found, _ = ask(server, ["a", "b"])
    assert found == ["about a", "about b"]
    assert len(server.bodies) == 6


def test_retry_after_is_obeyed():
    with chat_server(fails_first(429, Retry_After="0.4")) as server:
        start = time.monotonic()
        found, _ = ask(server, ["a"])
    assert found == ["about a"]
    assert time.monotonic() - start >= 0.4


def test_a_wait_without_end_is_not_obeyed():
    with chat_server(fails_first(429, Retry_After="86400")) as server:
        (found,), _ = ask(server, ["a"])
    assert re.search(r"MSVSE-E222.*text 'a'.*status 429.*wait 86400 seconds", found)
    assert len(server.bodies) == 1


def test_a_server_that_always_fails_is_named_and_the_other_posts_come_out():
    def reply(server, handler, body):
        if "bad" in question(body):
            handler.answer(b"oops", 500)
            return None
        return echo(server, handler, body)

    with chat_server(reply) as server:
        found, report = ask(server, ["good", "bad", "fine"])
    assert found[::2] == ["about good", "about fine"]
    assert re.search(r"MSVSE-E222.*text 'bad'.*status 500\): oops \(3 attempts\)", found[1])
    assert [name for name, _ in report.failed] == ["text 'bad'"]


def test_a_hanging_answer_ends_at_the_time_limit():
    def reply(server, handler, body):
        if "hang" in question(body):
            wait(server, 60)
        return echo(server, handler, body)

    with chat_server(reply) as server:
        start = time.monotonic()
        found, _ = ask(server, ["a", "hang", "b"], seconds=0.3, retries=1)
    assert time.monotonic() - start < 5
    assert found[::2] == ["about a", "about b"]
    assert "not answered in 0.3 seconds (2 attempts)" in found[1]


def test_an_answer_that_drips_ends_at_the_time_limit():
    """A limit on each read would never end it."""

    def reply(server, handler, body):
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b" " * 300:
            handler.wfile.write(bytes([byte]))
            wait(server, 0.05)

    with chat_server(reply) as server:
        start = time.monotonic()
        (found,), _ = ask(server, ["a"], seconds=0.4, retries=0)
    assert time.monotonic() - start < 5
    assert "not answered in 0.4 seconds" in found


BROKEN = {
    "no JSON": b"<html>",
    "half": completion("half")[:-9],
    "a list": b"[]",
    "no choice": b'{"choices": []}',
    "no message": b'{"choices": [{}]}',
    "a text": b'{"choices": [{"message": "x"}]}',
    "a lone surrogate": b'{"choices": [{"message": {"content": "\\ud83d"}}]}',
    "not UTF-8": b'{"choices": [{"message": {"content": "\xff"}}]}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_asked_for_again_and_then_named(name):
    def reply(server, handler, body):
        return BROKEN[name] if "bad" in question(body) else echo(server, handler, body)

    with chat_server(reply) as server:
        found, _ = ask(server, ["bad", "good"], concurrency=1)
    assert "no chat completion in JSON (3 attempts)" in found[0]
    assert found[1] == "about good"


EMPTY = {
    "empty": (completion(""), "the answer is empty"),
    "null": (completion(None), "the answer is empty"),
    "cut": (completion("", finish_reason="length"), "raise max_tokens"),
    "thoughts": (completion("<think>hm"), "none of the views"),
    "refused": (b'{"choices":[{"message":{"content":null,"refusal":"No!"}}]}', "refused (No!)"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_answer_without_text_is_a_problem_and_is_not_stored(name, tmp_path):
    content, reason = EMPTY[name]
    with chat_server(lambda *_: content) as server, FeatureStore(tmp_path) as store:
        (found,), _ = ask(server, ["a"], store=store)
        assert reason in found
        assert len(store) == 0
        ask(server, ["a"], store=store)
    assert len(server.bodies) == 2


def test_an_answer_of_1_mb_is_cut():
    with chat_server(lambda *_: completion("word " * 210_000)) as server:
        (found,), _ = ask(server, ["a"], max_words=5)
    assert found == "word word word word word"


def test_a_response_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(chat_client, "MAX_BYTES", 2**20)
    with chat_server(lambda *_: completion("word " * 420_000)) as server:
        (found,), _ = ask(server, ["a"])
    assert "more than 1 MiB" in found


def test_a_wrong_key_is_not_tried_again_and_the_other_posts_come_out(key):
    def reply(server, handler, body):
        handler.answer(srsly.json_dumps({"error": {"message": f"bad {KEY}"}}).encode(), 401)

    with chat_server(reply) as server:
        found, _ = ask(server, [f"post {n}" for n in range(12)], key, concurrency=2)
    assert len(found) == 12
    assert all("refuses the key (status 401)" in one and KEY not in one for one in found)
    assert len(server.bodies) <= 2  # those that were on their way
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_refused_request_is_not_tried_again_and_its_reason_has_no_key(key):
    def reply(server, handler, body):
        message = f"temperature is not supported, {KEY}"
        handler.answer(srsly.json_dumps({"error": {"message": message}}).encode(), 400)

    with chat_server(reply) as server:
        (found,), _ = ask(server, ["a"], key)
    assert "status 400): temperature is not supported, ***" in found
    assert len(server.bodies) == 1


def test_a_refused_connection_is_named():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        found, _ = ask(url, ["a", "b"])
    assert len(found) == 2
    assert all("no connection to the server (Connection refused)" in one for one in found)


def test_after_many_failures_nothing_more_is_asked(monkeypatch):
    monkeypatch.setattr(chat_client, "MAX_FAILURES", 4)

    def reply(server, handler, body):
        handler.answer(b"", 500)

    with chat_server(reply) as server:
        found, _ = ask(server, [f"post {n}" for n in range(30)], retries=0, concurrency=2)
    assert len(found) == 30
    assert len(server.bodies) <= 6
    assert "the last 4 posts got no answer" in found[-1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_no_key_arrives_at_its_target(key, status):
    with chat_server() as target:

        def reply(server, handler, body):
            handler.answer(b"", status, Location=f"{target.url}/chat/completions")

        with chat_server(reply) as server:
            (found,), _ = ask(server, ["a"], key)
        assert "redirects to another address" in found
        assert (len(server.bodies), target.bodies, target.headers) == (1, [], [])


def test_the_request_has_the_fields_of_the_settings():
    with chat_server() as server:
        request = {"temperature": None, "max_tokens": None, "max_completion_tokens": 9, "seed": 1}
        ask(server, ["a"], model="m", request=request)
        ask(server, ["a"], model="m", max_tokens=5)
    first, second = ({k: v for k, v in b.items() if k != "messages"} for b in server.bodies)
    path = "/v1/chat/completions"
    assert first == {"model": "m", "max_completion_tokens": 9, "seed": 1, "path": path}
    assert second == {"model": "m", "max_tokens": 5, "temperature": 0, "path": path}


def test_worked_examples_are_earlier_turns():
    prompt = "Post: {text} Tags: {tags} Words: {words}"
    examples = [{"text": "x {text}", "tags": "t", "answer": "y"}]
    with chat_server(lambda *_: completion("z")) as server:
        given = {"tags": ["b", "c"]}
        ask(server, ["a {tags}"], prompt=prompt, examples=examples, max_words=9, given=given)
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": "Post: x {text} Tags: t Words: 9"},
        {"role": "assistant", "content": "y"},
        {"role": "user", "content": "Post: a {tags} Tags: b, c Words: 9"},
    ]


def test_the_picture_is_sent_small_and_only_if_it_is_wanted():
    picture = encode(photo(1, (400, 200)))
    with chat_server(lambda *_: completion("z")) as server:
        ask(server, ["a"], image=picture)
        ask(server, ["a"], image=picture, picture=True, picture_side=100)
    assert isinstance(server.bodies[0]["messages"][0]["content"], str)
    image, text = server.bodies[1]["messages"][0]["content"]
    assert (image["type"], text["type"]) == ("image_url", "text")
    head, _, data = image["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (100, 50)


def test_several_views_come_from_one_answer():
    answer = '```json\n{"knowledge": "a\\n b", "caption": "c", "tags": "dog, * cat,dog"}\n```'
    view = ChatView(views=["knowledge", "caption", "tags"], picture=True)
    visual = VisualExtractor(knowledge=view, caption=copy.deepcopy(view), tags=view)
    with chat_server(lambda *_: completion(answer)) as server, ChatClient(server.url) as client:
        assert visual.allow_asking(client) == ("tags", "caption", "knowledge")
        (found,) = extract_posts(visual, [PostSource("a", (encode(photo(1)),))])
    assert found.features == {"knowledge": "a b", "caption": "c", "tags": ["dog", "cat"]}
    assert len(server.bodies) == 1


def test_answers_are_kept_by_text_picture_and_settings_not_by_server_or_key(tmp_path, key):
    one, other = encode(photo(1)), encode(photo(2))
    with chat_server() as server, chat_server() as second, FeatureStore(tmp_path) as store:
        asked = server.bodies
        for text, picture, settings, count in (
            ("a", None, {}, 1),
            ("a", one, {}, 1),  # it is not sent
            ("b", one, {}, 2),
            ("a", one, {"model": "m"}, 3),
            ("a", one, {"request": {"seed": 2}}, 4),
            ("a", one, {"prompt": "1\n2\n{text}"}, 5),
            ("a", one, {"seconds": 9.0, "retries": 1, "concurrency": 2}, 5),
            ("a", one, {"picture": True}, 6),
            ("a", other, {"picture": True}, 7),
        ):
            found, _ = ask(server, [text], store=store, image=picture, **settings)
            assert (len(asked), len(found)) == (count, 1), settings
        ask(second, ["a"], key, store=store)
        assert second.bodies == []


def test_other_views_change_the_key_only_if_the_prompt_has_them(tmp_path):
    with chat_server() as server, FeatureStore(tmp_path) as store:
        for given in ({}, {"caption": "c"}, {"tags": ["t"]}):
            ask(server, ["a"], store=store, given=given, image=encode(photo(1)), picture=True)
        assert len(server.bodies) == 1
        for given in ({}, {"caption": "c"}):
            ask(server, ["a"], store=store, given=given, prompt="1\n2\n{text} {caption}")
        assert server.questions[1:] == ["1\n2\na ", "1\n2\na c"]


def test_another_picture_extractor_does_not_ask_again(tmp_path):
    with chat_server() as server, ChatClient(server.url) as client, FeatureStore(tmp_path) as store:
        for name in ("one", "other"):
            view = ChatView(picture=True)
            visual = VisualExtractor(tags=CountingExtractor(name), knowledge=view)
            visual.allow_asking(client)
            (found,) = extract_posts(visual, [PostSource("a", (encode(photo(1)),))], store=store)
            assert found.features["knowledge"] == "about a"
    assert len(server.bodies) == 1


def test_pruning_keeps_the_answers_of_a_corpus(tmp_path):
    image, given = encode(photo(1)), {"caption": "c"}
    with chat_server(lambda *_: completion("z")) as server, FeatureStore(tmp_path) as store:
        for settings in ({}, {"picture": True}, {"prompt": "{text} {caption}"}):
            ask(server, ["a"], store=store, given=given, image=image, **settings)
        keys, _ = find_keys([PostSource("a", (image,), given=given)])
        stored = {key for key, _, _ in store.scan()}
    assert len(stored) == 3
    assert stored <= keys


def test_an_answer_in_parts_is_joined():
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    with chat_server(lambda *_: completion(parts)) as server:
        assert ask(server, ["x"])[0] == ["a b"]


def test_closing_the_client_ends_what_is_being_asked():
    def reply(server, handler, body):
        wait(server, 60)

    errors = []

    def call(client):
        try:
            client.ask({"messages": [{"content": "x"}]}, seconds=60, retries=3)
        except BaseException as error:
            errors.append(error)

    with chat_server(reply) as server, ChatClient(server.url) as client:
        thread = threading.Thread(target=call, args=(client,))
        thread.start()
        while not server.bodies:
            time.sleep(0.01)
        start = time.monotonic()
        client.close()
        thread.join(10)
        assert time.monotonic() - start < 5
    assert len(errors) == 1


@pytest.mark.filterwarnings("error")
def test_a_client_that_is_dropped_closes_its_connections():
    """As in a worker process, which ends without closing it. Otherwise aiohttp complains."""
    with chat_server() as server:
        client = ChatClient(server.url)
        client.ask({"messages": [{"content": "1\n2\nx"}]}, seconds=9, retries=0)
        thread = client._thread
        del client
        gc.collect()
        assert not thread.is_alive()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(chat_client, "find_spec", lambda name: None)
    with pytest.raises(MsvseError, match=r"MSVSE-E224.*'aiohttp'.*spacy-msvse\[chat\]"):
        ChatClient("http://127.0.0.1:9/v1")


def test_the_extractor_that_may_not_ask_uses_what_is_stored(tmp_path):
    with chat_server() as server, FeatureStore(tmp_path) as store:
        ask(server, ["a"], store=store)
        visual = VisualExtractor(knowledge=ChatView())
        report = ExtractionReport()
        posts = [PostSource("a"), PostSource("b")]
        with pytest.warns(UserWarning, match=r"MSVSE-W060.*view knowledge.*--ask"):
            found = list(extract_posts(visual, posts, store=store, report=report))
        assert [one.features for one in found] == [{"knowledge": "about a"}, {}]
        assert [one.problems for one in found] == [[], []]
        assert (report.stored, report.left_out, report.extracted) == (1, 1, 0)
        assert len(store) == 1
    assert len(server.bodies) == 1
    with pytest.raises(MsvseError, match="MSVSE-E223"):
        ChatView().extract(["a"], [])


def test_a_copy_may_not_ask():
    view = ChatView()
    with chat_server() as server, ChatClient(server.url) as client:
        view.allow_asking(client)
        assert view.ready
        assert not copy.deepcopy(view).ready
        restored = pickle.loads(pickle.dumps(view))
        assert (restored, restored.ready) == (view, False)
        assert server.url.encode() not in pickle.dumps(view)
        with pytest.raises(TypeError):
            pickle.dumps(client)


def test_the_key_is_nowhere_but_in_the_header(key, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    with chat_server() as server, FeatureStore(tmp_path) as store:
        ask(server, ["a"], key, store=store)
        with ChatClient(server.url, key) as client:
            assert KEY not in repr(client)
            assert KEY not in str(vars(client))
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in stored
    assert str(server.server_port).encode() not in stored


def test_only_the_named_variable_is_read(monkeypatch):
    """Other clients send these by themselves."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with chat_server() as server:
        found, _ = ask(server, ["a"])
    assert found == ["about a"]
    assert KEY not in str(server.headers)
    assert "Authorization" not in server.headers[0]


WRONG_URLS = ("", "localhost:8000", "file:///etc", "ftp://a/v1", "https://", "http://u:p@a/v1")


@pytest.mark.parametrize("url", [*WRONG_URLS, "http://a:x/", "http://a/v1?key=1", "http://[/v1"])
def test_a_wrong_url_is_refused_and_not_quoted(url):
    with pytest.raises(MsvseError, match="MSVSE-E220") as caught:
        ChatClient(url)
    assert url in ("", "https://") or url not in str(caught.value)


def test_a_key_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(MsvseError, match=r"MSVSE-E221.*'NO_SUCH_KEY' is not set"):
        ChatClient("http://a/v1", "NO_SUCH_KEY")
    monkeypatch.setenv("NO_SUCH_KEY", "a\nb")
    with pytest.raises(MsvseError, match="MSVSE-E221") as caught:
        ChatClient("http://a/v1", "NO_SUCH_KEY")
    assert "a\nb" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.org/v1", True),
        ("https://example.org/v1", False),
        ("http://127.0.0.1/v1", False),
        ("http://localhost/v1", False),
    ],
)
def test_a_key_without_encryption_is_noticed(key, url, expected):
    assert ChatClient(url, key).sends_key_unencrypted is expected
    assert not ChatClient(url).sends_key_unencrypted


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"views": ["regions"]}, "views"),
        ({"views": ["mood"]}, "prompt"),
        ({"prompt": "nothing of the post"}, "prompt"),
        ({"prompt": "{text} {knowledge}"}, "prompt"),
        ({"request": {"messages": []}}, "request"),
        ({"request": {"stream": True}}, "request"),
        ({"examples": [{"text": "a"}]}, "examples"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, setting):
    with pytest.raises(MsvseError, match=rf"MSVSE-E007.*\.{setting} is "):
        ChatView(**settings)


@pytest.mark.parametrize("setting", ["url", "base_url", "key", "key_env", "api_key"])
def test_a_config_cannot_name_a_server_or_a_key(setting):
    block = {"@misc": "spacy-msvse.ChatView.v1", setting: "AWS_SECRET_ACCESS_KEY"}
    with pytest.raises((ConfigValidationError, MsvseError), match=setting):
        registry.resolve({"view": block})


def test_the_page_has_every_setting_and_its_default():
    page = (Path(__file__).parents[3] / "docs" / "chat.md").read_text(encoding="utf8")
    table = page.split("## Settings")[1].split("## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.MULTILINE)
    defaults = {field.name: field.default for field in fields(ChatView) if field.init}
    assert {name: json.loads(value) for name, value in documented} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()
    }
