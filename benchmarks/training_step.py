"""What training costs: the optimiser's step, and memory with and without gradient checkpointing.

python benchmarks/training_step.py OUTPUT.json   (Linux; ten minutes on two cores, 8 GB)
"""

import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from common import (
    Rounds,
    comparison_table,
    describe_machine,
    in_own_process,
    measure,
    summarise,
    take_turns,
)
from contestants import BERT_BASE, make_examples, make_pipeline
from thinc.api import Adam, torch2xp

from spacy_msvse.component.optimizer import NetworkOptimizer
from spacy_msvse.evaluation.report.markdown import table
from spacy_msvse.network.encoders.families import build_encoder

ROUNDS = 7
CASES = ("posts", "posts-checkpointed", "long-predict", "long-train-checkpointed")


def main(output: Annotated[Path, typer.Argument(help="JSON file to write")]) -> None:
    """Measure everything, write it and print it as tables."""
    rounds, difference = measure_optimizers(BERT_BASE, ROUNDS)
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "optimizer": summarise(rounds),
        "largest_difference_to_thinc": difference,
        # Each in a process of its own, since memory that was once taken is not given back.
        "memory": {case: in_own_process(measure_case, case) for case in CASES},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2))
    print(comparison_table("optimiser step", report["optimizer"]))
    rows = [
        (name, f"{case['peak_mb']:.0f}", f"{case['seconds']:.2f}")
        for name, case in report["memory"].items()
    ]
    print(table(["memory beyond the start", "MB", "s"], rows))


def measure_optimizers(encoder: dict[str, Any], rounds: int) -> tuple[Rounds, float]:
    """Torch's bare fused AdamW, ours, and Thinc's update tensor by tensor under the same settings,
    in turns on equal gradients.

    encoder (dict): The configuration of the model whose parameters are updated.
    rounds (int): How often each is timed.
    RETURNS (tuple): The times, and how far our parameters are from Thinc's at most.
    """
    torch.manual_seed(0)
    start = {name: p.detach() for name, p in build_encoder(encoder).named_parameters()}
    thinc, ours, torchs = (
        {name: torch.nn.Parameter(p.clone()) for name, p in start.items()} for _ in range(3)
    )

    def settings() -> Any:
        return Adam(1e-4, L2=0.01, grad_clip=0.0, use_averages=False)

    stock = settings()

    def thinc_step() -> None:
        for name, parameter in thinc.items():
            stock((1, name), torch2xp(parameter.data), torch2xp(parameter.grad))

    network_optimizer = NetworkOptimizer(settings(), ours, dict.fromkeys(ours, 1.0))
    fused = torch.optim.AdamW(torchs.values(), lr=1e-4, weight_decay=0.01, fused=True)
    steps = {
        "torch, fused AdamW": (fused.step, torchs),
        "spacy-msvse": (network_optimizer.step, ours),
        "thinc, tensor by tensor": (thinc_step, thinc),
    }

    # Equal gradients for all, other ones in every round.
    seeds = {name: itertools.count() for name in steps}

    def prepare(name: str) -> Callable[[], object]:
        step, parameters = steps[name]
        torch.manual_seed(next(seeds[name]))
        for parameter in parameters.values():
            parameter.grad = torch.randn_like(parameter) * 1e-2
        return step

    works = {name: partial(prepare, name) for name in steps}
    times = take_turns(works, rounds)  # the warm-up allocates the state
    # Thinc decays biases too, so only what both treat alike is compared.
    matrices = [name for name, parameter in start.items() if parameter.ndim > 1]
    difference = max(float((thinc[name] - ours[name]).detach().abs().max()) for name in matrices)
    return times, difference


def measure_case(name: str) -> dict[str, float]:
    """Measure one case of memory."""
    lengths = [96] * 16 if name.startswith("posts") else [5000, 1]
    examples = make_examples(lengths)
    settings = {"gradient_checkpointing": name.endswith("checkpointed")}
    nlp, _ = make_pipeline(BERT_BASE, examples, **settings)
    if name == "long-predict":
        docs = [example.predicted for example in examples]
        return measure(lambda: list(nlp.pipe(docs)))
    return measure(lambda: nlp.update(examples, sgd=False))


if __name__ == "__main__":
    typer.run(main)
