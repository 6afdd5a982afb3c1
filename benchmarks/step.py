"""Run one step of the project in a process of its own, and record its time and peak memory.

python benchmarks/step.py FOLDER NAME COMMAND ...   writes FOLDER/NAME.json

It imports the standard library only, since every step starts it.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

#: The unit of the peak memory: macOS counts bytes, Linux KiB.
UNITS_PER_MB = 1024**2 if sys.platform == "darwin" else 1024


def main(folder: str, name: str, *command: str) -> int:
    """Run the command, write the record if it succeeds, and return its exit status."""
    arguments = [sys.executable, *command[1:]] if command[0] == "python" else list(command)
    start = time.perf_counter()
    status = subprocess.run(arguments, check=False).returncode
    record = {
        "command": " ".join(command),
        "seconds": time.perf_counter() - start,
        # The maximum over all child processes, not their sum.
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / UNITS_PER_MB,
    }
    if status == 0:
        path = Path(folder) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
