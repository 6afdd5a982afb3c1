"""The REST server answers a real client: many at once, hostile bodies, and a stop while it is
busy."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import spacy

from spacy_msvse.corpus.annotate import annotate
from spacy_msvse.corpus.formats.frames import ROWS
from spacy_msvse.corpus.rows import Row

from ..cli import command
from ..tiny import picture

pytest.importorskip("litserve", reason="litserve is not installed")

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]

KEY = {"X-API-Key": "a secret"}


def start(engine, *options):
    """Start a server; give its process and a client of it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    script = "from spacy.cli import setup_cli; setup_cli()"
    arguments = ["msvse", "serve", engine["model"], "--code", engine["code"], "--api"]
    arguments += ["--port", port, "--api-key-env", "TESTS_KEY", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "TESTS_KEY": KEY["X-API-Key"]},
        start_new_session=True,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=KEY, timeout=300)
    end = time.monotonic() + 300
    while True:
        assert process.poll() is None
        assert time.monotonic() < end
        try:
            if client.get("/health").status_code == 200:
                return process, client
        except httpx.TransportError:
            pass
        time.sleep(0.2)


@pytest.fixture(scope="module")
def server(engine):
    process, client = start(engine, "--max-mb", 1, "--timeout", 300)
    yield client
    client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0


def post(client, rows, status=200):
    answer = client.post("/predict", json={"rows": rows})
    assert answer.status_code == status, answer.text
    return answer.json()


def uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_rows_are_those_of_annotate_without_their_pictures(server, engine):
    rows = [
        {"text": "saw jordan today", "image": uri(picture("LOC")), "id": 7},
        {"words": ["saw", "jordan", "today"]},
        {"text": 3},
        {"text": "saw jordan today", "image": uri(b"no picture")},
    ]
    expected = annotate(spacy.load(engine["model"]), [Row(ROWS, 1, row) for row in rows])
    wanted = [{k: v for k, v in row.values.items() if k != "image"} for row in expected]
    assert post(server, rows)["rows"] == wanted
    assert [span["label"] for span in wanted[0]["spans"]] == ["LOC"]
    assert wanted[0]["id"] == 7


def send_form(client, rows, files=(), status=200):
    parts = [("files", (name, content)) for name, content in files]
    answer = client.post("/predict", data={"rows": rows}, files=parts or {"none": b""})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_pictures_may_be_files_of_a_form(server):
    rows = [
        {"text": "saw jordan today", "image": "a.png"},
        {"text": "saw jordan today", "images": ["b.png", "a.png"]},
        {"text": "saw jordan today", "image": "/etc/hostname"},
    ]
    files = [("a.png", picture("LOC")), ("b.png", picture("ORG"))]
    found = send_form(server, json.dumps(rows), files)["rows"]
    as_json = [{**rows[0], "image": uri(picture("LOC"))}]
    as_json.append({**rows[1], "images": [uri(picture("ORG")), uri(picture("LOC"))]})
    expected = post(server, [*as_json, rows[2]])["rows"]
    assert found == expected
    assert [span["label"] for span in found[0]["spans"]] == ["LOC"]
    assert "must be a data URI" in found[2]["error"]


@pytest.mark.parametrize("rows", ["", "{", "[]", "{}", "[1]", "[" * 100_000])
def test_a_form_without_usable_rows_gets_an_answer(server, rows):
    send_form(server, rows, status=422)
    answer = server.post("/predict", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 400
    too_large = [("a.png", b"a" * 2**20)]
    send_form(server, '[{"text": "saw jordan"}]', too_large, status=413)
    headers = {"X-API-Key": "another"}
    refused = httpx.post(f"{server.base_url}/predict", data={"rows": "[]"}, headers=headers)
    assert refused.status_code in (401, 403, 422)


def test_32_clients_at_once_get_their_own_answers(server):
    def ask(number):
        label = ("PER", "LOC", "ORG")[number % 3]
        rows = [{"text": "saw jordan today", "image": uri(picture(label, number)), "id": number}]
        (row,) = post(server, rows)["rows"]
        return row["id"], row["spans"][0]["label"] == label

    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(ask, range(96))) == [(number, True) for number in range(96)]


def test_a_post_that_ends_its_process_costs_only_its_own_row(server):
    lost, kept = post(server, [{"text": "saw florence"}, {"text": "saw jordan today"}])["rows"]
    assert "it ended the process" in lost["error"]
    assert "spans" in kept


@pytest.mark.parametrize("name", ["/etc/hostname", "../x.png", "http://127.0.0.1/x.png", "file:x"])
def test_no_file_of_the_server_and_no_url_is_read(server, name):
    for values in ({"image": name}, {"images": [uri(picture("PER")), name]}):
        (row,) = post(server, [{"text": "saw jordan today", **values}])["rows"]
        assert "must be a data URI" in row["error"]
        assert "spans" not in row


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'{"rows": []}', 422),
        (b'{"rows": [1]}', 422),
        (b'{"rows": "saw"}', 422),
        (b'{"rows": [' + b",".join([b"{}"] * 1001) + b"]}", 422),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 422),
        (b'{"rows": [{"text": "' + b"a" * 2**20 + b'"}]}', 413),
        (b'{"rows": [{"text": "\\ud83d"}]}', 200),
        (b'{"rows": [{"text": "saw jordan", "n": NaN}, {"text": "saw", "n": 1e999}]}', 200),
        (b'{"rows": [{"text": "saw", "images": 5}, {"text": "saw", "image": {"path": "x"}}]}', 200),
    ],
)
def test_a_hostile_body_gets_an_answer_and_the_server_goes_on(server, body, status):
    answer = server.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json(), dict)
    assert post(server, [{"text": "saw jordan today"}])["rows"][0]["spans"]


def test_the_key_is_needed_and_the_interface_is_described(server):
    for headers in ({"X-API-Key": "another"}, {"X-API-Key": ""}):
        answer = httpx.post(f"{server.base_url}/predict", json={"rows": [{}]}, headers=headers)
        assert answer.status_code in (401, 403)
    assert httpx.post(f"{server.base_url}/predict", json={"rows": [{}]}).status_code in (401, 403)
    described = httpx.get(f"{server.base_url}/openapi.json").json()
    assert set(described["components"]["schemas"]) >= {"Posts", "AnnotatedPosts"}
    assert httpx.get(f"{server.base_url}/docs").status_code == 200


def test_a_stop_while_busy_loses_no_answer(engine):
    process, client = start(engine)

    def ask(number):
        rows = [{"text": "saw jordan today", "id": 50 * number + i} for i in range(50)]
        try:
            answer = client.post("/predict", json={"rows": rows})
        except httpx.TransportError:
            return "refused"  # after the end
        if answer.status_code == 503:
            return "refused"
        assert answer.status_code == 200
        assert [row["id"] for row in answer.json()["rows"]] == [row["id"] for row in rows]
        return "answered"

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, number) for number in range(8)]
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        late = threads.submit(ask, 9)
        assert process.wait(120) == 0
        # Those that had come were answered.
        assert [one.result() for one in asked] == ["answered"] * 8
        assert late.result() in ("refused", "answered")
    client.close()


def test_options_and_addresses_that_cannot_be_used_are_refused(engine, monkeypatch):
    def refuse(*arguments):
        return command.run("serve", engine["model"], *arguments, status=1).stderr

    assert "MSVSE-E288" in refuse("--api", "--headless")
    assert "MSVSE-E288" in refuse("--workers", 2)
    assert "MSVSE-E290" in refuse("--api", "--host", "example.org")
    assert "MSVSE-E290" in refuse("--api", "--port", 80)
    monkeypatch.delenv("TESTS_KEY", raising=False)
    assert "MSVSE-E291" in refuse("--api", "--api-key-env", "TESTS_KEY")
    monkeypatch.setattr("spacy_msvse.cli.serve.find_spec", lambda name: None)
    assert "MSVSE-E289" in refuse("--api")


def test_the_dockerfile_starts_the_server_with_options_that_it_has():
    text = (Path(__file__).parents[2] / "Dockerfile").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("ENTRYPOINT")]
    usage = command.run("serve", "--help").stdout
    for option in ("--api", "--host", "--port", "--api-key-env"):
        assert option in line
        assert option in usage
    assert "exec python -m spacy msvse serve" in line  # SIGTERM reaches the server
    assert "USER" in text
