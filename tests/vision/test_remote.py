"""Pictures in a remote folder: only below it, in time, in the threads of local ones, and with
errors that can be read. The remote place is `memory://` of fsspec."""

import copy
import multiprocessing
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision import remote
from spacy_msvse.vision.extraction import extract_posts, find_keys
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.picture import (
    PictureError,
    find_picture,
    open_picture,
    picture_key,
    probe_picture,
    read_picture,
)
from spacy_msvse.vision.remote import (
    RemoteListing,
    RemotePicture,
    check_remote_folder,
    check_root,
    list_remote,
)

from .conftest import CountingExtractor, encode, photo, sources

ROOT = "memory://bucket/pictures"
READERS = [open_picture, probe_picture, picture_key, read_picture]


class Place(MemoryFileSystem):
    """The same files as `memory://`, by another protocol; tests change its answers."""

    protocol = "tests"
    waits = 0.0
    error: Exception | None = None
    ranges: ClassVar[list[tuple[int, int]]] = []
    at_once: ClassVar[list[int]] = []
    _now = 0
    _guard = threading.Lock()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("tests://", "memory://"))

    def cat_file(self, path, start=None, end=None, **kwargs):
        with Place._guard:
            Place._now += 1
            Place.at_once.append(Place._now)
        try:
            time.sleep(Place.waits)
            if Place.error is not None:
                raise Place.error
            Place.ranges.append((start, end))
            data = super().cat_file(path, start, end)
            if not data:
                raise OSError("InvalidRange: the range cannot be satisfied")
            return data
        finally:
            with Place._guard:
                Place._now -= 1


@pytest.fixture(autouse=True)
def files(monkeypatch):
    """Some files, of which one is beside the picture folder."""
    fsspec.register_implementation("tests", Place, clobber=True)
    memory = fsspec.filesystem("memory")
    for path, data in {
        "bucket/pictures/a.png": encode(photo()),
        "bucket/pictures/sub/b.png": encode(photo(1)),
        "bucket/pictures/a..b.png": encode(photo(2)),
        "bucket/pictures/empty.png": b"",
        "bucket/pictures/text.png": b"nothing",
        "bucket/pictures2/c.png": encode(photo(3)),
        "bucket/secret.png": encode(photo(4)),
    }.items():
        memory.pipe_file(path, data)
    monkeypatch.setattr(Place, "waits", 0.0)
    monkeypatch.setattr(Place, "error", None)
    monkeypatch.setattr(Place, "ranges", [])
    monkeypatch.setattr(Place, "at_once", [])
    remote._idle.clear()
    check_root.cache_clear()
    yield
    memory.rm("bucket", recursive=True)


@pytest.mark.parametrize("root", [ROOT, f"{ROOT}/", "tests://bucket/pictures"])
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("a.png", 0),
        ("./a.png", 0),
        ("sub/b.png", 1),
        ("sub//b.png", 1),
        (r"sub\b.png", 1),
        ("a..b.png", 2),
    ],
)
def test_a_path_below_the_folder_is_read(root, name, seed):
    assert read_picture(name, root) == encode(photo(seed))
    assert open_picture(name, root).size == photo().size
    probe_picture(name, root)
    assert picture_key(name, root) == picture_key(encode(photo(seed)))


OUTSIDE = [
    *("../secret.png", "sub/../../secret.png", "sub/../a.png", "..", r"..\secret.png"),
    *(r"sub\..\..\secret.png", "%2e%2e/secret.png", "%252e%252e/secret.png", "..%2fsecret.png"),
    *("..%5csecret.png", "/bucket/secret.png", "/a.png", r"\a.png", "", ".", "a.png::b.png"),
    *("sub/memory://bucket/secret.png", "a.png\nb", "a.png\0", "../pictures2/c.png"),
]
URLS = [
    *("memory://bucket/pictures/a.png", "memory://bucket/secret.png", "s3://bucket/a.png"),
    *("https://example.com/a.png", "file:///etc/passwd", "tests://bucket/pictures/a.png"),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", [*OUTSIDE, *URLS])
def test_nothing_outside_of_the_folder_is_read_and_no_url(name, read, monkeypatch):
    monkeypatch.setattr(remote, "_ask", lambda *args: pytest.fail("asked"))
    code = "E022" if name in URLS else "E021"
    with pytest.raises(PictureError, match=code):
        read(name, ROOT)


@pytest.mark.parametrize("name", ["memory://bucket/pictures/a.png", "tests://bucket/a.png"])
@pytest.mark.parametrize("root", [None, Path(), "."])
def test_without_a_remote_folder_no_remote_url_is_read(name, root, monkeypatch):
    monkeypatch.setattr(remote, "_ask", lambda *args: pytest.fail("asked"))
    with pytest.raises(PictureError, match="E022"):
        open_picture(name, root)


def test_a_place_that_was_found_is_read_without_the_folder():
    """So that a reader of a corpus, which has the folder, can hand it to the component."""
    place = find_picture("sub/b.png", ROOT)
    assert isinstance(place, RemotePicture)
    assert place == "memory://bucket/pictures/sub/b.png"
    for same in (place, copy.deepcopy(place), pickle.loads(pickle.dumps(place))):
        assert read_picture(same) == read_picture(same, ROOT) == encode(photo(1))
    for other in ("memory://bucket", "memory://bucket/pictures2", Path()):
        with pytest.raises(PictureError, match="E021"):
            read_picture(place, other)
    with pytest.raises(PictureError, match="E022"):
        read_picture(str.__str__(place))


# Errors


@pytest.mark.parametrize("root", [ROOT, "tests://bucket/pictures"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.png", "No such file or directory"),
        ("sub", "No such file or directory|it is a folder"),
        ("empty.png", "it is empty"),
        ("text.png", "not a picture of a known format"),
    ],
)
def test_the_reason_names_the_picture(root, name, reason):
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match=rf"E020.*{name}' cannot be read: .*({reason})"):
            read(name, root)


def test_a_missing_picture_can_be_told_from_a_broken_one():
    with pytest.raises(PictureError) as raised:
        read_picture("gone.png", ROOT)
    assert isinstance(raised.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError("Access Denied"), "Access Denied"),
        (RuntimeError("Unable to locate credentials.\n" + "trace\n" * 99), "locate credentials"),
        (ValueError("x" * 9999), r"x{200}\.\.\."),
        (KeyError(), "KeyError"),
    ],
)
def test_errors_of_a_file_system_are_one_line(error, reason, monkeypatch):
    monkeypatch.setattr(Place, "error", error)
    with pytest.raises(PictureError, match=reason) as raised:
        open_picture("a.png", "tests://bucket/pictures")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_password_is_in_no_message_and_in_no_document():
    root = "tests://user:password@bucket/pictures"
    place = find_picture("a.png", root)
    assert place == "tests://bucket/pictures/a.png"
    with pytest.raises(PictureError) as raised:
        open_picture("../a.png", root)
    assert "password" not in str(raised.value)
    with pytest.raises(MsvseError) as raised:
        check_root("nothing://user:password@bucket")
    assert "password" not in str(raised.value)


def test_a_large_picture_is_not_read_whole():
    fsspec.filesystem("memory").pipe_file("bucket/pictures/large.png", bytes(10_000))
    for read in (open_picture, probe_picture):
        Place.ranges.clear()
        with pytest.raises(PictureError, match="more than 1000 bytes, the limit"):
            read("large.png", "tests://bucket/pictures", max_bytes=1000)
        assert Place.ranges[-1] == (0, 1001)


def test_a_check_of_the_header_reads_the_beginning_only():
    image = Image.effect_noise((1000, 1000), 99)
    fsspec.filesystem("memory").pipe_file("bucket/pictures/noise.png", encode(image))
    probe_picture("noise.png", "tests://bucket/pictures")
    assert [end for _, end in Place.ranges] == [2**18]
    with pytest.raises(PictureError, match="1000 x 1000 pixels, more than the limit of 10 "):
        probe_picture("noise.png", "tests://bucket/pictures", max_pixels=10)


# Time


def test_a_place_that_does_not_answer_has_a_time_limit(monkeypatch):
    monkeypatch.setattr(remote, "REMOTE_SECONDS", 0.2)
    monkeypatch.setattr(Place, "waits", 1.5)
    start = time.perf_counter()
    with pytest.raises(PictureError, match=r"no answer within 0\.2 seconds"):
        open_picture("a.png", "tests://bucket/pictures")
    assert time.perf_counter() - start < 1


def test_requests_that_were_given_up_are_bounded(monkeypatch):
    monkeypatch.setattr(remote, "REMOTE_SECONDS", 0.1)
    monkeypatch.setattr(remote, "_slots", threading.BoundedSemaphore(3))
    monkeypatch.setattr(Place, "waits", 1.5)
    before = threading.active_count()
    for _ in range(6):
        with pytest.raises(PictureError, match="no answer"):
            open_picture("a.png", "tests://bucket/pictures")
    assert threading.active_count() <= before + 3
    time.sleep(1.6)
    monkeypatch.setattr(Place, "waits", 0.0)
    assert open_picture("a.png", "tests://bucket/pictures").mode == "RGB"


def test_pictures_are_read_by_the_threads_of_the_extraction(monkeypatch):
    monkeypatch.setattr(Place, "waits", 0.05)
    extractor = VisualExtractor(tags=CountingExtractor())
    posts = sources(*["a.png", "sub/b.png", "gone.png", "a..b.png"] * 3)
    found = list(extract_posts(extractor, posts, image_root="tests://bucket/pictures", workers=4))
    assert max(Place.at_once) == 4
    assert [bool(one.features) for one in found] == [True, True, False, True] * 3
    assert "gone.png" in str(found[2].problems)
    # Each file system serves one request at a time, and the next one after it.
    assert len(remote._idle["tests://bucket/pictures"]) == 4


def test_keys_of_remote_pictures_are_found_by_threads(monkeypatch):
    monkeypatch.setattr(Place, "waits", 0.05)
    posts = sources("a.png", "sub/b.png", "gone.png", "a..b.png")
    keys, problems = find_keys(posts, "tests://bucket/pictures")
    assert {picture_key(encode(photo(seed))) for seed in range(3)} <= keys
    assert len(problems) == 1
    assert max(Place.at_once) > 1


def read_in_child(connection) -> None:
    connection.send(open_picture("a.png", ROOT).size)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_forked_process_makes_connections_of_its_own(monkeypatch):
    monkeypatch.setattr(remote, "_slots", threading.BoundedSemaphore(1))
    open_picture("a.png", ROOT)
    remote._slots.acquire()  # as a request that waits in a thread, which the child has not
    context = multiprocessing.get_context("fork")
    connection, theirs = context.Pipe()
    process = context.Process(target=read_in_child, args=(theirs,))
    process.start()
    assert connection.poll(20)
    assert connection.recv() == photo().size
    process.join()


# The folder


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("file:///data", "give the path of the folder"),
        ("local:///data", "give the path of the folder"),
        ("https://example.com/pictures", "set `fetch`"),
        ("HTTP://example.com/pictures", "set `fetch`"),
        ("simplecache::memory://bucket/pictures", "is a URL|chained"),
        ("memory://bucket::zip://a", "chained"),
        ("zip://a.zip", "chained"),
        ("memory://bucket/../other", r"'\.\.'"),
        ("nothing://bucket/pictures", "Protocol not known: nothing"),
    ],
)
def test_a_folder_that_cannot_be_confined_is_refused(root, reason):
    with pytest.raises(MsvseError, match=rf"E196.*({reason})"):
        check_root(root)


def test_a_path_made_of_a_url_is_refused():
    with pytest.raises(MsvseError, match=r"E196.*pathlib removes a slash"):
        open_picture("a.png", Path(ROOT))
    with pytest.raises(MsvseError) as raised:
        open_picture("a.png", Path("tests://user:password@bucket/pictures"))
    assert "password" not in str(raised.value)


def test_any_character_can_be_in_a_name():
    name = "100% \N{ZERO WIDTH JOINER} \N{SNOWMAN}?#[a]*.png"
    fsspec.filesystem("memory").pipe_file(f"bucket/pictures/{name}", encode(photo()))
    assert open_picture(name, ROOT).size == photo().size


def test_the_whole_place_can_be_the_folder():
    assert read_picture("bucket/pictures/a.png", "memory://") == encode(photo())


def test_a_folder_is_checked_before_the_work():
    check_remote_folder(ROOT)
    with pytest.raises(MsvseError, match=r"E196.*memory://bucket/gone.*nothing at this place"):
        check_remote_folder("memory://bucket/gone")


def test_a_folder_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(remote, "REMOTE_SECONDS", 0.1)
    monkeypatch.setattr(Place, "exists", lambda self, path: time.sleep(1.5))
    with pytest.raises(MsvseError, match=r"E196.*no answer within 0\.1 seconds"):
        check_remote_folder("tests://bucket/pictures")


@pytest.mark.parametrize("root", [ROOT, "s3://bucket/pictures"])
def test_without_the_packages_the_error_names_the_extra(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec" if root == ROOT else "s3fs", None)
    for call in (check_root, check_remote_folder, lambda root: open_picture("a.png", root)):
        with pytest.raises(MsvseError, match=r"E195.*spacy-msvse\[remote\]") as raised:
            call(root)
        # Not an unreadable picture: the run ends at the first one.
        assert not isinstance(raised.value, PictureError)


def test_a_folder_is_listed_once(monkeypatch):
    assert list_remote(ROOT) == {"a.png", "a..b.png", "empty.png", "text.png", "sub"}
    assert list_remote(ROOT, "sub") == {"b.png"}
    assert list_remote(ROOT, "gone") == set()
    calls = []
    listed = MemoryFileSystem.ls
    monkeypatch.setattr(
        Place,
        "ls",
        lambda self, path, **options: calls.append(path) or listed(self, path, **options),
    )
    listing = RemoteListing()
    names = ("a.png", "gone.png", "sub/b.png", "sub/c.png", "other/d.png", "other/e.png")
    root = "tests://bucket/pictures"
    assert [listing.has(find_picture(name, root)) for name in names] == [1, 0, 1, 0, 0, 0]
    assert len(calls) == 3


def test_a_folder_that_cannot_be_listed_is_asked_once(monkeypatch):
    calls = []

    def fail(self, path, **options):
        calls.append(path)
        raise PermissionError("Access Denied")

    monkeypatch.setattr(Place, "ls", fail)
    listing = RemoteListing()
    for _ in range(3):
        with pytest.raises(MsvseError, match=r"E196.*cannot be listed \(Access Denied\)"):
            listing.has(find_picture("a.png", "tests://bucket/pictures"))
    assert len(calls) == 1
