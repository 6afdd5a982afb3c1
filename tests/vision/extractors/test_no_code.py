"""Code and pickles that come with weights are never run, and nobody is asked for permission."""

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from spacy_msvse.evaluation.experiments.plan import check_encoders
from spacy_msvse.vision.extractors.transformers_caption import TransformersCaption
from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder
from spacy_msvse.vision.extractors.zero_shot_detector import ZeroShotDetector
from spacy_msvse.vision.extractors.zero_shot_tags import ZeroShotTags

from ..conftest import photo

EXTRACTORS = {
    "vit": lambda weights: TransformersEncoder(weights=weights),
    "blip": lambda weights: TransformersCaption(weights=weights),
    "owlvit": lambda weights: ZeroShotDetector(weights=weights, min_score=0.0),
    "clip": lambda weights: ZeroShotTags(weights=weights, labels=["cup"]),
}

CONFIGS = ["config.json", "preprocessor_config.json", "tokenizer_config.json"]

AUTO_CLASSES = [
    *("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoImageProcessor"),
    *("AutoProcessor", "AutoTokenizer", "AutoModelForZeroShotObjectDetection"),
]


@pytest.fixture(autouse=True)
def no_answers(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    yield
    assert asked == []


def plant(saved: str, folder: Path, file: str, model_type: str | None) -> Path:
    """Copy a model, and name code in one of its files. The code makes the file that is returned."""
    shutil.copytree(saved, folder)
    marker = folder / "was-run"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Evil: ...\n")
    values = json.loads((folder / file).read_text())
    values["auto_map"] = dict.fromkeys(AUTO_CLASSES, "evil.Evil")
    values["trust_remote_code"] = True
    if model_type is not None:
        values.update(model_type=model_type, image_processor_type="E", tokenizer_class="E")
    (folder / file).write_text(json.dumps(values))
    return marker


@pytest.mark.parametrize("model_type", [None, "evil"])
@pytest.mark.parametrize("file", CONFIGS)
@pytest.mark.parametrize("kind", EXTRACTORS)
def test_code_in_a_folder_of_weights_is_not_run(saved, tmp_path, kind, file, model_type):
    if not (Path(saved(kind)) / file).exists():
        pytest.skip(f"{kind} has no {file}")
    marker = plant(saved(kind), tmp_path / "weights", file, model_type)
    extractor = EXTRACTORS[kind](str(tmp_path / "weights"))
    try:
        extractor.initialize()
    except ValueError as error:
        assert "E011" in str(error)  # noqa: PT017 - its own code is loaded, or it is refused
    assert not marker.exists()
    assert extractor._loaded.network is None or extractor.extract([photo()], [{}])


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_a_pickle_in_a_folder_of_weights_is_not_run(saved, tmp_path, kind):
    folder = tmp_path / "weights"
    shutil.copytree(saved(kind), folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    marker = folder / "was-run"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(str(marker))))
    with pytest.raises(ValueError, match="E011"):
        EXTRACTORS[kind](str(folder)).initialize()
    assert not marker.exists()


def test_the_plan_of_an_ablation_runs_no_code_and_does_not_wait(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    marker = folder / "was-run"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Evil: ...\n")
    values = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(values))
    config = SimpleNamespace(interpolate=lambda: {"components": {"ner": {"model": model}}})
    model = {"encoder": str(folder)}
    run = SimpleNamespace(result=lambda: None, config=config, row="full")
    with pytest.raises(ValueError, match=r"E165.*encoder"):
        check_encoders([run])
    assert not marker.exists()


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_loading_logs_no_messages_of_transformers(saved, kind, caplog):
    from transformers.utils import logging

    extractor = EXTRACTORS[kind](saved(kind))
    logging.warning_once.cache_clear()  # or it is logged only in the first test
    caplog.clear()
    extractor.initialize()
    EXTRACTORS[kind]("elsewhere").from_files(extractor.to_files())
    assert caplog.messages == []
