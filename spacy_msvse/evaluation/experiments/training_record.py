"""A training logger that records steps, scores and seconds."""

import statistics
import time
from collections.abc import Callable
from typing import IO, Any

import srsly
from spacy.language import Language

from ...settings import Name, checked

LogStep = Callable[[dict[str, Any] | None], None]
Logger = Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]


@checked("training.logger")
def create_training_record(path: Name, logger: Logger) -> Logger:
    """Create a logger that records a training in a file; registered as
    `spacy-msvse.TrainingRecord.v1`.

    Args:
        path (str): The JSON file, which is written at the end: "steps"; "best_step"; "curve", the
            step and the score of each evaluation; and "seconds_per_step", the median time between
            the ends of two steps without an evaluation between them; None if there were no such
            steps.
        logger (Callable): The logger that logs as usual.

    Returns:
        Callable: For `[training.logger]`.
    """

    def set_up(nlp: Language, stdout: IO, stderr: IO) -> tuple[LogStep, Callable[[], None]]:
        log, finish = logger(nlp, stdout, stderr)
        record: dict[str, Any] = {"steps": 0, "best_step": None, "curve": []}
        record["seconds_per_step"] = None
        seconds: list[float] = []
        ended: float | None = None

        def log_step(info: dict[str, Any] | None) -> None:
            nonlocal ended
            now = time.perf_counter()
            # An evaluation belongs to the step before it, and saving comes before this call.
            if info is None and ended is not None:
                seconds.append(now - ended)
            log(info)
            record["steps"] += 1
            if info is not None:
                # Of equal scores spaCy keeps the last.
                record["best_step"] = max(info["checkpoints"])[1]
                record["curve"] = [(step, score) for score, step in info["checkpoints"]]
            ended = time.perf_counter()

        def finish_record() -> None:
            finish()
            if seconds:
                record["seconds_per_step"] = statistics.median(seconds)
            srsly.write_json(path, record)

        return log_step, finish_record

    return set_up
