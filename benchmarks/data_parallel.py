"""Train one pipeline in several processes, each with a part of every batch.

    torchrun --nproc-per-node 2 benchmarks/data_parallel.py config.cfg output --paths.train
    train.spacy --paths.dev dev.spacy

On a machine with GPUs each process takes one. The losses of this package are sums over posts, so
the gradients of the processes are added and not averaged: the step is that of one process with the
whole batch. With --check, this is tested on the first batch without dropout. The last process to
end is the first one, which saves the pipeline.
"""

import argparse
import os
import random
from pathlib import Path

import torch
import torch.distributed as dist
from spacy.cli._util import import_code, parse_config_overrides, setup_gpu
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed, load_config, registry, resolve_dot_names
from torch import nn

from spacy_msvse import MsvseNer, components
from spacy_msvse.component.architectures import get_shim

#: The largest difference of a gradient to that of one process.
TOLERANCE = 1e-5


def main() -> None:
    """Train a pipeline and save it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--code", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="posts of a batch, all processes")
    parser.add_argument("--check", action="store_true")
    given, rest = parser.parse_known_args()
    gpu = int(os.environ["LOCAL_RANK"]) if torch.cuda.is_available() else -1
    dist.init_process_group("nccl" if gpu >= 0 else "gloo")
    setup_gpu(gpu, silent=True)
    import_code(given.code)
    nlp, examples, optimizer, drop = prepare(given.config, parse_config_overrides(rest))
    ((_, ner),) = components(nlp)
    network = ner.require_network()
    if network.mixes_posts:
        raise SystemExit("The loss of this method compares posts of a batch: it cannot be divided.")
    for tensor in network.state_dict().values():
        dist.broadcast(tensor, 0)
    if given.check:
        print(f"largest difference: {compare(ner, examples[: given.batch]):.1e}", flush=True)
    rng = random.Random(0)
    for epoch in range(given.epochs):
        order = rng.sample(examples, len(examples))
        loss = 0.0
        for start in range(0, len(order), given.batch):
            loss += add_gradients(ner, order[start : start + given.batch], drop)
            ner.finish_update(optimizer)
            optimizer.step_schedules()
        print(f"epoch {epoch}, process {dist.get_rank()}: loss {loss:.3f}", flush=True)
    if dist.get_rank() == 0:
        with nlp.use_params(optimizer.averages):
            nlp.to_disk(given.output)
    dist.barrier()
    dist.destroy_process_group()


def prepare(path: Path, overrides: dict) -> tuple[Language, list[Example], object, float]:
    """Initialise the pipeline of a training config, in the same way in every process.

    Args:
        path (Path): The config.
        overrides (dict): Values that replace some of it.

    Returns:
        tuple: The pipeline, the training posts, the optimiser and the dropout rate.
    """
    config = load_config(path, overrides=overrides, interpolate=False)
    nlp = init_nlp(config, use_gpu=-1)
    training = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    (corpus,) = resolve_dot_names(nlp.config.interpolate(), [training["train_corpus"]])
    fix_random_seed(training["seed"] + dist.get_rank())  # dropout differs
    return nlp, list(corpus(nlp)), training["optimizer"], training["dropout"]


def add_gradients(ner: MsvseNer, batch: list[Example], drop: float) -> float:
    """Compute the gradients of this process's part of a batch, and add those of the others.

    Args:
        ner (MsvseNer): The component.
        batch (list): The posts of the whole batch, the same in every process.
        drop (float): The dropout rate.

    Returns:
        float: The loss of this part.
    """
    part = batch[dist.get_rank() :: dist.get_world_size()]
    losses = ner.update(part, drop=drop) if part else {}
    sum_gradients(ner.require_network())
    return losses.get(ner.name, 0.0)


def sum_gradients(network: nn.Module) -> None:
    """Add the gradients of all processes. A parameter without a gradient in any of them has none.

    Args:
        network (Module): The network, with the gradients of this process.
    """
    parameters = [one for one in network.parameters() if one.requires_grad]
    device = parameters[0].device
    used = torch.tensor([one.grad is not None for one in parameters], device=device).int()
    dist.all_reduce(used)
    for parameter, count in zip(parameters, used.tolist(), strict=True):
        if count:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


def compare(ner: MsvseNer, batch: list[Example]) -> float:
    """Compare the gradients of a batch with those of one process, without dropout.

    Args:
        ner (MsvseNer): The component.
        batch (list): The posts.

    Returns:
        float: The largest difference.

    Raises:
        SystemExit: If it is larger than `TOLERANCE`.
    """
    network = get_shim(ner.model).network
    ner.update(batch, drop=0.0)
    alone = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad(set_to_none=True)
    add_gradients(ner, batch, 0.0)
    together = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad(set_to_none=True)
    if alone.keys() != together.keys():
        raise SystemExit(f"gradients of other parameters: {alone.keys() ^ together.keys()}")
    largest = max(float((alone[name] - together[name]).abs().max()) for name in alone)
    if not largest <= TOLERANCE:
        raise SystemExit(f"the gradients differ by {largest:.1e}")
    return largest


if __name__ == "__main__":
    main()
