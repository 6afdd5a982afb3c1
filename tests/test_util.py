"""Outputs are whole, no link is followed, and a full disk is one coded error."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spacy_msvse.corpus.resume import partial_path, write_rows
from spacy_msvse.corpus.rows import Row
from spacy_msvse.util import (
    as_folder,
    first_line,
    open_unlinked,
    replaced_when_done,
    save_files,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_folder(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "file").write_bytes(content)


def test_a_temporary_name_cannot_be_guessed(tmp_path):
    found = []
    for _ in range(2):
        with replaced_when_done(tmp_path / "out.json") as beside:
            beside.write_bytes(b"new")
            (private,) = set(tmp_path.iterdir()) - {tmp_path / "out.json"}
            found.append(private.name)
            assert beside.parent == private
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert found[0] != found[1]
    assert str(os.getpid()) not in {part for name in found for part in name.split(".")}
    assert names(tmp_path) == ["out.json"]


def test_links_that_wait_beside_an_output_are_not_followed(tmp_path):
    (tmp_path / "victim").write_bytes(b"valuable")
    (tmp_path / "victims").mkdir()
    (tmp_path / "victims" / "file").write_bytes(b"valuable")
    for output, victim in (("out.json", "victim"), ("model", "victims")):
        for end in ("tmp", "old", "part", "partial"):
            for name in (f".{output}.{os.getpid()}.{end}", f".{output}.{end}", f"{output}.{end}"):
                (tmp_path / name).symlink_to(tmp_path / victim)
    (tmp_path / "model").mkdir()
    before = names(tmp_path)
    write_whole(tmp_path / "out.json", b"new")
    with replaced_when_done(tmp_path / "model") as beside:
        write_folder(beside, b"new")
    assert (tmp_path / "out.json").read_bytes() == b"new"
    assert (tmp_path / "model" / "file").read_bytes() == b"new"
    assert (tmp_path / "victim").read_bytes() == b"valuable"
    assert (tmp_path / "victims" / "file").read_bytes() == b"valuable"
    assert names(tmp_path) == sorted([*before, "out.json"])


def test_an_output_that_is_a_link_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "victim").write_bytes(b"valuable")
    (tmp_path / "out").symlink_to(tmp_path / "victim")
    write_whole(tmp_path / "out", b"new")
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "victim").read_bytes() == b"valuable"


def test_outputs_have_the_usual_permissions(tmp_path):
    write_whole(tmp_path / "out", b"new")
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_failure_leaves_the_older_output_and_nothing_else(tmp_path, is_folder):
    output = tmp_path / "out"
    write_folder(output, b"older") if is_folder else output.write_bytes(b"older")

    def fail() -> None:
        with replaced_when_done(output) as beside:
            write_folder(beside, b"new") if is_folder else beside.write_bytes(b"new")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert (output / "file" if is_folder else output).read_bytes() == b"older"
    assert names(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", b"older")
    replace = os.replace

    def fail_second(source, target):
        if Path(target) == tmp_path / "out" and Path(source).name == "new":
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_second)
    with pytest.raises(PermissionError), replaced_when_done(tmp_path / "out") as beside:
        write_folder(beside, b"new")
    assert (tmp_path / "out" / "file").read_bytes() == b"older"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["x" * 250, "é" * 120, "a.b.c"])
def test_long_names_are_written(tmp_path, name):
    write_whole(tmp_path / name, b"new")
    assert (tmp_path / name).read_bytes() == b"new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_full_disk_is_a_coded_error_that_names_the_output(tmp_path, is_folder):
    output = tmp_path / "out"
    write_folder(output, b"older") if is_folder else output.write_bytes(b"older")

    def fill() -> None:
        with replaced_when_done(output) as beside:
            if is_folder:
                beside.mkdir()
            full = beside / "file" if is_folder else beside
            full.symlink_to("/dev/full")
            full.write_bytes(b"new")

    with pytest.raises(ValueError, match=r"E190.*out'.*No space left.*unchanged"):
        fill()
    assert (output / "file" if is_folder else output).read_bytes() == b"older"
    assert names(tmp_path) == ["out"]


LIMITED = """
import resource, sys
from pathlib import Path
from spacy_msvse.errors import MsvseError
from spacy_msvse.util import as_folder, save_files, write_whole
def save(folder):
    import numpy
    from safetensors.numpy import save_file
    save_file({"weights": numpy.zeros(10**5)}, Path(folder) / "weights.safetensors")
work = {
    "file": lambda: write_whole(Path(sys.argv[1]), bytes(10**5)),
    "save": lambda: save_files(lambda folder: (Path(folder) / "file").write_bytes(bytes(10**5))),
    "safetensors": lambda: save_files(save),
    "folder": lambda: as_folder({"file.json": bytes(10**5)}).__enter__(),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (10**4, 10**4))
try:
    work[sys.argv[2]]()
except MsvseError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit here")
@pytest.mark.parametrize("work", ["file", "save", "safetensors", "folder"])
def test_a_limit_of_the_file_size_is_a_coded_error(tmp_path, work):
    (tmp_path / "out").write_bytes(b"older")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "out"), work]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "MSVSE-E190" in done.stdout, done.stderr
    assert str(tmp_path) in done.stdout
    assert "File too large" in done.stdout
    assert (tmp_path / "out").read_bytes() == b"older"
    assert names(tmp_path) == ["out"]


def test_errors_that_have_another_cause_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), replaced_when_done(tmp_path / "out"):
        pass
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "out", b"")
    with pytest.raises(FileNotFoundError):
        save_files(lambda folder: (Path(folder) / "missing" / "file").write_bytes(b""))
    with pytest.raises(KeyError), as_folder({}):
        raise KeyError


def test_unfinished_rows_are_not_written_through_a_link(tmp_path):
    (tmp_path / "victim").write_bytes(b"valuable")
    output = tmp_path / "out.jsonl"
    partial_path(output).symlink_to(tmp_path / "victim")
    rows = [Row(output, 1, {"text": "new", "spans": []})]
    with pytest.raises(ValueError, match=r"E191.*is a link"):
        list(write_rows(rows, output))
    assert (tmp_path / "victim").read_bytes() == b"valuable"
    assert not output.exists()


def test_a_file_is_not_opened_through_a_link(tmp_path):
    (tmp_path / "victim").write_bytes(b"valuable")
    (tmp_path / "out.partial").symlink_to(tmp_path / "victim")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    for name in ("out.partial", "dangling"):
        with pytest.raises(ValueError, match=r"E191.*is a link"):
            open_unlinked(tmp_path / name, os.O_RDWR | os.O_CREAT)
    assert (tmp_path / "victim").read_bytes() == b"valuable"
    assert not (tmp_path / "none").exists()
    with open(tmp_path / "new", "ab", opener=open_unlinked) as file_:
        file_.write(b"new")
    assert (tmp_path / "new").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("message", "line"),
    [("one.\ntwo", "one"), ("\n  two \nthree", "two"), ("", "ValueError"), ("\n", "ValueError")],
)
def test_the_first_line_of_an_error_is_a_reason(message, line):
    assert first_line(ValueError(message)) == line
