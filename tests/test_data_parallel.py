"""Two processes that train with parts of a batch have the gradients of one with the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_msvse import make_doc

from .tiny import ambiguous_examples, entities, picture, save_encoder, tiny_pipeline

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(600)
def test_the_gradients_are_those_of_one_process_and_a_pipeline_comes_out(tmp_path):
    nlp = tiny_pipeline(save_encoder(tmp_path / "encoder"))
    docs = DocBin(store_user_data=True)
    for number, example in enumerate(ambiguous_examples(nlp)):
        doc = make_doc(nlp, "saw it today" if number % 5 == 0 else example.reference.text)
        if number % 5:
            doc._.image = example.predicted._.image
            doc.set_ents(
                [doc.char_span(e.start_char, e.end_char, e.label_) for e in example.reference.ents]
            )
        else:
            doc.set_ents([])
        docs.add(doc)
    docs.to_disk(tmp_path / "posts.spacy")
    config = nlp.config
    corpus = {"@readers": "spacy-msvse.Corpus.v1", "path": str(tmp_path / "posts.spacy")}
    config["corpora"] |= {"train": corpus, "dev": corpus}
    config["training"] |= {"dropout": 0.0}
    config["training"]["optimizer"]["learn_rate"] = 3e-3
    config.to_disk(tmp_path / "config.cfg")
    code = tmp_path / "code.py"
    code.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport tests.tiny\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [ROOT / "benchmarks" / "data_parallel.py", tmp_path / "config.cfg", tmp_path / "out"]
    command += ["--code", code, "--check", "--epochs=60", "--batch=7"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("largest difference") == 2
    trained = spacy.load(tmp_path / "out")
    found = {
        entities(trained(make_doc(nlp, "saw jordan today", image=picture(label))))[0]
        for label in ("PER", "LOC")
    }
    assert found == {("jordan", "PER"), ("jordan", "LOC")}
