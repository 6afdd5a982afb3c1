"""`python -m spacy msvse serve`: the arguments that it starts Streamlit with."""

import pytest
import spacy
import streamlit.web.cli
from spacy.cli._util import app
from starlette import formparsers
from typer.testing import CliRunner

import spacy_msvse.cli.serve


@pytest.fixture
def started(monkeypatch):
    """The arguments of each start of Streamlit, which is replaced."""
    starts: list[list[str]] = []
    monkeypatch.setattr(streamlit.web.cli, "main", starts.append)
    monkeypatch.setattr(formparsers.MultiPartParser, "spool_max_size", 2**20)
    monkeypatch.setattr(spacy_msvse.cli.serve, "find_spec", lambda name: object())
    monkeypatch.setattr(spacy_msvse.cli.serve, "PIPELINES", {})
    return starts


@pytest.fixture
def pipeline(tmp_path):
    """The folder of a pipeline."""
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def run(*arguments, status: int = 0):
    result = CliRunner().invoke(app, ["msvse", "serve", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result


def test_by_default_the_page_is_for_this_machine_and_sends_nothing_elsewhere(started, pipeline):
    run(pipeline)
    (arguments,) = started
    assert arguments[0] == "run"
    assert arguments[-2:] == ["--", str(pipeline)]
    for setting in (
        "--server.address=127.0.0.1",
        "--server.port=8501",
        "--server.headless=false",
        "--server.maxUploadSize=64",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
    ):
        assert setting in arguments


def test_address_port_and_browser_can_be_chosen(started, pipeline):
    run(pipeline, "--host", "0.0.0.0", "--port", 80, "--headless")
    (arguments,) = started
    for setting in ("--server.address=0.0.0.0", "--server.port=80", "--server.headless=true"):
        assert setting in arguments


def test_the_pictures_of_the_gallery_are_beside_its_posts_by_default(started, pipeline, tmp_path):
    posts = tmp_path / "posts.jsonl"
    posts.write_text('{"text": "saw jordan"}')
    (tmp_path / "pictures").mkdir()
    run(pipeline, "--examples", posts)
    run(pipeline, "--examples", posts, "--image-root", tmp_path / "pictures")
    beside, chosen = started
    assert beside[-2:] == [f"--examples={posts}", f"--image-root={tmp_path}"]
    assert chosen[-1] == f"--image-root={tmp_path / 'pictures'}"


def test_without_streamlit_the_error_names_the_extra(started, tmp_path, monkeypatch):
    monkeypatch.setattr(spacy_msvse.cli.serve, "find_spec", lambda name: None)
    output = run(tmp_path, status=1).output
    assert "MSVSE-E075" in output
    assert "spacy-msvse[app]" in " ".join(output.split())
    assert not started


def test_a_missing_pipeline_is_reported_before_the_page_opens(started):
    assert "MSVSE-E076" in run("no_such_pipeline", status=1).output
    assert not started


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "E166"),
        ('{"txt": "saw jordan"}', "E166"),
        ('{"text": "saw jordan", "image": "none.png"}', "E166"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "E130"),
    ],
)
def test_an_empty_gallery_is_reported_before_the_page_opens(
    started, pipeline, tmp_path, content, code
):
    (tmp_path / "posts.jsonl").write_text(content)
    output = run(pipeline, "--examples", tmp_path / "posts.jsonl", status=1).output
    assert f"MSVSE-{code}" in output
    assert not started


def test_the_page_takes_over_the_pipeline_that_the_command_has_loaded(started, pipeline):
    run(pipeline)
    assert list(spacy_msvse.cli.serve.PIPELINES) == [str(pipeline)]


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(started, pipeline, port):
    run(pipeline, "--port", port, status=2)
    assert not started


def test_code_of_the_user_reaches_the_page(started, pipeline, tmp_path):
    code = tmp_path / "own.py"
    code.write_text("")
    run(pipeline, "--code", code)
    assert started[0][-2:] == [str(pipeline), f"--code={code}"]
