"""Hostile files: no crash, no hang, bounded memory, and an error that names each refused file."""

import json
import random
import re
import shutil
import subprocess
import sys

import pytest

from .pictures import DECODED, DECODING_SECONDS, EITHER, LARGE, REFUSED, damaged, make_hostile_files

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="named pipes, sockets and resource usage are those of Unix"
)

#: Seconds that one file may take.
PATIENCE = DECODING_SECONDS + 5

#: Bytes that memory may grow by: one picture at a time is at full size, and WebP, the worst, then
#: uses 4 bytes per pixel at 5 places (a canvas, the one before, the frame, Pillow's copy, the
#: picture on white). All others of a batch are shrunk: 32 of 16 MiB at most. With the largest legal
#: picture, of 2**26 pixels, this is less than 1.8 GiB.
MEMORY = 5 * 4 * LARGE**2 + 32 * 16 * 2**20


#: Files that would take a decoder minutes, and the reason why they are refused.
BOMBS = {
    "chunks.png": "too many pieces",
    "texts.png": "too many pieces",
    "pieces.png": "too many pieces",
    "fill.jpg": "too many pieces",
    "markers.jpg": "too many pieces",
    "blocks.gif": "too many pieces",
    "comments.gif": "too many pieces",
    "segments.jpg": "header is too large",
    "strips.tif": "header is too large",
    "scans.jpg": "1006 scans, too many for its size",
    "runs.bmp": "longer than 3 seconds",
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> dict:
    """The results for all files, from a new process, so that its memory can be measured."""
    folder = tmp_path_factory.mktemp("hostile")
    files = make_hostile_files(folder)
    names = json.dumps([file.name for file in files])
    command = [sys.executable, "-m", "tests.hostile.pictures", str(folder)]
    done = subprocess.run(command, input=names, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for file, row in zip(files, found["files"], strict=True):
        row |= {"name": file.name, "expected": file.expected}
    shutil.rmtree(folder)
    return found


def of(outcome: dict, expected: str) -> list[dict]:
    return [file for file in outcome["files"] if file["expected"] == expected]


def test_there_are_files_of_every_kind(outcome):
    assert len(outcome["files"]) >= 200
    assert len({file["name"] for file in outcome["files"]}) == len(outcome["files"])
    assert all(len(of(outcome, expected)) >= 50 for expected in (REFUSED, DECODED, EITHER))


def test_no_file_takes_long(outcome):
    slow = {file["name"]: file["seconds"] for file in outcome["files"]}
    assert {name: seconds for name, seconds in slow.items() if seconds > PATIENCE} == {}


def test_memory_stays_within_bounds(outcome):
    assert outcome["grown"] < MEMORY


def test_files_that_are_no_pictures_are_refused(outcome):
    assert [file["name"] for file in of(outcome, REFUSED) if file["reason"] is None] == []


def test_decoders_are_not_kept_busy_for_minutes(outcome):
    reasons = {file["name"]: file["reason"] for file in outcome["files"]}
    assert {name for name, why in BOMBS.items() if why not in reasons[name]} == set()


def test_pictures_are_decoded(outcome):
    assert [file for file in of(outcome, DECODED) if file["reason"] is not None] == []


def test_each_refused_file_is_named_with_a_reason(outcome):
    for file in outcome["files"]:
        if file["reason"] is not None:
            assert re.match(r"\[MSVSE-E02[012]\] Picture '.+' .*\S", file["reason"])
            assert file["shown"] in file["reason"]
            assert file["reason"].isprintable()
            assert len(file["reason"]) < 700


def test_batches_and_single_files_have_equal_results(outcome):
    refused = [file for file in outcome["files"] if file["reason"] is not None]
    assert sorted(outcome["failed"]) == sorted([file["shown"], file["reason"]] for file in refused)
    assert outcome["pictures"] == len(outcome["files"])


def test_posts_with_hostile_pictures_have_features_or_a_problem(outcome):
    for file, (problem, size) in zip(outcome["files"], outcome["posts"], strict=True):
        assert problem == file["reason"]
        assert (size is None) == (file["reason"] is not None)


def test_decoded_pictures_are_of_legal_size(outcome):
    for _, size in outcome["posts"]:
        if size is not None:
            width, height = (int(words.split()[0]) for words in size)
            assert 0 < width * height < 4 * 1024**2


def test_same_seed_gives_the_same_files():
    first, same, other = (list(damaged(random.Random(seed))) for seed in (1, 1, 2))
    assert first == same != other
