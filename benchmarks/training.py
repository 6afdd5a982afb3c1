"""What training costs: the optimiser's step, and memory with and without gradient checkpointing.

python benchmarks/training.py run OUTPUT.json   (Linux; ten minutes on two cores, 8 GB)
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from wasabi import msg

ROUNDS = 7
CASES = ("posts", "posts-checkpointed", "long-predict", "long-train-checkpointed")

app = typer.Typer(add_completion=False)


@app.command("run")
def run(output: Annotated[Path, typer.Argument(help="JSON file to write")]) -> None:
    """Measure everything, write it and print it as tables."""
    report: dict[str, Any] = {
        "machine": {"cpu_threads": torch.get_num_threads(), "torch": torch.__version__},
        "platform": platform.platform(),
        "optimizer": measure_optimizers(),
        # Each in a process of its own, since memory that was once taken is not given back.
        "memory": {case: run_case(case) for case in CASES},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2))
    optimizers = report["optimizer"]["seconds"]
    msg.table(
        [
            (name, f"{times['median']:.3f}", f"{times['spread']:.3f}")
            for name, times in optimizers.items()
        ],
        header=("optimiser step", "median s", "spread s"),
        divider=True,
    )
    msg.table(
        [
            (name, f"{case['peak_mb']:.0f}", f"{case['seconds']:.2f}")
            for name, case in report["memory"].items()
        ],
        header=("memory beyond the start", "MB", "s"),
        divider=True,
    )
    msg.good(f"Wrote {output}")


def measure_optimizers() -> dict[str, Any]:
    """Thinc's update of BERT-base tensor by tensor, ours under the same settings, and torch's bare
    fused AdamW, in turns on equal gradients."""
    from thinc.api import Adam, torch2xp

    from spacy_msvse.component.optimizer import NetworkOptimizer
    from spacy_msvse.network.encoders.families import build_encoder

    torch.manual_seed(0)
    encoder = build_encoder({"model_type": "bert"})
    start = {name: p.detach() for name, p in encoder.named_parameters()}
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
    steps: dict[str, tuple[Callable[[], None], dict[str, torch.nn.Parameter]]] = {
        "thinc, tensor by tensor": (thinc_step, thinc),
        "spacy-msvse": (network_optimizer.step, ours),
        "torch, fused AdamW": (fused.step, torchs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS + 1):
        for name, (step, parameters) in steps.items():
            torch.manual_seed(number)
            for parameter in parameters.values():
                parameter.grad = torch.randn_like(parameter) * 1e-2
            began = time.perf_counter()
            step()
            if number:  # the first round allocates the state
                seconds[name].append(time.perf_counter() - began)
    # Thinc decays biases too, so only what both treat alike is compared.
    matrices = [name for name, parameter in start.items() if parameter.ndim > 1]
    difference = max(float((thinc[name] - ours[name]).detach().abs().max()) for name in matrices)
    return {
        "parameters": sum(parameter.numel() for parameter in start.values()),
        "largest_difference_to_thinc": difference,
        "seconds": {
            name: {"median": statistics.median(times), "spread": max(times) - min(times)}
            for name, times in seconds.items()
        },
    }


def run_case(name: str) -> dict[str, float]:
    """Measure one case in a process of its own."""
    command = [sys.executable, __file__, "case", name]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(work: Callable[[], object]) -> dict[str, float]:
    """Seconds, and megabytes that the process held at most beyond those at the start."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, began = peak_mb(), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "peak_mb": peak_mb() - before}


def peak_mb() -> float:
    """The most memory that this process held, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def make_pipeline(encoder: dict[str, Any], checkpointing: bool, *lengths: int) -> tuple[Any, list]:
    """A pipeline with an encoder of random weights, and posts of so many tokens."""
    import spacy
    from spacy.training import Example

    from spacy_msvse import make_doc
    from spacy_msvse.component.model import get_shim
    from spacy_msvse.network.encoders.families import build_encoder
    from spacy_msvse.network.msvse import build_network

    nlp = spacy.blank("en")
    settings = {"gradient_checkpointing": checkpointing}
    component: Any = nlp.add_pipe("msvse_ner", config={"model": settings, "vision": None})
    words = ["jordan", "saw", "the", "nice", "florence"]
    examples = []
    for length in lengths:
        doc = make_doc(nlp, (words * (length // 5 + 1))[:length])
        doc._.image_caption, doc._.image_tags = "a man on a beach", ["beach", "man"]
        examples.append(Example.from_dict(doc, {"entities": [(0, 6, "PER")]}))
    nlp.initialize(lambda: examples)
    shim = get_shim(component.model)
    config = {**shim.network.config.to_dict(), "encoder": encoder}  # type: ignore[union-attr]
    shim.set_network(build_network(config, build_encoder(encoder)), shim.tokenizer)
    return nlp, examples


@app.command("case", hidden=True)
def case(name: str) -> None:
    """Measure one case and print it as JSON."""
    bert_base = {"model_type": "bert"}
    checkpointing = name.endswith("checkpointed")
    lengths = [96] * 16 if name.startswith("posts") else [5000, 1]
    nlp, examples = make_pipeline(bert_base, checkpointing, *lengths)
    if name == "long-predict":
        docs = [example.predicted for example in examples]
        print(json.dumps(measure(lambda: list(nlp.pipe(docs)))))
    else:
        print(json.dumps(measure(lambda: nlp.update(examples, sgd=False))))


if __name__ == "__main__":
    app()
