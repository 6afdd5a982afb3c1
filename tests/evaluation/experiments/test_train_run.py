"""The process of a run."""

import os
import threading

from spacy_msvse.evaluation.experiments import train_run


def test_a_run_ends_when_its_parent_does(monkeypatch):
    reading, writing = os.pipe()
    status = []
    monkeypatch.setattr(train_run.os, "_exit", status.append)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(train_run.sys, "stdin", stdin)
        thread = threading.Thread(target=train_run.end_with_parent)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        os.close(writing)
        thread.join(5)
    assert status == [1]
