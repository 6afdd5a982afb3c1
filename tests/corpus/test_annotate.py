"""`annotate` in Python: the pipeline is as before when all rows are done."""

from itertools import chain, islice
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Span

from spacy_msvse.corpus.annotate import BATCH_SIZE, annotate
from spacy_msvse.corpus.resume import partial_path, skip_written, write_rows
from spacy_msvse.corpus.rows import Row

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline


@pytest.fixture(scope="module")
def nlp(tmp_path_factory):
    nlp = tiny_pipeline(save_encoder(tmp_path_factory.mktemp("annotate") / "encoder"))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


@pytest.mark.parametrize("n_process", [0, 1])
def test_the_settings_of_the_pipeline_stay(nlp, tmp_path, n_process):
    component = nlp.get_pipe("msvse_ner")
    before = (component.image_root, component.on_missing_image, nlp.default_error_handler)
    rows = [Row(Path("posts.jsonl"), 1, {"text": "saw jordan", "image": "gone.jpg"})]
    (row,) = annotate(nlp, rows, image_root=tmp_path, n_process=n_process)
    assert "gone.jpg" in row.values["error"]
    after = (component.image_root, component.on_missing_image, nlp.default_error_handler)
    assert after == before
    config = nlp.config["components"]["msvse_ner"]
    assert config["on_missing_image"] == "warn"


@Language.factory("tests_counts_its_batch")
def make_counts_its_batch(nlp, name):
    return CountsItsBatch()


class CountsItsBatch:
    """Its entities depend on the batch, as scores do."""

    def __call__(self, doc):
        return next(self.pipe([doc]))

    def pipe(self, docs, batch_size=0):
        docs = list(docs)
        for doc in docs:
            doc.set_ents([Span(doc, 0, 1, label=f"{len(docs)} from {docs[0].text}")])
            yield doc


@pytest.mark.parametrize("done", [1, 63, 64, 65, 100, 150])
def test_a_run_that_continues_forms_the_same_batches(tmp_path, done):
    nlp = spacy.blank("en")
    nlp.add_pipe("tests_counts_its_batch")
    path = tmp_path / "posts.jsonl"
    values = [{"text": "" if number in (3, 70) else f"post{number}"} for number in range(150)]
    rows = [Row(path, line, row) for line, row in enumerate(values)]

    def run(output):
        count, again, rest = skip_written(output, iter(rows), BATCH_SIZE)
        annotated = annotate(nlp, chain(again, rest))
        list(write_rows(islice(annotated, len(again), None), output))
        return count

    assert run(tmp_path / "whole.jsonl") == 0
    whole = (tmp_path / "whole.jsonl").read_bytes()
    output = tmp_path / "out.jsonl"
    partial_path(output).write_bytes(b"".join(whole.splitlines(True)[:done]) + b'{"half')
    assert run(output) == done
    assert output.read_bytes() == whole
