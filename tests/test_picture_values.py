"""Every kind of value that people have a picture as, by every way into a Doc."""

import base64
import io
import json
import math
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryFile

import numpy
import pandas
import pytest
import spacy
import torch
from PIL import Image

from spacy_msvse import make_doc
from spacy_msvse.corpus.annotate import annotate
from spacy_msvse.corpus.jsonl import parse_row, parse_rows, read_rows
from spacy_msvse.corpus.rows import Row
from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.picture import open_picture

from .tiny import ambiguous_examples, save_encoder, tiny_pipeline

SIZE = (7, 5)


def make_picture() -> Image.Image:
    """Red above green, with a dark edge on the left: no other layout of its pixels is equal."""
    image = Image.new("RGB", SIZE, (0, 200, 0))
    image.paste((255, 0, 0), (0, 0, SIZE[0], 2))
    image.paste((10, 20, 30), (0, 0, 1, SIZE[1]))
    return image


def encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = make_picture()
PNG = encode(PICTURE)
PIXELS = numpy.asarray(PICTURE)
GREY = numpy.asarray(PICTURE.convert("L"))
BASE64 = base64.b64encode(PNG).decode()
COLOURS_FIRST = numpy.ascontiguousarray(PIXELS.transpose(2, 0, 1))


def text_file() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(PNG))


def read_file() -> io.BytesIO:
    file = io.BytesIO(PNG)
    file.read()
    return file


def closed_file() -> io.BytesIO:
    file = io.BytesIO(PNG)
    file.close()
    return file


def disk_file() -> object:
    """A file that cannot be sent to another process."""
    file = TemporaryFile()  # noqa: SIM115 (closed when it is forgotten)
    file.write(PNG)
    file.seek(0)
    return file


class Asynchronous:
    async def read(self, size=-1):
        return PNG


class Endless:
    def read(self, size=-1):
        return bytes(size if size >= 0 else 10**9)


class Tensorlike:
    """Of another library, with the method by which numpy reads it."""

    def __array__(self, dtype=None, copy=None):
        return PIXELS


class Unreadable:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("lost device")


#: Kinds that are the picture.
PICTURES = {
    "bytes": lambda: PNG,
    "bytearray": lambda: bytearray(PNG),
    "memoryview": lambda: memoryview(PNG),
    "numpy bytes": lambda: numpy.bytes_(PNG),
    "array of a file's bytes": lambda: numpy.frombuffer(PNG, dtype=numpy.uint8),
    "tensor of a file's bytes": lambda: torch.frombuffer(bytearray(PNG), dtype=torch.uint8),
    "PIL": make_picture,
    "PIL opened": lambda: Image.open(io.BytesIO(PNG)),
    "PIL with alpha": lambda: PICTURE.convert("RGBA"),
    "array": lambda: PIXELS,
    "array of views": lambda: PIXELS[::-1][::-1],
    "array with alpha": lambda: numpy.asarray(PICTURE.convert("RGBA")),
    "array, colours first": lambda: COLOURS_FIRST,
    "array of int64": lambda: PIXELS.astype("int64"),
    "array of uint16 up to 255": lambda: PIXELS.astype("uint16"),
    "floats to 1": lambda: PIXELS / 255,
    "floats to 1, 16 bits": lambda: (PIXELS / 255).astype("float16"),
    "floats to 1, rounded above it": lambda: (PIXELS / 255).astype("float32") * 1.0000002,
    "floats to 255": lambda: PIXELS.astype("float32"),
    "floats to 255, resized": lambda: (PIXELS - 0.25).clip(0),
    "tensor": lambda: torch.from_numpy(COLOURS_FIRST),
    "tensor, floats to 1": lambda: torch.from_numpy(COLOURS_FIRST) / 255,
    "tensor, 16 bits": lambda: (torch.from_numpy(COLOURS_FIRST) / 255).bfloat16(),
    "tensor with a gradient": lambda: (torch.from_numpy(COLOURS_FIRST) / 255).requires_grad_(),
    "tensor, colours last": lambda: torch.from_numpy(PIXELS.copy()),
    "array of another library": Tensorlike,
    "file in memory": lambda: io.BytesIO(PNG),
    "file on the disk": disk_file,
    "data URI": lambda: f"data:image/png;base64,{BASE64}",
    "data URI in capitals": lambda: f"DATA:image/png;base64,{BASE64}",
    "data URI in lines": lambda: f"data:image/png;base64,{BASE64[:40]}\n{BASE64[40:]}\r\n",
    "data URI with escapes": lambda: (
        "data:image/png;base64," + BASE64.replace("+", "%2B").replace("=", "%3D")
    ),
    "record": lambda: {"bytes": PNG, "path": "other.png"},
    "record without a path": lambda: {"bytes": PNG, "path": None},
    "record of bytes only": lambda: {"bytes": PNG},
    "record with a missing path": lambda: {"bytes": PNG, "path": math.nan},
}

#: The same in grey.
GREYS = {
    "array": lambda: GREY,
    "array with one colour": lambda: GREY[:, :, None],
    "array with one colour first": lambda: GREY[None],
    "PIL": lambda: PICTURE.convert("L"),
    "PIL of floats to 1": lambda: Image.fromarray((GREY / 255).astype("float32")),
    "PIL of floats to 255": lambda: Image.fromarray(GREY.astype("float32")),
    "tensor": lambda: torch.from_numpy(GREY.copy())[None] / 255,
}

#: Kinds that are the path of the picture, which is "folder/a.png".
PATHS = {
    "text": lambda: "folder/a.png",
    "numpy text": lambda: numpy.str_("folder/a.png"),
    "Path": lambda: Path("folder/a.png"),
    "PurePath": lambda: PurePosixPath("folder/a.png"),
    "path of Windows": lambda: PureWindowsPath("folder/a.png"),
    "backslashes": lambda: r"folder\a.png",
    "backslashes and a dot": lambda: r".\folder\a.png",
    "record": lambda: {"bytes": None, "path": "folder/a.png"},
    "record of a path only": lambda: {"path": Path("folder/a.png")},
    "record with missing bytes": lambda: {"bytes": pandas.NA, "path": r"folder\a.png"},
}

#: Kinds of no picture.
NONE = {
    "None": lambda: None,
    "NaN": lambda: math.nan,
    "NaN of 32 bits": lambda: numpy.float32("nan"),
    "NA": lambda: pandas.NA,
    "NaT": lambda: pandas.NaT,
    "record of None": lambda: {"bytes": None, "path": None},
    "record of NaN": lambda: {"bytes": math.nan, "path": math.nan},
}

#: Kinds that are refused, and a part of the reason.
REFUSED = {
    "number": (lambda: 3, "it is not a picture"),
    "number with a fraction": (lambda: 1.5, "float.*it is not a picture"),
    "list": (lambda: ["a.png"], "list.*it is not a picture"),
    "empty text": (lambda: "", "names no picture"),
    "blank": (lambda: " ", "names no picture"),
    "empty bytes": (lambda: b"", "names no picture"),
    "data URI without base64": (lambda: "data:image/png,abc", "not in base64|damaged"),
    "other record": (lambda: {"url": "https://example.com/a.png"}, "'url'"),
    "record with a text as bytes": (lambda: {"bytes": "iVBO", "path": "a.png"}, "'bytes' is a str"),
    "record with a number as path": (lambda: {"bytes": None, "path": 3}, "'path' is a int"),
    "empty record": (dict, "no key"),
    "several pictures": (lambda: PIXELS[None], r"shape \(1, 5, 7, 3\).*does not hold pixels"),
    "two colours": (lambda: PIXELS[:, :, :2], "does not hold pixels"),
    "no pixels": (lambda: PIXELS[:0], "does not hold pixels"),
    "numbers in a row": (lambda: numpy.zeros(3), "does not hold pixels"),
    "tensor with colours first or last": (lambda: torch.zeros(3, 9, 3), "first or last"),
    "normalized": (lambda: PIXELS / 127.5 - 1, "from -1 to 1; undo the normalization"),
    "brightened beyond 1": (lambda: PIXELS / 255 * 1.2, "from 0 to 1.2, so white may be 1 or 255"),
    "depths": (lambda: PIXELS / 50.0, "from 0 to 5.1, so white may be 1 or 255"),
    "16 bits": (lambda: PIXELS.astype("uint16") * 257, "from 0 to 65535"),
    "negative integers": (lambda: PIXELS.astype("int32") - 9, "from -9 to 246"),
    "not finite": (lambda: numpy.full((3, 4), math.nan), "not finite"),
    "one pixel not finite": (lambda: numpy.pad([[math.inf]], 3), "not finite"),
    "complex numbers": (lambda: numpy.zeros((3, 4), complex), "does not hold numbers"),
    "objects": (lambda: numpy.array([[None, 1]]), "does not hold numbers"),
    "array that cannot be read": (Unreadable, "lost device"),
    "PIL beyond 1": (lambda: Image.new("F", SIZE, 1.5), "so white may be 1 or 255"),
    "PIL beyond 16 bits": (lambda: Image.new("I", SIZE, 70000), "70000, beyond 16 bits"),
    "file as text": (text_file, "it is open as text"),
    "text in memory": (lambda: io.StringIO("a.png"), "it is open as text"),
    "file that is read": (read_file, "no bytes after the current position"),
    "closed file": (closed_file, "closed file"),
    "asynchronous file": (Asynchronous, "returns a coroutine"),
    "endless file": (Endless, r"more than \d+ bytes"),
}


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    (folder / "folder").mkdir()
    (folder / "folder" / "a.png").write_bytes(PNG)
    return folder


def by_make_doc(nlp, value):
    return make_doc(nlp, "saw jordan", image=value)._.image


def by_attribute(nlp, value):
    doc = nlp("saw jordan")
    doc._.image = value
    return doc._.image


def by_row(nlp, value):
    row = Row(Path("rows"), 1, {"text": "saw jordan", "image": value})
    return parse_row(row).to_doc(nlp)._.image


WAYS = [by_make_doc, by_attribute, by_row]


def assert_equal(source, root, expected):
    shown = numpy.asarray(open_picture(source, root), dtype=int)
    assert shown.shape == (*SIZE[::-1], 3)
    assert numpy.abs(shown - numpy.asarray(expected.convert("RGB"), dtype=int)).max() <= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_of_picture_is_the_same_picture(nlp, kind, way):
    source = way(nlp, PICTURES[kind]())
    assert type(source) is bytes
    assert_equal(source, None, PICTURE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", GREYS)
def test_every_kind_of_grey_picture_is_the_same_picture(nlp, kind, way):
    assert_equal(way(nlp, GREYS[kind]()), None, PICTURE.convert("L"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", PATHS)
def test_every_kind_of_path_is_a_text_and_finds_the_picture(nlp, root, kind, way):
    source = way(nlp, PATHS[kind]())
    assert type(source) is str
    assert_equal(source, root, PICTURE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", NONE)
def test_a_missing_value_is_no_picture(nlp, kind, way):
    assert way(nlp, NONE[kind]()) is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", REFUSED)
def test_any_other_kind_is_refused_by_name(nlp, kind, way):
    make, reason = REFUSED[kind]
    with pytest.raises(MsvseError, match=f"E035.*`image`: .*|E035.*{reason}") as raised:
        way(nlp, make())
    assert re.search(reason, str(raised.value))


@pytest.mark.parametrize("scale", [0, 1])
def test_a_black_picture_of_floats_is_black_on_either_scale(nlp, scale):
    picture = open_picture(by_make_doc(nlp, numpy.zeros((3, 4)) * scale))
    assert picture.getextrema() == ((0, 0),) * 3


def test_a_mask_is_white_where_it_is_true(nlp):
    picture = open_picture(by_make_doc(nlp, numpy.array([[True, False]])))
    assert [picture.getpixel((x, 0))[0] for x in (0, 1)] == [255, 0]


def test_the_kinds_that_json_has_are_read_from_a_file(nlp, root):
    (root / "posts.jsonl").write_text(
        "".join(
            json.dumps({"text": "saw jordan", "image": image}) + "\n"
            for image in (
                "folder/a.png",
                r"folder\a.png",
                {"bytes": None, "path": "folder/a.png"},
                f"data:image/png;base64,{BASE64}",
                None,
                {"bytes": None, "path": None},
                {"bytes": "iVBO", "path": None},
            )
        )
    )
    bad_rows = []
    *pictures, none, empty = [
        post.image for post in parse_rows(read_rows(root / "posts.jsonl"), bad_rows)
    ]
    for source in pictures:
        assert_equal(source, root, PICTURE)
    assert (none, empty) == (None, None)
    assert [row.line for row in bad_rows] == [7]
    assert "'bytes' is a str" in bad_rows[0].reason


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    nlp = tiny_pipeline(save_encoder(tmp_path_factory.mktemp("values") / "encoder"))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


@pytest.mark.parametrize("n_process", [0, 1])
def test_annotate_takes_every_kind_of_value(trained, root, n_process):
    """Also values that cannot be sent to the process that annotates them."""
    good = {**PICTURES, **{f"path: {name}": make for name, make in PATHS.items()}}
    good |= {f"grey: {name}": make for name, make in GREYS.items()} | NONE
    bad = {name: make for name, (make, _) in REFUSED.items()}
    names = [*good, *bad]
    rows = [
        Row(Path("rows"), number, {"text": "saw jordan", "image": {**good, **bad}[name]()})
        for number, name in enumerate(names)
    ]
    annotated = list(annotate(trained, rows, image_root=root, n_process=n_process))
    assert len(annotated) == len(names)
    for name, row in zip(names, annotated, strict=True):
        if name in good:
            assert (name, row.problem) == (name, None)
            assert "spans" in row.values
        else:
            assert re.search(REFUSED[name][1], row.problem), name


def test_a_path_with_a_backslash_in_its_name_is_found_as_it_is(nlp, tmp_path):
    if os.sep == "\\":
        pytest.skip("no name has a backslash here")
    (tmp_path / r"a\b.png").write_bytes(PNG)
    assert_equal(r"a\b.png", tmp_path, PICTURE)
