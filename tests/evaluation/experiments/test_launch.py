"""The start of runs."""

import multiprocessing

import pytest

from spacy_msvse.evaluation.experiments.launch import train_all
from spacy_msvse.evaluation.experiments.plan import plan_runs
from spacy_msvse.evaluation.experiments.rows import FULL

resource = pytest.importorskip("resource")  # only on Unix


def start(connection, runs) -> None:
    # The writer of a longer file gets the error EFBIG, as it would get ENOSPC.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    try:
        train_all(runs, {})
    except Exception as error:
        connection.send((type(error).__name__, str(error)))


def test_a_full_disk_is_a_coded_error_that_names_the_folder_of_the_run(config, tmp_path):
    runs = plan_runs(config, {FULL: {}}, [0], tmp_path)
    context = multiprocessing.get_context("fork")
    connection, theirs = context.Pipe()
    process = context.Process(target=start, args=(theirs, runs))
    process.start()
    name, message = connection.recv()
    process.join()
    assert name == "MsvseError"
    assert str(runs[0].folder) in message
    assert "File too large" in message
    assert runs[0].result() is None, "the next call trains it"
