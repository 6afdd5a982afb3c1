"""A full disk is one line that names the output; older outputs stay, and nothing else is left."""

import multiprocessing
import re
import shutil

import pytest
import spacy
import srsly
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (adds the commands to spaCy's)
from spacy_msvse.corpus.resume import partial_path
from spacy_msvse.network import static_vectors

from ..tiny import COLOURS, picture, save_encoder
from .command import CONFIG, run

resource = pytest.importorskip("resource")  # only on Unix

#: Bytes that a file may have. Its writer gets the error EFBIG, as it would get ENOSPC.
LIMIT = 200

#: The same for a command that writes the files of a tokenizer to a temporary folder first.
LARGER_LIMIT = 50_000


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    """The inputs of all commands."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = []
    for number in range(120):
        label = list(COLOURS)[number % 3]
        (folder / f"{label}.png").write_bytes(picture(label))
        # A pipeline without errors cannot be calibrated.
        span = {"start": 4, "end": 10, "label": label if number % 10 else "ORG"}
        rows.append({"text": "saw jordan today", "image": f"{label}.png", "spans": [span]})
    srsly.write_jsonl(folder / "posts.jsonl", rows)
    run("convert", folder / "posts.jsonl", folder / "posts.spacy", "--image-root", folder)
    options = ("--output", folder / "scores.json", "--image-root", folder)
    run("evaluate", trained, folder / "posts.spacy", *options)
    (folder / "config.cfg").write_text(CONFIG)
    save_encoder(folder / "encoder")
    return folder


def invoke(connection, arguments, limit) -> None:
    def limited(function):
        def call(*given, **settings):
            result = function(*given, **settings)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return result

        return call

    # Temporary files of loading may have any size.
    spacy.load = limited(spacy.load)
    static_vectors.load_pretrained = limited(static_vectors.load_pretrained)
    if arguments[0] not in ("annotate", "render", "evaluate", "calibrate", "shrink", "init-bilstm"):
        limited(list)()
    result = CliRunner().invoke(app, ["msvse", *map(str, arguments)])
    connection.send((result.exit_code, result.output, repr(result.exception)))


def run_limited(*arguments, limit=LIMIT):
    """The error of a command whose files may not be longer than the limit."""
    context = multiprocessing.get_context("fork")
    connection, theirs = context.Pipe()
    process = context.Process(target=invoke, args=(theirs, arguments, limit))
    process.start()
    status, output, exception = connection.recv()
    process.join()
    assert (status, exception) == (1, "SystemExit(1)"), output
    (line,) = re.findall(r"^.*MSVSE-E.*$", output, re.MULTILINE)
    # SQLite does not say more.
    assert "File too large" in line or "disk I/O error" in line
    assert "Traceback" not in output
    return line


def content(folder) -> dict:
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


#: Commands with their output, of which an older one exists.
COMMANDS = {
    "annotate": "annotate {model} {files}/posts.jsonl {out}/out.jsonl --force",
    "annotate in this process": "annotate {model} {files}/posts.jsonl {out}/out.jsonl --force -n 0",
    "convert": "convert {files}/posts.jsonl {out}/out.spacy --image-root {files}",
    "render": "render {model} {files}/posts.jsonl {out}/out.html --no-effects",
    "evaluate": "evaluate {model} {files}/posts.spacy --image-root {files} --output {out}/out.json",
    "report": "evaluate {model} {files}/posts.spacy --image-root {files} --report {out}",
    "card": "card {out}/out {files}/scores.json",
    "card of a copy": "card {model} {files}/scores.json --output {out}/out",
    "calibrate": "calibrate {out}/out {files}/posts.spacy --image-root {files}",
    "calibrate a copy": "calibrate {model} {files}/posts.spacy --image-root {files} -o {out}/out",
    "shrink": "shrink {model} {out}/out",
    "init-config": "init-config {out}/out.cfg --force --encoder {files}/encoder",
    "init-bilstm": "init-bilstm {files}/encoder {out}/out",
    "extract": "extract {files}/posts.spacy {out}/out -c {files}/config.cfg -i {files}",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_older_outputs_stay(trained, files, tmp_path, name):
    for suffix in ("jsonl", "spacy", "spacy.json", "html", "json", "cfg"):
        (tmp_path / f"out.{suffix}").write_text("older")
    if name != "extract":
        shutil.copytree(trained, tmp_path / "out")
    before = content(tmp_path)
    command = COMMANDS[name].format(model=trained, files=files, out=tmp_path)
    limit = LARGER_LIMIT if name.startswith(("calibrate", "shrink")) else LIMIT
    line = run_limited(*command.split(), limit=limit)
    assert str(tmp_path) in line
    after = content(tmp_path)
    if name.startswith("annotate"):
        rows = after.pop(partial_path(tmp_path / "out.jsonl"))
        assert 0 < len(rows) <= LIMIT
    if name == "extract":
        after = {path: data for path, data in after.items() if path.parent != tmp_path / "out"}
        after.pop(tmp_path / "out")
    assert after == before


def test_after_a_full_disk_annotate_continues(trained, files, tmp_path):
    run_limited("annotate", trained, files / "posts.jsonl", tmp_path / "out.jsonl")
    result = run("annotate", trained, files / "posts.jsonl", tmp_path / "out.jsonl")
    assert "119 rows annotated; 1 done already" in result.stderr
    run("annotate", trained, files / "posts.jsonl", tmp_path / "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.jsonl").read_bytes() == whole
