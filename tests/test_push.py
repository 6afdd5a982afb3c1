"""`python -m spacy msvse push` sends a pipeline to a server that speaks the hub's protocol."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import spacy
import srsly
from huggingface_hub import ModelCard

from .cli import command


class Hub(BaseHTTPRequestHandler):
    """The part of the protocol that a push needs, with the basic transfer of Git LFS."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.server.state
        state["requests"].append((self.path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            state["created"] = json.loads(content)
            return self.answer({"url": f"{self.base}/name/posts", "name": "name/posts"})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.path.startswith("/api/models/name/posts/preupload/main"):
            files = json.loads(content)["files"]
            modes = ["lfs" if one["path"].endswith(".whl") else "regular" for one in files]
            given = zip(files, modes, strict=True)
            keys = {"shouldIgnore": False, "oid": None}
            return self.answer(
                {"files": [{"path": f["path"], "uploadMode": m, **keys} for f, m in given]}
            )
        if self.path.startswith("/name/posts.git/info/lfs/objects/batch"):
            objects = json.loads(content)["objects"]
            href = f"{self.base}/upload/"
            actions = [{**o, "actions": {"upload": {"href": href + o["oid"]}}} for o in objects]
            return self.answer({"transfer": "basic", "objects": actions})
        if self.path.startswith("/api/models/name/posts/commit/main"):
            for line in content.decode().splitlines():
                self.take(**json.loads(line))
            return self.answer(
                {"commitUrl": f"{self.base}/name/posts/commit/abc", "commitOid": "abc"}
            )
        return self.answer({"error": self.path}, 404)

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.state["objects"][hashlib.sha256(content).hexdigest()] = content
        self.answer({})

    def take(self, key, value):
        state = self.server.state
        if key == "file":
            state["files"][value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            state["files"][value["path"]] = state["objects"][value["oid"]]

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, values, status=200):
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.state = {"requests": [], "objects": {}, "files": {}}
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    nlp = spacy.blank("en")
    nlp.meta.update({"name": "posts", "license": "MIT", "description": "A test."})
    nlp.meta["performance"] = {"ents_f": 0.5, "ents_p": 0.4, "ents_r": 0.6, "speed": 1.0}
    folder = tmp_path_factory.mktemp("push") / "pipeline"
    nlp.to_disk(folder)
    meta = srsly.read_json(folder / "meta.json")
    srsly.write_json(folder / "meta.json", {**meta, "performance": nlp.meta["performance"]})
    (folder / "README.md").write_text("# en_posts\n\nWritten by hand.\n")
    (folder / ".lock").write_text("hidden")
    return folder


def push(hub, pipeline, tmp_path, token="hf_right", *options):
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",  # another protocol, of another server
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": token,
    }
    process = [
        sys.executable,
        "-m",
        "spacy",
        "msvse",
        "push",
        str(pipeline),
        "name/posts",
        *options,
    ]
    return subprocess.run(process, env=environment, capture_output=True, text=True, check=False)


def test_files_wheel_and_card_arrive(hub, pipeline, tmp_path):
    done = push(hub, pipeline, tmp_path)
    assert done.returncode == 0, done.stderr
    assert hub.state["created"]["visibility"] == "private"
    files = hub.state["files"]
    own = {path.relative_to(pipeline).as_posix() for path in pipeline.rglob("*") if path.is_file()}
    (wheel,) = files.keys() - own
    assert wheel == "en_posts-0.0.0-py3-none-any.whl"
    assert own - files.keys() == {".lock"}
    for name in own - {".lock", "README.md"}:
        assert files[name] == (pipeline / name).read_bytes()
    (tmp_path / "README.md").write_bytes(files["README.md"])
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.language, card.data.license, card.data.library_name) == ("en", "mit", "spacy")
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert scores == pytest.approx({"f1": 0.5, "precision": 0.4, "recall": 0.6})
    assert card.text.strip().endswith("Written by hand.")
    assert "name/posts/commit/abc" in done.stdout
    # What was sent can be loaded.
    for name, content in files.items():
        (tmp_path / "got" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "got" / name).write_bytes(content)
    assert spacy.load(tmp_path / "got").meta["name"] == "posts"


def test_a_dry_run_names_the_files_and_sends_nothing(hub, pipeline, tmp_path):
    done = push(hub, pipeline, tmp_path, "hf_right", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "en_posts-0.0.0-py3-none-any.whl" in done.stdout
    assert "nothing was sent" in " ".join(done.stdout.split())
    assert not hub.state["requests"]


def test_a_wrong_token_and_a_missing_pipeline_are_coded_errors(hub, pipeline, tmp_path):
    done = push(hub, pipeline, tmp_path, "hf_wrong")
    assert done.returncode == 1
    assert "MSVSE-E293" in done.stderr
    assert "hf_wrong" not in done.stderr + done.stdout
    assert not hub.state["files"]
    assert "MSVSE-E076" in command.run("push", "en_none", "name/posts", status=1).stderr
