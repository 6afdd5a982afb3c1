"""What measured figures depend on besides the code."""

import multiprocessing
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "spacy", "thinc", "transformers", "spacy-msvse")
CPU_INFO = Path("/proc/cpuinfo")


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
