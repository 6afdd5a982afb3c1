"""Two commands do not write to one output."""

import multiprocessing
import os
import signal
import stat
import time

import pytest
import srsly

from spacy_msvse.cli.lock import lock_path, locked
from spacy_msvse.errors import MsvseError

from ..tiny import save_encoder
from .command import run


def hold(output, begun):
    with locked(output):
        begun.set()
        time.sleep(100)


@pytest.fixture
def writer(tmp_path):
    """Another process that writes to an output; call it with the output."""
    started = []

    def start(output):
        context = multiprocessing.get_context("fork")
        begun = context.Event()
        process = context.Process(target=hold, args=(output, begun))
        process.start()
        started.append(process)
        assert begun.wait(10)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def refused(command, process) -> None:
    output = command(status=1).output
    (line,) = output.splitlines()
    assert "MSVSE-E201" in line
    assert f"(number {process.pid})" in line


def test_annotate(trained, tmp_path, writer):
    srsly.write_jsonl(tmp_path / "posts.jsonl", [{"text": "saw jordan", "tags": ["red"]}])
    output = tmp_path / "folder" / "out.jsonl"

    def annotate(**settings):
        return run("annotate", trained, tmp_path / "posts.jsonl", output, **settings)

    other = writer(output)
    refused(annotate, other)
    other.kill()
    other.join()
    annotate()
    assert len(list(srsly.read_jsonl(output))) == 1
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]


def test_convert(tmp_path, writer):
    span = {"start": 4, "end": 10, "label": "PER"}
    srsly.write_jsonl(tmp_path / "posts.jsonl", [{"text": "saw jordan", "spans": [span]}])
    arguments = (tmp_path / "posts.jsonl", tmp_path / "posts.spacy", "--allow-no-pictures")
    other = writer(tmp_path / "posts.spacy")
    refused(lambda **settings: run("convert", *arguments, **settings), other)
    assert not (tmp_path / "posts.spacy").exists()


def test_init_bilstm(tmp_path, writer):
    encoder = save_encoder(tmp_path / "encoder")
    other = writer(tmp_path / "bilstm")
    refused(lambda **settings: run("init-bilstm", encoder, tmp_path / "bilstm", **settings), other)
    assert not (tmp_path / "bilstm").exists()


def test_ablate(tmp_path, writer):
    (tmp_path / "config.cfg").touch()
    other = writer(tmp_path / "runs")
    arguments = (tmp_path / "config.cfg", tmp_path / "runs")
    refused(lambda **settings: run("ablate", *arguments, **settings), other)


def test_a_killed_process_releases_its_lock_though_its_children_live_on(tmp_path):
    output = tmp_path / "out.jsonl"
    read, write = os.pipe()
    if not (parent := os.fork()):
        with locked(output):
            child = os.fork()
            if child:
                os.write(write, f"{child}\n".encode())
            time.sleep(100)
            os._exit(0)
    child = int(os.read(read, 20))
    try:
        with pytest.raises(MsvseError, match=f"number {parent}"), locked(output):
            pass
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        with locked(output):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_command_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new" / "folder" / "out.jsonl"):
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("1")
    lock_path(tmp_path / "out.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="lock"), locked(tmp_path / "out.jsonl"):
        pass
    assert (tmp_path / "precious").read_text() == "1"


def take_turns(output, counter, turns):
    while turns:
        try:
            with locked(output):
                count = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(count + 1))
        except MsvseError:
            time.sleep(0.001)
        else:
            turns -= 1


def test_only_one_process_at_a_time_has_the_lock(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    arguments = (tmp_path / "out.jsonl", counter, 40)
    processes = [
        multiprocessing.get_context("fork").Process(target=take_turns, args=arguments)
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counter.read_text() == "160"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_in_a_folder_without_permission_can_be_locked(tmp_path):
    output = tmp_path / "parent" / "runs"
    output.mkdir(parents=True)
    output.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with locked(output):
        pass
