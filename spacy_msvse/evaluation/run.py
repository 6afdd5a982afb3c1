"""One run of an ablation: train a pipeline, score it, and write down what that took.

`python -m spacy_msvse.evaluation.run FOLDER` is started by `ablate` for every run: memory that was
taken is not given back, and whatever ends a run ends no other.
"""

import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Container
from pathlib import Path
from typing import IO, Any

import srsly
from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST
from spacy.training.loop import train as train_nlp
from spacy.util import load_config, resolve_dot_names
from thinc.api import Config

from ..util import write_whole
from .conlleval import known_entities
from .machine import STATUS, describe_machine, memory_mb
from .scores import evaluate
from .significance import post_counts

CONFIG, PLAN, RESULT, TRAINING = "config.cfg", "run.json", "result.json", "training.json"

LogStep = Callable[[dict[str, Any] | None], None]
Logger = Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]


def train_and_score(folder: Path) -> None:
    """Carry a run out. What it writes last is its result, at once and as a whole.

    folder (Path): Holds the config, and beside it what the run is ("row", "seed", "overrides",
        "fingerprint") and how to carry it out ("component", "gpu_id", "code", "keep_model").
    """
    began = time.perf_counter()
    plan = srsly.read_json(folder / PLAN)
    import_code(plan["code"])
    setup_gpu(plan["gpu_id"])
    config = load_config(folder / CONFIG, interpolate=False)
    config["training"]["logger"] = {
        "@loggers": "spacy-msvse.TrainingRecord.v1",
        "path": str(folder / TRAINING),
        "logger": config["training"]["logger"],
    }
    nlp = init_nlp(config, use_gpu=plan["gpu_id"])
    train_nlp(nlp, folder, use_gpu=plan["gpu_id"])
    memory = peak_memory_mb(plan["gpu_id"])
    # Into the same pipeline, which knows its feature store.
    nlp.from_disk(folder / DIR_MODEL_BEST)
    network = nlp.get_pipe(plan["component"]).require_network()  # type: ignore[attr-defined]
    parameters = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
    trained_on = read_corpus(nlp, config["training"]["train_corpus"])
    known = known_entities(example.reference for example in trained_on)
    result = {
        **{key: plan[key] for key in ("row", "seed", "overrides", "fingerprint")},
        **{name: score(nlp, corpus, known) for name, corpus in scored_corpora(config).items()},
        **srsly.read_json(folder / TRAINING),
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "peak_mb": memory,
        "seconds": time.perf_counter() - began,
        "machine": describe_machine(),
    }
    shutil.rmtree(folder / DIR_MODEL_LAST)
    if not plan["keep_model"]:
        shutil.rmtree(folder / DIR_MODEL_BEST)
    write_whole(folder / RESULT, srsly.json_dumps(result, indent=2).encode("utf8"))


def scored_corpora(config: Config) -> dict[str, str]:
    """The corpora that a pipeline is scored on.

    config (Config): A training config; its test data are `[corpora.test]`, if it has any.
    RETURNS (dict): "dev" and "test" to the name of a corpus in the config.
    """
    test = {"test": "corpora.test"} if "test" in config["corpora"] else {}
    return {"dev": config["training"]["dev_corpus"], **test}


def read_corpus(nlp: Language, name: str) -> list[Example]:
    """Read a corpus of a pipeline's config.

    nlp (Language): The pipeline.
    name (str): Name of the corpus in the config.
    RETURNS (list): Its examples.
    """
    (read,) = resolve_dot_names(nlp.config.interpolate(), [name])
    return list(read(nlp))


def score(nlp: Language, corpus: str, known: Container[tuple[str, str]]) -> dict[str, Any]:
    """Score a pipeline on a corpus of its config.

    nlp (Language): The pipeline.
    corpus (str): Name of the corpus in the config.
    known (Container): What training has seen, see `known_entities`.
    RETURNS (dict): What `evaluate` returns, and "post_counts", see there.
    """
    examples = read_corpus(nlp, corpus)
    scores = evaluate(nlp, examples, known=known)  # annotates their Docs in place
    return {**scores, "post_counts": post_counts(examples)}


def create_training_record(path: str, logger: Logger) -> Logger:
    """Create a logger that writes what a training took; registered as
    `spacy-msvse.TrainingRecord.v1`.

    path (str): The JSON file to write when it ends: "steps"; "best_step"; "curve", the step and
        the score of each evaluation; and "seconds_per_step", the median from the end of one step
        to that of the next, with no evaluation between; None if there were no two such steps.
    logger (Callable): The logger that logs as usual.
    RETURNS (Callable): For `[training.logger]`.
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


def peak_memory_mb(gpu_id: int) -> float | None:
    """The most memory that this process has held: a GPU's if it uses one.

    gpu_id (int): The GPU, or -1 for the CPU.
    RETURNS (float): Megabytes; None where the system does not tell, which on a CPU is all but
        Linux.
    """
    if gpu_id >= 0:
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    # Not `getrusage`: its peak is the parent's too.
    return memory_mb("VmHWM") if STATUS.exists() else None


def end_with_parent() -> None:
    """End when the parent ends, however it does, so that no two processes write to one folder: it
    holds the other end of standard input and writes nothing."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    train_and_score(Path(sys.argv[1]))
