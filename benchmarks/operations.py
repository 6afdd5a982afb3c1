"""Count the operations of a training step and of a prediction: on a GPU, a step of short posts
takes as long as its kernels take to start.

    python benchmarks/operations.py

16 posts of 30 words, an encoder of MiniLM's size. torch's profiler counts operations on the CPU
that call no other one and compute or copy something. It is a count, not a time.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from models import DEFAULT, make_examples, make_pipeline, predict_copies, save_encoder
from torch.profiler import ProfilerActivity, profile

#: Operations that only make a view of memory or reserve it.
FREE = {
    *("alias", "as_strided", "as_strided_", "_reshape_alias", "chunk", "detach", "detach_"),
    *("empty", "empty_like", "empty_strided", "expand", "lift_fresh", "narrow", "permute"),
    *("reshape", "resize_", "resolve_conj", "resolve_neg", "result_type", "select", "set_"),
    *("slice", "split", "squeeze", "t", "to", "transpose", "unbind", "unfold", "unsqueeze"),
    *("view", "view_as", "_unsafe_view", "item", "_local_scalar_dense", "real"),
}


def count(work: Callable[[], object]) -> Counter[str]:
    """Count the operations of the second call of a function."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    prefix = "aten::"
    found = (
        event.name.removeprefix(prefix)
        for event in profiler.events()
        if event.name.startswith(prefix)
        and not any(child.name.startswith(prefix) for child in event.cpu_children)
    )
    return Counter(name for name in found if name not in FREE)


def main() -> None:
    """Print the counts."""
    examples = make_examples([30] * 16, regions=8)
    with tempfile.TemporaryDirectory() as folder:
        encoder = save_encoder("MiniLM", Path(folder))
        nlp, optimizer = make_pipeline(encoder, examples, **DEFAULT)
        works = {
            "training step": lambda: nlp.update(examples, sgd=optimizer),
            "prediction": predict_copies(nlp, examples),
        }
        for name, work in works.items():
            found = count(work)
            most = ", ".join(f"{one} {times}" for one, times in found.most_common(8))
            print(f"{name}: {found.total()} operations ({most})")


if __name__ == "__main__":
    main()
