"""The machine and the libraries, on which measured figures depend."""

import multiprocessing
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "spacy", "thinc", "transformers", "spacy-msvse")
CPU_INFO = Path("/proc/cpuinfo")
STATUS = Path("/proc/self/status")


def memory_mb(field_name: str) -> float:
    """The memory of this process, now (VmRSS) or at most (VmHWM). Only Linux has these figures.

    Args:
        field_name (str): "VmRSS" or "VmHWM".

    Returns:
        float: Megabytes.
    """
    lines = STATUS.read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field_name))
    return int(line.split()[1]) / 2**10


def describe_machine() -> dict[str, Any]:
    """Describe the machine and the libraries.

    Returns:
        dict: Names to values of JSON types.
    """
    import torch

    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "CPU": models[0] if models else platform.processor(),
        "cores": multiprocessing.cpu_count(),
        "threads used": torch.get_num_threads(),
        **({} if gpu is None else {"GPU": gpu}),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }
