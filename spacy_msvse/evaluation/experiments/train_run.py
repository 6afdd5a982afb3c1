"""The process of one run: train a pipeline, score it, and write the result.

`python -m spacy_msvse.evaluation.experiments.train_run FOLDER` is started by `ablate` for every
run. A separate process returns all its memory, and its failure does not end other runs.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import srsly
from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST
from spacy.training.loop import train as train_nlp
from spacy.util import load_config, resolve_dot_names
from thinc.api import Config

from ...component import components
from ...util import write_whole
from ..controls import CONTROLS, Control
from ..exact import known_entities, post_counts
from ..machine import STATUS, describe_machine, memory_mb
from ..scores import evaluate, marked_slices
from .parameters import count_parameters

CONFIG, PLAN, RESULT, TRAINING = "config.cfg", "run.json", "result.json", "training.json"


def train_and_score(folder: Path) -> None:
    """Train and score a run. The result is written last, and as a whole.

    Args:
        folder (Path): Holds the config and the plan of the run: "row", "seed", "overrides",
            "fingerprint", and the settings "gpu_id", "code" and "keep_model".
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
    # The pipeline object is reused, since it has its feature store.
    nlp.from_disk(folder / DIR_MODEL_BEST)
    trained_on = read_corpus(nlp, config["training"]["train_corpus"])
    known = known_entities(example.reference for example in trained_on)
    corpora = scored_corpora(config)
    *_, compared = corpora.values()
    result = {
        **{key: plan[key] for key in ("row", "seed", "overrides", "fingerprint")},
        **{name: score(nlp, corpus, known) for name, corpus in corpora.items()},
        "controls": score_controls(nlp, compared, plan["seed"]),
        "slices": marked_slices(read_corpus(nlp, compared)),
        **srsly.read_json(folder / TRAINING),
        **count_parameters(nlp),
        "peak_mb": memory,
        "seconds": time.perf_counter() - began,
        "machine": describe_machine(),
    }
    shutil.rmtree(folder / DIR_MODEL_LAST)
    if not plan["keep_model"]:
        shutil.rmtree(folder / DIR_MODEL_BEST)
    write_whole(folder / RESULT, to_lines(result).encode("utf8"))


def scored_corpora(config: Config) -> dict[str, str]:
    """The corpora that a pipeline is scored on.

    Args:
        config (Config): A training config; its test data are `[corpora.test]`, if it has any.

    Returns:
        dict: "dev" and "test" to the name of a corpus in the config.
    """
    test = {"test": "corpora.test"} if "test" in config["corpora"] else {}
    return {"dev": config["training"]["dev_corpus"], **test}


def read_corpus(nlp: Language, name: str) -> list[Example]:
    """Read a corpus of a pipeline's config.

    Args:
        nlp (Language): The pipeline.
        name (str): Name of the corpus in the config.

    Returns:
        list: Its examples.
    """
    (read,) = resolve_dot_names(nlp.config.interpolate(), [name])
    return list(read(nlp))


def score(nlp: Language, corpus: str, known: Container[tuple[str, str]]) -> dict[str, Any]:
    """Score a pipeline on a corpus of its config.

    Args:
        nlp (Language): The pipeline.
        corpus (str): Name of the corpus in the config.
        known (Container): The entities of the training data, as `known_entities` returns them.

    Returns:
        dict: The scores of `evaluate`, and "post_counts", the numbers of entities by post.
    """
    examples = read_corpus(nlp, corpus)
    scores = evaluate(nlp, examples, known=known)  # annotates their Docs in place
    return {**scores, "post_counts": post_counts(examples)}


def score_controls(nlp: Language, corpus: str, seed: int) -> dict[str, dict[str, Any]]:
    """Score a pipeline on a corpus without the pictures, and with those of other posts.

    Args:
        nlp (Language): The pipeline.
        corpus (str): Name of the corpus in its config.
        seed (int): Seed of the permutation of the pictures.

    Returns:
        dict: The name of a control to its "ents_f" and "post_counts". Empty if no component reads
            pictures.
    """
    if not any(component.require_network().config.views for _, component in components(nlp)):
        return {}
    controls: dict[str, dict[str, Any]] = {}
    name: Control
    for name in CONTROLS:
        examples = read_corpus(nlp, corpus)
        scores = evaluate(nlp, examples, control=name, seed=seed)
        controls[name] = {"ents_f": scores["ents_f"], "post_counts": post_counts(examples)}
    return controls


def to_lines(result: Mapping[str, Any]) -> str:
    """Write a result as JSON with one line for each value, so that a changed result changes few
    lines of a file that is kept under version control.

    Args:
        result (Mapping): The result.

    Returns:
        str: JSON.
    """
    lines = (f"{srsly.json_dumps(key)}: {srsly.json_dumps(value)}" for key, value in result.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def peak_memory_mb(gpu_id: int) -> float | None:
    """The highest memory use of this process so far; that of the GPU if it uses one.

    Args:
        gpu_id (int): The GPU, or -1 for the CPU.

    Returns:
        float: Megabytes; None if the system does not report it: for a CPU, only Linux does.
    """
    if gpu_id >= 0:
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    # Not `getrusage`, whose peak includes that of the parent process.
    return memory_mb("VmHWM") if STATUS.exists() else None


def end_with_parent() -> None:
    """End this process when its parent process ends for any reason, so that no two processes write
    to one folder. Standard input is a pipe from the parent, which writes nothing to it."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    train_and_score(Path(sys.argv[1]))
