"""The record of a training."""

import io

import srsly

from spacy_msvse.evaluation.experiments import training_record
from spacy_msvse.evaluation.experiments.training_record import create_training_record


def test_the_record_has_the_seconds_of_steps_without_evaluation_and_the_best_step(
    tmp_path, monkeypatch
):
    clock = [0.0]
    monkeypatch.setattr(training_record.time, "perf_counter", lambda: clock[0])
    logged = []

    def logger(nlp, stdout, stderr):
        return logged.append, lambda: logged.append("end")

    path = tmp_path / "training.json"
    set_up = create_training_record(str(path), logger)
    log_step, finish = set_up(None, io.StringIO(), io.StringIO())
    # An evaluation every third step takes long. Of equal scores spaCy keeps the last.
    scores = [(0.5, 0), (0.75, 3), (0.75, 6)]
    for step in range(8):
        clock[0] += 2.0 if step % 3 else 100.0
        info = None if step % 3 else {"checkpoints": scores[: step // 3 + 1]}
        log_step(info)
    finish()
    assert srsly.read_json(path) == {
        "steps": 8,
        "best_step": 6,
        "curve": [[0, 0.5], [3, 0.75], [6, 0.75]],
        "seconds_per_step": 2.0,
    }
    assert len(logged) == 9
