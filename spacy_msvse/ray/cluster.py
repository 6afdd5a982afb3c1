"""Start Ray, check that it is large enough, and name its errors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import Errors, MsvseError
from ..util import first_line


def require_ray() -> Any:
    """Import Ray, without the reports of its use that it sends to its makers by default.

    Returns:
        module: `ray`.

    Raises:
        MsvseError: If it or pyarrow is not installed (MSVSE-E281).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import pyarrow  # noqa: F401
        import ray
    except ImportError as error:
        raise MsvseError(Errors.E281) from error
    return ray


@contextmanager
def running(cpus: int) -> Iterator[None]:
    """Use the cluster that the environment variable RAY_ADDRESS names, or start Ray on this
    machine and end it afterwards.

    Args:
        cpus (int): The CPUs that the job needs. A machine with fewer declares so many.

    Yields:
        None: While Ray runs.
    """
    ray = require_ray()
    if ray.is_initialized():
        yield
        return
    if "RAY_ADDRESS" in os.environ:
        ray.init()
    else:
        ray.init("local", num_cpus=max(os.cpu_count() or 1, cpus), include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()


def check_cluster(actors: int, needed: dict[str, float]) -> None:
    """Refuse a cluster in which a job would wait without end.

    Args:
        actors (int): The actors of the job.
        needed (dict): Name of a resource of Ray to the amount that the job needs.

    Raises:
        MsvseError: If the cluster has less of one (MSVSE-E282).
    """
    resources = require_ray().cluster_resources()
    for name, amount in needed.items():
        found = resources.get(name, 0)
        if found < amount:
            raise MsvseError(
                Errors.E282.format(name=name, found=found, needed=amount, actors=actors)
            )


def find_error(error: BaseException) -> MsvseError:
    """The error of this package that Ray has wrapped, or else one with what Ray says.

    Args:
        error (BaseException): What Ray has raised.

    Returns:
        MsvseError: The error.
    """
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None) or seen.__cause__
        if isinstance(seen, MsvseError):
            # Ray's errors are also of the type of their cause, with its message in their own.
            return MsvseError(str(cause)) if isinstance(cause, MsvseError) else seen
        seen = cause if cause is not seen else None
    return MsvseError(Errors.E286.format(reason=first_line(Exception(str(error)))))
