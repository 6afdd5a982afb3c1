"""Each method by the commands that users type: train, annotate, evaluate, calibrate, render,
package.

Usually the methods of two kinds of answer are checked, a lattice and spans; all of them by
`project run methods-check`.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli._util import app
from spacy.tokens import DocBin
from spacy.util import registry
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)
from spacy_msvse import make_doc
from spacy_msvse.evaluation.experiments.rows import method_names

from .. import tiny

#: Their answers are a lattice, and spans.
KINDS = ("spacy-msvse.MSVSE.v1", "spacy-msvse.SMVAE.v1")

LOAD = """
import sys, spacy, tests.tiny
from spacy_msvse import make_doc
nlp = spacy.load(sys.argv[1])
print([ent.label_ for ent in nlp(make_doc(nlp, sys.argv[2])).ents])
"""

CHECKED = [
    pytest.param(name, marks=[] if name in KINDS else pytest.mark.methods)
    for name in method_names()
]


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> Path:
    """A folder with posts for training and rows to annotate."""
    folder = tmp_path_factory.mktemp("posts")
    pictures = folder / "pictures"
    pictures.mkdir()
    nlp = tiny.tiny_pipeline(tiny.save_encoder(folder / "encoder"))
    docs, rows = [], []
    for number, example in enumerate(tiny.ambiguous_examples(nlp, copies=6)):
        (pictures / f"{number}.png").write_bytes(example.predicted._.image)
        example.reference._.image = f"{number}.png"
        docs.append(example.reference)
        rows.append({"id": number, "text": example.reference.text, "image": f"{number}.png"})
    DocBin(store_user_data=True, docs=docs).to_disk(folder / "posts.spacy")
    srsly.write_jsonl(folder / "posts.jsonl", rows)
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


# With few predicted entities, the temperature stays.
@pytest.mark.filterwarnings("ignore:.*MSVSE-W008")
@pytest.mark.parametrize("method", CHECKED)
def test_a_method_passes_every_command(method, posts, tmp_path, monkeypatch):
    # Imported again from its path, it would register classes that cannot be pickled.
    monkeypatch.setattr("spacy_msvse.component.loading.load_code", lambda code: None)
    settings = tiny.METHOD_SETTINGS.get(registry.architectures.get(method).method.__name__, {})
    nlp = tiny.tiny_pipeline(str(posts / "encoder"), model={"@architectures": method, **settings})
    config = nlp.config
    corpus = {"@readers": "spacy-msvse.Corpus.v1", "path": str(posts / "posts.spacy")}
    corpus["image_root"] = str(posts / "pictures")
    config["corpora"] |= {"train": corpus, "dev": corpus}
    config["training"] |= {"max_steps": 4, "eval_frequency": 2, "patience": 0}
    config["training"]["optimizer"]["learn_rate"] = 1e-3
    config.to_disk(tmp_path / "config.cfg")
    run("train", tmp_path / "config.cfg", "--output", tmp_path / "out")
    trained = tmp_path / "out" / "model-best"
    pictures = ("--image-root", posts / "pictures")

    scores = tmp_path / "scores.json"
    run("msvse", "evaluate", trained, posts / "posts.spacy", "--output", scores, *pictures)
    assert 0 <= srsly.read_json(scores)["ents_f"] <= 1

    calibrated = tmp_path / "calibrated"
    run("msvse", "calibrate", trained, posts / "posts.spacy", "--output", calibrated, *pictures)
    assert spacy.load(calibrated).get_pipe("msvse_ner").temperature > 0

    rows = tmp_path / "rows.jsonl"
    run("msvse", "annotate", trained, posts / "posts.jsonl", rows, *pictures)
    annotated = list(srsly.read_jsonl(rows))
    assert [row["id"] for row in annotated] == list(range(len(annotated)))
    for row in annotated:
        assert all(0 <= span["score"] <= 1 for span in row["spans"])
        assert not row.get("error")

    page = tmp_path / "page.html"
    run("msvse", "render", trained, posts / "posts.jsonl", page, *pictures)
    assert "<html" in page.read_text("utf8")

    # `tests/test_package.py` builds and installs a wheel; here another process loads what is in it.
    packages = tmp_path / "packages"
    packages.mkdir()
    run("package", trained, packages, "--name", "tiny", "--build", "none")
    (content,) = (path.parent for path in packages.rglob("config.cfg"))
    text = annotated[0]["text"]
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, content, text],
        env={"PYTHONPATH": str(Path.cwd()), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    nlp = spacy.load(trained)
    assert loaded.stdout.strip() == str([ent.label_ for ent in nlp(make_doc(nlp, text)).ents])
