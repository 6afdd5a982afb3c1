"""Commands in this process and in child processes that can be killed, limited and measured."""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (adds the commands to spaCy's)

from .verdicts import CRASH, expect

#: How long a child may take, in seconds.
PATIENCE = 40.0


def command(*arguments: Any) -> tuple[int, str]:
    """Run `python -m spacy msvse` in this process.

    Returns:
        tuple: The exit status, and all output.
    """
    result = CliRunner().invoke(app, ["msvse", *map(str, arguments)])
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return result.exit_code, result.output


def coded_exit(status: int, output: str, *, report: bool = False) -> None:
    """Judge a failure: the last words are a coded error, or those of a report, and there is no
    traceback."""
    if status == 0:
        return
    clean = ("MSVSE-E" in output or report) and "Traceback (most recent call last)" not in output
    expect(clean, CRASH, f"exit status {status}: {output[-400:]}")


class Child:
    """A forked process that runs a function, with its output in a file."""

    def __init__(
        self, function: Callable[[], Any], folder: Path, prepare: Callable[[], Any] = int
    ) -> None:
        self.output = Path(tempfile.mkstemp(dir=folder)[1])
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                os.setpgid(0, 0)
                file = os.open(self.output, os.O_WRONLY | os.O_APPEND)
                os.dup2(file, 1)
                os.dup2(file, 2)
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
                prepare()
                status = function() or 0
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(status)
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)

    @property
    def text(self) -> str:
        return self.output.read_text("utf8", "replace")

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """Wait for the end.

        Returns:
            int: The exit status, negative for a signal; None if it goes on.
        """
        end = time.monotonic() + seconds
        while self.status is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(0.01)
        return self.status

    def kill(self) -> None:
        """Kill the process itself, not its children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()
        if self.status is None:
            self.wait(5)

    def children(self) -> list[int]:
        """The processes that the child has started and that have not ended."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.pid and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return sorted(found)


def cli(*arguments: Any) -> Callable[[], int]:
    """A function that runs `python -m spacy msvse` as a process of its own would."""

    def run() -> int:
        app(["msvse", *map(str, arguments)], standalone_mode=True)
        return 0

    return run


@contextlib.contextmanager
def child(*arguments: Any, folder: Path, prepare: Callable[[], Any] = int) -> Iterator[Child]:
    """Run a command in a child process, which is ended afterwards in any case."""
    process = Child(cli(*arguments), folder, prepare)
    try:
        yield process
    finally:
        process.end()


def limit_file_size(size: int) -> Callable[[], None]:
    """A preparation after which no file can be larger, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit
