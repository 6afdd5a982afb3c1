"""`python -m spacy msvse serve`: the arguments that it starts Streamlit with."""

import pytest
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
    return starts


def run(*arguments, status: int = 0):
    result = CliRunner().invoke(app, ["msvse", "serve", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result


def test_by_default_the_page_is_for_this_machine_and_sends_nothing_elsewhere(started, tmp_path):
    run(tmp_path)
    (arguments,) = started
    assert arguments[0] == "run"
    assert arguments[-2:] == ["--", str(tmp_path)]
    for setting in (
        "--server.address=127.0.0.1",
        "--server.port=8501",
        "--server.headless=false",
        "--server.maxUploadSize=64",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
    ):
        assert setting in arguments


def test_address_port_and_browser_can_be_chosen(started, tmp_path):
    run(tmp_path, "--host", "0.0.0.0", "--port", 80, "--headless")
    (arguments,) = started
    for setting in ("--server.address=0.0.0.0", "--server.port=80", "--server.headless=true"):
        assert setting in arguments


def test_the_pictures_of_the_gallery_are_beside_its_posts_by_default(started, tmp_path):
    posts = tmp_path / "posts.jsonl"
    posts.write_text("")
    (tmp_path / "pictures").mkdir()
    run(tmp_path, "--examples", posts)
    run(tmp_path, "--examples", posts, "--image-root", tmp_path / "pictures")
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


def test_code_of_ones_own_reaches_the_page(started, tmp_path):
    code = tmp_path / "own.py"
    code.write_text("")
    run(tmp_path, "--code", code)
    assert started[0][-2:] == [str(tmp_path), f"--code={code}"]
