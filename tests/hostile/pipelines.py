"""Damaged pipelines: a saved component with flipped bits, edited settings, foreign names.

A damaged component is refused with a coded error, or predicts exactly what it predicted before.
"""

import hashlib
import json
import os
import pickle
import random
import shutil
import struct
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import srsly
from confection import ConfigValidationError

from spacy_msvse.errors import MsvseError

from .scene import NAME, answers, difference, expect_right, same
from .verdicts import CRASH, WRONG, Bad, Case, coded_warnings, expect

WEIGHTS, SETTINGS, NETWORK = "network.safetensors", "cfg", "network.json"
MANIFEST = "manifest.json"

Files = dict[str, bytes]


class Saved:
    """A saved component, to be damaged and loaded.

    Attributes:
        files (dict): Its files.
        repaired (bool): Whether the hashes are made to fit again, as somebody does who knows them.
    """

    def __init__(self, files: Files) -> None:
        self.before, self.files = dict(files), dict(files)
        self.repaired = False
        self.raw: Callable[[bytes], bytes] | None = None


def read_folder(folder: Path) -> Files:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_folder(folder: Path, files: Files) -> None:
    """Write files. A name that leads elsewhere is left to the manifest."""
    for name, content in files.items():
        if not name or name.startswith("/") or ".." in name.split("/") or "\0" in name:
            continue
        path = folder / name
        odd = any("\ud800" <= character <= "\udfff" for character in name)
        if odd or len(path.name) > 200 or name.count("/") > 50 or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def repair_hashes(text: str, before: Files, after: Files) -> str:
    """Replace the hashes of changed files in a text."""
    for name, content in after.items():
        if name in before and before[name] != content:
            text = text.replace(_sha(before[name]), _sha(content))
    return text


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def find_files(message: Any) -> tuple[Any, Any] | None:
    """The place of the files in an unpacked message: a container and the key in it."""
    if isinstance(message, dict):
        for key, value in message.items():
            if isinstance(value, dict) and SETTINGS in value and isinstance(value[SETTINGS], bytes):
                return message, key
            if (found := find_files(value)) is not None:
                return found
    return None


def repair_message(value: Any, before: Files, after: Files) -> Any:
    """Replace the hashes of changed files, and add those of new ones, in an unpacked message."""
    if isinstance(value, str):
        return repair_hashes(value, before, after)
    if isinstance(value, bytes):
        for name, content in after.items():
            if name in before and value == hashlib.sha256(before[name]).digest():
                return hashlib.sha256(content).digest()
        return value
    if isinstance(value, dict):
        if SETTINGS in value and isinstance(value[SETTINGS], bytes):
            return value
        hashes = {k: repair_message(v, before, after) for k, v in value.items()}
        if hashes.get(SETTINGS) == _sha(after.get(SETTINGS, b"")):
            hashes = {name: _sha(content) for name, content in after.items()}
        return hashes
    if isinstance(value, list):
        return [repair_message(item, before, after) for item in value]
    return value


# Damage


def weights_span(data: bytes) -> tuple[int, int]:
    """Where the numbers of a safetensors file begin and end."""
    return 8 + struct.unpack("<Q", data[:8])[0], len(data)


def tensors(data: bytes) -> dict[str, tuple[int, int, str]]:
    """Name of each tensor to its begin, its end and its type."""
    start, _ = weights_span(data)
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: (start + one["data_offsets"][0], start + one["data_offsets"][1], one["dtype"])
        for name, one in header.items()
    }


def flip_exponent(saved: Saved, chance: random.Random) -> str:
    data = bytearray(saved.files[WEIGHTS])
    floats = [one for one in sorted(tensors(bytes(data)).items()) if one[1][2] == "F32"]
    name, (begin, end, _) = chance.choice(floats)
    word = chance.randrange((end - begin) // 4)
    bit = chance.randrange(23, 31)
    place = begin + 4 * word + bit // 8
    data[place] ^= 1 << (bit % 8)
    saved.files[WEIGHTS] = bytes(data)
    return f"bit {bit} of a weight of {name}"


def zero_stretch(saved: Saved, chance: random.Random) -> str:
    return _stretch(saved, chance, lambda size: bytes(size))


def noisy_stretch(saved: Saved, chance: random.Random) -> str:
    return _stretch(saved, chance, chance.randbytes)


def _stretch(saved: Saved, chance: random.Random, make: Callable[[int], bytes]) -> str:
    data = saved.files[WEIGHTS]
    begin, end = weights_span(data)
    size = chance.choice((64, 512, 4096, 32768))
    place = chance.randrange(begin, end - size)
    saved.files[WEIGHTS] = data[:place] + make(size) + data[place + size :]
    return f"{size} bytes of {WEIGHTS}"


def flip_bit(saved: Saved, chance: random.Random) -> str:
    name = chance.choice(sorted(saved.files))
    data = bytearray(saved.files[name])
    if not data:
        return f"{name} is empty"
    place = chance.randrange(len(data))
    data[place] ^= 1 << chance.randrange(8)
    saved.files[name] = bytes(data)
    return f"a bit of {name}"


def truncate(saved: Saved, chance: random.Random) -> str:
    name = chance.choice(sorted(saved.files))
    saved.files[name] = saved.files[name][: chance.randrange(len(saved.files[name]) or 1)]
    return f"{name} truncated"


def remove_file(saved: Saved, chance: random.Random) -> str:
    name = chance.choice(sorted(saved.files))
    del saved.files[name]
    return f"{name} missing"


def swap_files(saved: Saved, chance: random.Random) -> str:
    one, other = chance.sample(sorted(saved.files), 2)
    saved.files[one], saved.files[other] = saved.files[other], saved.files[one]
    return f"{one} and {other} swapped"


def rename_file(saved: Saved, chance: random.Random) -> str:
    name = chance.choice(sorted(saved.files))
    new = chance.choice((name + "x", name.upper(), "x/" + name, name[1:], name + "/x"))
    saved.files[new] = saved.files.pop(name)
    return f"{name} renamed to {new}"


def edit_cfg(saved: Saved, chance: random.Random) -> str:
    """Edit `cfg` and make the hashes fit, as somebody who edits by hand and knows them."""
    values = json.loads(saved.files[SETTINGS])
    labels = values["labels"]
    number = chance.choice((0, -1, "nan", "inf", "-inf", None, "1", True, [], 1e-300, 1e300, -0.5))
    key = chance.choice(sorted(values))
    inner = chance.choice(sorted(values["settings"]))
    edits: dict[str, Callable[[], Any]] = {
        "labels reversed": lambda: values.update(labels=labels[::-1]),
        "labels reversed again": lambda: values.update(labels=labels[::-1]),
        "label renamed": lambda: values.update(labels=[*labels[:-1], "RENAMED"]),
        "label dropped": lambda: values.update(labels=labels[:-1]),
        "label added": lambda: values.update(labels=[*labels, "ADDED"]),
        "label twice": lambda: values.update(labels=[*labels[:-1], labels[0]]),
        "labels of another type": lambda: values.update(
            labels=chance.choice((None, 3, "PER", {}, [1, 2, 3], [None] * 3, [["LOC"]] * 3))
        ),
        f"temperature {number}": lambda: values.update(temperature=number),
        f"temperature {number} again": lambda: values.update(temperature=number),
        f"key {key} renamed": lambda: values.update({key + "s": values.pop(key)}),
        f"key {key} capital": lambda: values.update({key.title(): values.pop(key)}),
        f"key {key} missing": lambda: values.pop(key),
        "key added": lambda: values.update(added=1),
        f"setting {inner} {number}": lambda: values["settings"].update({inner: number}),
        f"setting {inner} renamed": lambda: values["settings"].update(
            {inner + "s": values["settings"].pop(inner)}
        ),
        "settings of another type": lambda: values.update(
            settings=chance.choice((None, [], 3, "x"))
        ),
        "configured of another type": lambda: values.update(
            configured=chance.choice((None, [], 3))
        ),
        "calibration of another type": lambda: values.update(
            calibration=chance.choice(([], 3, "x"))
        ),
    }
    what = chance.choice(list(edits))
    edits[what]()
    text = json.dumps(values)
    for name in ("nan", "inf", "-inf"):
        literal = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[name]
        if chance.random() < 0.8:
            text = text.replace(f'"{name}"', literal)
    whole = chance.random()
    if whole < 0.05:
        text = chance.choice(("[]", "null", "3", '"x"', "{}", "", "{" * 10_000, "[" * 100_000))
        what = f"cfg is {text[:5]}"
    saved.files[SETTINGS] = text.encode()
    saved.repaired = True
    return f"cfg: {what}, hashes repaired"


def edit_network(saved: Saved, chance: random.Random) -> str:
    """Edit `network.json` so that it contradicts the rest, and make the hashes fit."""
    values = json.loads(saved.files[NETWORK])
    config = values["config"]
    number = chance.choice((0, -1, 10**9, 1e300, "x", None, [], "nan"))
    key = chance.choice(sorted(config))
    inner = chance.choice(sorted(config["encoder"]))
    edits: dict[str, Callable[[], Any]] = {
        "types reversed": lambda: config.update(types=config["types"][::-1]),
        "types renamed": lambda: config.update(types=["A", "B", "C"]),
        "types dropped": lambda: config.update(types=config["types"][:-1]),
        "other method": lambda: values.update(
            method=chance.choice(("TextCrf", "os.system", 3, None))
        ),
        f"{key} renamed": lambda: config.update({key + "s": config.pop(key)}),
        "unknown key": lambda: config.update(added=1),
        "region_dim": lambda: config.update(region_dim=number),
        "encoder hidden_size": lambda: config["encoder"].update(hidden_size=number),
        "encoder layers": lambda: config["encoder"].update(num_hidden_layers=number),
        "encoder model_type": lambda: config["encoder"].update(
            # A family with the same layers would be another pipeline, which no check can tell.
            model_type=chance.choice(("gpt2", "x", None, 3, "deberta-v2"))
        ),
        f"encoder {inner} of another type": lambda: config["encoder"].update({inner: {"x": []}}),
        "no config": lambda: values.pop("config"),
        "no method": lambda: values.pop("method"),
    }
    what = chance.choice(list(edits))
    edits[what]()
    saved.files[NETWORK] = json.dumps(values).replace('"nan"', "NaN").encode()
    saved.repaired = True
    return f"{NETWORK}: {what} ({key}, {inner}, {number}), hashes repaired"


def edit_tensors(saved: Saved, chance: random.Random) -> str:
    """Rename a tensor, or change its shape or type, and make the hashes fit."""
    data = saved.files[WEIGHTS]
    start, _ = weights_span(data)
    header = json.loads(data[8:start])
    name = chance.choice(sorted(header.keys() - {"__metadata__"}))
    one = header[name]
    edits: dict[str, Callable[[], Any]] = {
        "renamed": lambda: header.update({name + "x": header.pop(name)}),
        "missing": lambda: header.pop(name),
        "flat": lambda: one.update(shape=[*one["shape"], 1]),
        "of another type": lambda: one.update(dtype=chance.choice(("I32", "U32", "F64", "X"))),
        "beyond the end": lambda: one.update(data_offsets=[0, 2**40]),
    }
    what = chance.choice(list(edits))
    edits[what]()
    text = json.dumps(header).encode()
    saved.files[WEIGHTS] = struct.pack("<Q", len(text)) + text + data[start:]
    saved.repaired = True
    return f"tensor {name} {what}, hashes repaired"


def huge_header(saved: Saved, chance: random.Random) -> str:
    data = saved.files[WEIGHTS]
    saved.files[WEIGHTS] = struct.pack("<Q", chance.choice((2**63, 2**40, 0, 1))) + data[8:]
    saved.repaired = True
    return "length of the header of the weights, hashes repaired"


def foreign_names(saved: Saved, chance: random.Random) -> str:
    """Add a file whose name leads elsewhere, or is no name."""
    mark = f"hostile-{os.getpid()}-{chance.randrange(10**9)}"
    outside = Path(tempfile.gettempdir()) / mark
    owner = chance.choice(("tokenizer/", "vision/", "", "vision/regions/", "vocab/"))
    names = [owner + "../" * steps + mark for steps in range(1, 5)]
    names += [owner + str(outside), str(outside), owner + "x/../../" + mark]
    odd = [owner, owner + "\0", owner + "x" * 300, owner + "x/" * 2000 + "x", owner + "\ud800"]
    odd += [owner + ".", owner + "..", owner + "CON", owner + "a\\..\\..\\b"]
    name = chance.choice(names if chance.random() < 0.6 else odd)
    saved.files[name] = b"foreign"
    saved.repaired = True
    saved.outside = [  # type: ignore[attr-defined]
        *(Path(tempfile.gettempdir()) / "/".join([".."] * up) / mark for up in range(4)),
        Path.cwd() / mark,
        Path.cwd().parent / mark,
    ]
    return f"a file with the name {name!r}"


def foreign_files(saved: Saved, chance: random.Random) -> str:
    """Add a file that transformers reads when it is there."""
    mark = saved.mark  # type: ignore[attr-defined]
    code = f"open({str(mark)!r}, 'w').close()\nclass Tokenizer:\n    pass\n"
    settings = json.loads(saved.files["tokenizer/tokenizer_config.json"])
    mapped = {**settings, "auto_map": {"AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"]}}
    mapped["tokenizer_class"] = "Tokenizer"
    added = {
        "added_tokens.json": json.dumps({"jordan": 4, "florence": 3}).encode(),
        "special_tokens_map.json": json.dumps({"cls_token": "[SEP]", "sep_token": "a"}).encode(),
        "vocab.txt": b"jordan\nsaw\ntoday\n[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]",
        "merges.txt": b"a b\n",
        "chat_template.jinja": b"{{ cycler.__init__.__globals__.os.system('true') }}",
        "config.json": b'{"model_type": "bert", "auto_map": {"AutoConfig": "code.Tokenizer"}}',
        "tokenizer.json.bak": b"{}",
    }
    if chance.random() < 0.4:
        saved.files["tokenizer/code.py"] = code.encode()
        saved.files["tokenizer/tokenizer_config.json"] = json.dumps(mapped).encode()
        what = "tokenizer_config.json names code that lies beside it"
    else:
        name = chance.choice(sorted(added))
        saved.files[f"tokenizer/{name}"] = added[name]
        what = f"tokenizer/{name} added"
    saved.repaired = chance.random() < 0.7
    return f"{what}, hashes {'repaired' if saved.repaired else 'as before'}"


def raw_damage(saved: Saved, chance: random.Random) -> str:
    """Damage the message as a whole, not a file of it."""
    kind = chance.choice(("flip", "flip", "cut", "zero", "noise", "twice", "other"))

    def damage(data: bytes) -> bytes:
        place = chance.randrange(len(data))
        if kind == "flip":
            return (
                data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
            )
        if kind == "cut":
            return data[:place]
        if kind in ("zero", "noise"):
            size = chance.choice((4, 64, 1024))
            filling = bytes(size) if kind == "zero" else chance.randbytes(size)
            return (data[:place] + filling + data[place + size :])[: len(data)]
        if kind == "twice":
            return data + data
        return chance.choice(
            (b"", b"\xc0", b"\x80", b"\x90", b"\xde\xff\xff", b"\xdf" + b"\xff" * 4)
        )

    saved.raw = damage
    return f"message: {kind}"


DAMAGES: tuple[tuple[Callable[[Saved, random.Random], str], int], ...] = (
    (flip_exponent, 4),
    (zero_stretch, 2),
    (noisy_stretch, 2),
    (flip_bit, 3),
    (truncate, 2),
    (remove_file, 2),
    (swap_files, 1),
    (rename_file, 2),
    (edit_cfg, 8),
    (edit_network, 4),
    (edit_tensors, 2),
    (huge_header, 1),
    (foreign_names, 4),
    (foreign_files, 4),
    (raw_damage, 3),
)


def damaged_component(case: Case) -> None:
    """Damage a saved component, load it by one of its routes, and predict."""
    chance, scene = case.chance, case.scene
    saved = Saved(read_folder(scene.pipeline / NAME))
    saved.files.pop(MANIFEST, None)
    saved.before.pop(MANIFEST, None)
    saved.outside = []  # type: ignore[attr-defined]
    mark = case.folder / "code-ran"
    saved.mark = mark  # type: ignore[attr-defined]
    damage = chance.choices(*zip(*DAMAGES, strict=True))[0]
    what = damage(saved, chance)
    disk = saved.raw is None and chance.random() < 0.4
    pickled = chance.random() < 0.2
    case.say(f"{what}; by {'from_disk' if disk else 'from_bytes'}{', pickled' if pickled else ''}")
    component = scene.fresh()
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            if disk:
                component.from_disk(save_folder(case, saved))
            else:
                component.from_bytes(save_message(case, saved))
            if pickled:
                component = pickle.loads(pickle.dumps(component))
            found = answers(component, scene.docs())
    finally:
        check_outside(saved)
        expect(not mark.exists(), WRONG, "the code of a file ran")
    warned = coded_warnings(given)
    # Another tokenizer with its own hashes is another pipeline: a hash is no signature.
    other = damage is foreign_files and saved.repaired
    if not other and not (warned and "settings" in what):
        expect_right(found, scene.answers)


def check_outside(saved: Saved) -> None:
    """Judge whether a file was written outside of its folder."""
    written = [path for path in saved.outside if path.exists()]  # type: ignore[attr-defined]
    for path in written:
        path.unlink()
    expect(not written, WRONG, f"a file was written outside of its folder: {written}")


def save_folder(case: Case, saved: Saved) -> Path:
    """Write the damaged files as `to_disk` would."""
    folder = case.folder / NAME
    source = case.scene.pipeline / NAME
    shutil.copytree(source, folder)
    for name in saved.before.keys() - saved.files.keys():
        (folder / name).unlink()
    write_folder(folder, saved.files)
    text = (folder / MANIFEST).read_text("utf8")
    if saved.repaired:
        manifest = json.loads(repair_hashes(text, saved.before, saved.files))
        hashes = (
            manifest
            if SETTINGS in manifest
            else next(value for value in manifest.values() if isinstance(value, dict))
        )
        hashes |= {n: _sha(data) for n, data in saved.files.items() if n not in saved.before}
        text = json.dumps(manifest)
    (folder / MANIFEST).write_text(text, "utf8")
    return folder


def save_message(case: Case, saved: Saved) -> bytes:
    """Make the damaged message that `to_bytes` would make."""
    good = case.scene.nlp.get_pipe(NAME).to_bytes()
    if saved.raw is not None:
        return saved.raw(good)
    message = srsly.msgpack_loads(good)
    place = find_files(message)
    if place is None:
        raise Bad(CRASH, "the campaign does not know the form of the message")
    container, key = place
    before = dict(container[key])
    after = {
        name: saved.files.get(name, content)
        if saved.before.get(name) != saved.files.get(name)
        else content
        for name, content in before.items()
        if name in saved.files or name not in saved.before
    }
    # A message cannot hold half a character.
    after |= {
        name.encode("utf-8", "replace").decode(): data
        for name, data in saved.files.items()
        if name not in saved.before
    }
    if saved.repaired:
        message = repair_message(message, before, after)
        container, _ = find_files(message) or (message, key)
    container[key] = after
    return bytes(srsly.msgpack_dumps(message))


# Whole pipelines


def damaged_pipeline(case: Case) -> None:
    """Damage a saved pipeline or mix two of them, and load it by `spacy.load`."""
    chance, scene = case.chance, case.scene
    folder = case.folder / "pipeline"
    shutil.copytree(scene.pipeline, folder)
    kinds = (mixed_save, edited_config, damaged_files, half_save)
    what = chance.choices(kinds, (4, 5, 4, 3))[0](folder, case)
    case.say(what)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            nlp = spacy.load(folder)
        except MsvseError:
            raise
        except Exception as error:
            # spaCy reads its own files and the structure of the config.
            if isinstance(error, ConfigValidationError) or "[E961]" in str(error):
                return
            raise
        found = answers(nlp.get_pipe(NAME), scene.docs(nlp))
    warned = " ".join(coded_warnings(given))
    if same(found, scene.answers):
        return
    if "other" in what and same(found, scene.other_answers):
        return
    # A setting of the config that differs from the saved one is named.
    expect(warned, WRONG, difference(found, scene.answers))


def mixed_save(folder: Path, case: Case) -> str:
    """Some files of another pipeline, as after a save over it that has stopped."""
    theirs = read_folder(case.scene.other)
    ours = read_folder(case.scene.pipeline)
    names = sorted(name for name in theirs if ours.get(name) != theirs[name])
    if case.chance.random() < 0.5:
        taken = ["config.cfg"]
    else:
        taken = case.chance.sample(names, case.chance.randrange(1, len(names)))
    for name in taken:
        (folder / name).write_bytes(theirs[name])
    return f"files of the other pipeline: {', '.join(taken)}"


def half_save(folder: Path, case: Case) -> str:
    """A save over an older pipeline that stops after some of spaCy's steps."""
    component = folder / NAME
    parts = ["config.cfg", "meta.json", "tokenizer", "vocab"]
    kept = case.chance.randrange(len(parts) + 1)
    for name in parts[:kept]:
        source = case.scene.other / name
        if source.is_dir():
            shutil.copytree(source, folder / name, dirs_exist_ok=True)
        else:
            shutil.copy(source, folder / name)
    ending = case.chance.choice(("old", "missing", "empty", "beside"))
    if ending in ("missing", "beside"):
        os.replace(component, folder / f".{NAME}.1.old")
    if ending == "empty":
        shutil.rmtree(component)
        component.mkdir()
    if ending == "beside":
        shutil.copytree(case.scene.other / NAME, folder / f".{NAME}.1.tmp")
    return f"a save of the other pipeline that stopped: {parts[:kept]}, component {ending}"


def edited_config(folder: Path, case: Case) -> str:
    """Settings of the component in `config.cfg` that nobody would want."""
    text = (folder / "config.cfg").read_text("utf8")
    edits = [
        ("max_view_words = 64", "max_view_words = 1"),
        ("max_view_words = 64", "max_view_words = 0"),
        ("max_view_words = 64", "max_view_words = -5"),
        ("normalize_urls = true", "normalize_urls = 3"),
        ("max_batch_tokens = 2048", "max_batch_tokens = 0"),
        ("max_batch_tokens = 2048", "max_batch_tokens = -1"),
        ("min_view_share = 0.0", "min_view_share = 2"),
        ("min_view_share = 0.0", "min_view_share = -1"),
        ("min_confidence = 0.0", "min_confidence = NaN"),
        ("min_confidence = 0.0", "min_confidence = 7"),
        ('prefix_views = ["regions", "tags", "caption"]', 'prefix_views = ["regions"]'),
        (
            'prefix_views = ["regions", "tags", "caption"]',
            'prefix_views = ["tags", "regions", "caption"]',
        ),
        (
            'prefix_views = ["regions", "tags", "caption"]',
            'prefix_views = ["regionss", "tags", "caption"]',
        ),
        ('joint_views = ["caption"]', 'joint_views = ["tags"]'),
        ('joint_views = ["caption"]', 'joint_views = ["captoin"]'),
        ("gate = true", "gate = false"),
        ("multitask = true", "multitask = false"),
        ("shared_depth = 0.34", "shared_depth = 0.9"),
        ("shared_depth = 0.34", "shared_depth = NaN"),
        ("view_layers = 0", "view_layers = 99"),
        ("view_layers = 0", "view_layers = 1"),
        ("prefix_length = 2", "prefix_length = 1000000"),
        ("prefix_length = 2", "prefix_length = 3"),
        ("prefix_width = 16", "prefix_width = 0"),
        ("joint_decoding_weight = 0.0", "joint_decoding_weight = 0.9"),
        ("joint_decoding_weight = 0.0", "joint_decoding_weight = -3"),
        ('precision = "float32"', 'precision = "float8"'),
        ("shrink_to = 1024", "shrink_to = 0"),
        ("shrink_to = 1024", "shrink_to = -4"),
        ("tokenizer_config = null", 'tokenizer_config = {"trust_remote_code":true}'),
        ("transformer_config = null", 'transformer_config = {"trust_remote_code":true}'),
    ]
    old, new = case.chance.choice([edit for edit in edits if edit[0] in text])
    (folder / "config.cfg").write_text(text.replace(old, new), "utf8")
    return f"config.cfg: {new}"


def damaged_files(folder: Path, case: Case) -> str:
    """Damage to a file of the component."""
    chance = case.chance
    files = sorted(path for path in (folder / NAME).rglob("*") if path.is_file())
    path = chance.choice(files)
    data = path.read_bytes()
    kind = chance.choice(("flip", "cut", "missing", "folder", "empty"))
    if kind == "flip" and data:
        place = chance.randrange(len(data))
        path.write_bytes(
            data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
        )
    elif kind == "cut":
        path.write_bytes(data[: chance.randrange(len(data) or 1)])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
    return f"{path.relative_to(folder)}: {kind}"
