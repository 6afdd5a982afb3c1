"""Crafted `.spacy` files: a coded error, or every post that the file has."""

import random
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from spacy.tokens import DocBin

from spacy_msvse.corpus.reader import create_corpus

from .children import coded_exit, command
from .scene import NAME
from .values import any_value, any_vector
from .verdicts import LOSS, WRONG, Case, expect

KEY = "._."


def good_message(case: Case) -> dict[str, Any]:
    """The unpacked message of a file of the posts, annotated."""
    docs = case.scene.docs()
    for doc in docs:
        doc.ents = [doc.char_span(4, 4 + len(doc[1].text), "PER")] if len(doc[0]) == 3 else []
    data = DocBin(store_user_data=True, docs=docs).to_bytes()
    message: dict[str, Any] = srsly.msgpack_loads(zlib.decompress(data))
    return message


def _user_data(
    message: dict[str, Any], chance: random.Random, change: Callable[[Any], Any]
) -> None:
    row = chance.randrange(len(message["user_data"]))
    data = srsly.msgpack_loads(message["user_data"][row], use_list=False)
    message["user_data"][row] = srsly.msgpack_dumps(change(data))


def set_attribute(message: dict[str, Any], chance: random.Random) -> str:
    """An attribute of a post gets a value of another type."""
    names = (
        "images",
        "image_tags",
        "image_caption",
        "image_texts",
        "image_regions",
        "image_features",
    )
    names += ("image_extracted", "image_status", "image_problems", "visual_entities")
    name = chance.choice(names)
    makers: list[Callable[[], Any]] = [lambda: any_value(chance)] * 3
    makers += [
        lambda: np.asarray(any_vector(chance)),
        lambda: chance.choice(([], {}, 3, "", b"", [1])),
        lambda: [any_value(chance) for _ in range(chance.randrange(1, 4))],
    ]
    value = chance.choice(makers)()
    if name == "image_features" and chance.random() < 0.5:
        value = np.asarray(any_vector(chance), dtype="float32")
        value = [value] * chance.randrange(1, 4) if chance.random() < 0.5 else value

    def change(data: Any) -> Any:
        return [
            *[p for p in _pairs(data) if p[0] != (KEY, name, None, None)],
            ((KEY, name, None, None), value),
        ]

    try:
        _user_data(message, chance, change)
    except Exception:  # a value that msgpack cannot hold
        _user_data(message, chance, lambda data: [*_pairs(data), ((KEY, name, None, None), 3)])
        value = 3
    return f"{name} = {value!r}"


def _pairs(data: Any) -> list[Any]:
    return [tuple(pair) for pair in (data.items() if isinstance(data, dict) else data)]


def odd_user_data(message: dict[str, Any], chance: random.Random) -> str:
    row = chance.randrange(len(message["user_data"]))
    value = chance.choice(
        (b"", b"\xc1", b"\x93", 3, None, srsly.msgpack_dumps([1, 2]), srsly.msgpack_dumps(3))
    )
    message["user_data"][row] = value
    return f"user_data is {value!r}"


def lengths(message: dict[str, Any], chance: random.Random) -> str:
    """The lengths disagree with the tokens."""
    data = np.frombuffer(message["lengths"], dtype="int32").copy()
    kind = chance.choice(
        ("one more", "one less", "zero", "negative", "huge", "fewer", "more", "swapped", "none")
    )
    row = chance.randrange(len(data))
    if kind == "one more":
        data[row] += 1
    elif kind == "one less":
        data[row] -= 1
    elif kind == "zero":
        data[row] = 0
    elif kind == "negative":
        data[row] = -data[row]
    elif kind == "huge":
        data[row] = 2**30
    elif kind == "fewer":
        data = data[:-1]
    elif kind == "more":
        data = np.append(data, data[:1])
    elif kind == "swapped":
        data[[0, 1]] = data[[1, 0]]
    elif kind == "none":
        data = data[:0]
    message["lengths"] = data.astype("int32").tobytes()
    return f"lengths: {kind}"


def lists(message: dict[str, Any], chance: random.Random) -> str:
    """A list has other elements than there are posts."""
    key = chance.choice(
        sorted(k for k, v in message.items() if isinstance(v, list) and k != "attrs")
    )
    kind = chance.choice(("empty", "fewer", "more", "null", "numbers"))
    values = message[key]
    message[key] = {
        "empty": [],
        "fewer": values[:-1],
        "more": [*values, *values[:1]],
        "null": [None] * len(values),
        "numbers": [3] * len(values),
    }[kind]
    return f"{key}: {kind}"


def buffers(message: dict[str, Any], chance: random.Random) -> str:
    """The arrays of tokens, blanks or flags are damaged."""
    key = chance.choice(("tokens", "spaces", "lengths"))
    data = bytearray(message[key])
    kind = chance.choice(("cut", "flip", "noise", "empty", "more"))
    if kind == "cut":
        del data[chance.randrange(len(data)) :]
    elif kind == "flip":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "noise":
        data[:] = chance.randbytes(len(data))
    elif kind == "empty":
        data.clear()
    else:
        data += chance.randbytes(chance.choice((1, 8, 80)))
    message[key] = bytes(data)
    return f"{key}: {kind}"


def keys(message: dict[str, Any], chance: random.Random) -> str:
    """A key is missing, renamed or of another type."""
    key = chance.choice(sorted(message))
    kind = chance.choice(("missing", "renamed", "null", "text", "number", "list", "map"))
    value = message.pop(key)
    if kind == "renamed":
        message[key + "s"] = value
    elif kind != "missing":
        message[key] = {"null": None, "text": "x", "number": 3, "list": [1], "map": {"a": 1}}[kind]
    return f"{key} {kind}"


def strings(message: dict[str, Any], chance: random.Random) -> str:
    """Words are not among the strings, or strings are wrong."""
    kind = chance.choice(("none", "half", "other", "surrogate", "nul"))
    known = message["strings"]
    message["strings"] = {
        "none": [],
        "half": known[::2],
        "other": [one + "x" for one in known],
        "surrogate": [*known, b"\xed\xa0\x80"],
        "nul": [one + "\0" for one in known],
    }[kind]
    return f"strings: {kind}"


def attributes(message: dict[str, Any], chance: random.Random) -> str:
    """The columns of the tokens have other meanings."""
    kind = chance.choice(("reversed", "fewer", "unknown", "twice", "huge"))
    known = message["attrs"]
    message["attrs"] = {
        "reversed": known[::-1],
        "fewer": known[:-1],
        "unknown": [*known[:-1], 99999],
        "twice": [*known[:-1], known[0]],
        "huge": [*known[:-1], 2**63],
    }[kind]
    return f"attrs: {kind}"


def entities_out_of_range(message: dict[str, Any], chance: random.Random) -> str:
    """Span groups with spans that are not in the post."""

    row = chance.randrange(len(message["span_groups"]))
    group = {"name": "msvse_ner", "attrs": {}, "spans": []}
    start, end = chance.choice(((0, 99), (5, 2), (-1, 1), (2**31, 2**32)))
    span = struct.pack(
        ">QQllll", 0, 0, *[max(min(v, 2**31 - 1), -(2**31)) for v in (start, end, start, end)]
    )
    group["spans"] = [span]
    message["span_groups"][row] = srsly.msgpack_dumps({"msvse_ner": [srsly.msgpack_dumps(group)]})
    return f"a span group with the span {start}-{end}"


def whole(message: dict[str, Any], chance: random.Random) -> str:
    return chance.choice(
        ("cut", "flip", "uncompressed", "empty", "text", "bomb", "twice", "other message")
    )


CRAFTS = (
    (set_attribute, 6),
    (odd_user_data, 2),
    (lengths, 3),
    (lists, 2),
    (buffers, 2),
    (keys, 2),
    (strings, 2),
    (attributes, 1),
    (entities_out_of_range, 1),
    (whole, 2),
)


def write(
    path: Path, message: dict[str, Any], craft: Any, what: str, chance: random.Random
) -> None:
    data = srsly.msgpack_dumps(message)
    content = zlib.compress(data)
    if craft is whole:
        place = chance.randrange(len(content))
        content = {
            "cut": content[:place],
            "flip": content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :],
            "uncompressed": data,
            "empty": b"",
            "text": b"text",
            "bomb": zlib.compress(bytes(200 * 2**20)),
            "twice": content + content,
            "other message": zlib.compress(srsly.msgpack_dumps([1, 2])),
        }[what]
    path.write_bytes(content)


def crafted_docbin(case: Case) -> None:
    """Read a crafted file for training, and annotate its posts."""
    chance, scene = case.chance, case.scene
    message = good_message(case)
    count = len(scene.rows)
    craft = chance.choices(*zip(*CRAFTS, strict=True))[0]
    what = craft(message, chance)
    path = case.folder / "posts.spacy"
    write(path, message, craft, what, chance)
    route = chance.choices(("corpus", "evaluate", "extract", "debug-data"), (12, 1, 1, 1))[0]
    case.say(f"{craft.__name__}: {what}; {route}")
    if route != "corpus":
        config = scene.pipeline / "config.cfg"
        arguments = {
            "evaluate": (scene.pipeline, path),
            "extract": (path, case.folder / "store", "--config", config),
            "debug-data": (path, path),
        }[route]
        checks = route == "debug-data"
        options = () if checks else ("--image-root", "/")
        # The check of data ends with status 1 if its report has a fault.
        coded_exit(*command(route, *arguments, *options), report=checks)
        return
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        examples = list(create_corpus(path)(scene.nlp))
        expect(len(examples) >= count or given, LOSS, f"{len(examples)} posts of {count}")
        component = scene.nlp.get_pipe(NAME)
        docs = [example.predicted for example in examples]
        done = list(component.pipe(docs))
    expect(len(done) == len(docs), LOSS, f"{len(done)} posts of {len(docs)} annotated")
    for doc in done:
        for entity in doc.ents:
            confidence = entity._.confidence
            expect(
                confidence is None or 0 <= confidence <= 1.0001, WRONG, f"confidence {confidence}"
            )
        states = doc._.image_status or {}
        expect("unreadable" not in states.values() or given, LOSS, f"no warning: {states}")
