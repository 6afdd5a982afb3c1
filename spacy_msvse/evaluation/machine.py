"""What measured figures depend on besides the code."""

import multiprocessing
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "spacy", "thinc", "transformers", "spacy-msvse")
CPU_INFO = Path("/proc/cpuinfo")
STATUS = Path("/proc/self/status")


def memory_mb(field_name: str) -> float:
    """The memory that this process holds (VmRSS) or held at most (VmHWM). On Linux alone.

    field_name (str): One of these.
    RETURNS (float): Megabytes.
    """
    lines = STATUS.read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field_name))
    return int(line.split()[1]) / 2**10


def describe_machine() -> dict[str, Any]:
    """Describe the machine and the libraries.

    RETURNS (dict): What it is called to what it is, as JSON can hold it.
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
