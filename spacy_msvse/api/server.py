"""A REST server for a pipeline, with LitServe: posts in, the same posts with entities out."""

import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import litserve
from fastapi import Depends, HTTPException
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field

from ..corpus.formats.frames import ROWS
from ..corpus.formats.values import PICTURES, make_row
from ..corpus.rows import Row
from ..engines.annotator import GroupAnnotator
from .middlewares import Forms, Limits

#: Rows of a request.
MAX_ROWS = 1000

#: Requests that are answered together.
BATCH_REQUESTS = 32

#: Seconds that a request waits for others to be answered with.
WAITING_SECONDS = 0.005

#: Requests that are open at once. Further ones get the status 503.
MAX_REQUESTS = 256

#: The header of the key.
KEY_HEADER = "X-API-Key"


@dataclass(frozen=True)
class Service:
    """A pipeline to serve, and the limits.

    Attributes:
        model (str): Its name or folder.
        host (str): The address to listen on.
        port (int): The port to listen on.
        code (Path): A file with registered functions, which is imported first.
        min_confidence (float): Entities with a lower confidence are left out; None for the limit of
            the pipeline.
        workers (int): Processes that annotate, for each GPU if there is one.
        gpus (int): GPUs; 0 for the CPU.
        max_bytes (int): The largest body of a request.
        seconds (float): The longest time of a request.
        key_env (str): The name of the environment variable with the key that requests must have;
            None for no key.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    code: Path | None = None
    min_confidence: float | None = None
    workers: int = 1
    gpus: int = 0
    max_bytes: int = 100 * 2**20
    seconds: float = 60
    key_env: str | None = None


class Posts(BaseModel):
    """Rows, as `annotate` reads them. A picture is a data URI in base64."""

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ROWS)


class AnnotatedPosts(BaseModel):
    """The same rows in the same order, without the pictures, with "spans" or "error"."""

    rows: list[dict[str, Any]]


class PostApi(litserve.LitAPI):
    """The work of a worker of LitServe. It annotates in a child process. If a post ends this
    process, only the row of this post is not annotated.

    Args:
        service (Service): The pipeline and the limits.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(max_batch_size=BATCH_REQUESTS, batch_timeout=WAITING_SECONDS)
        self.service = service

    def setup(self, device: str) -> None:
        """Load the pipeline.

        Args:
            device (str): Such as "cpu" or "cuda:0".
        """
        kind, _, number = device.partition(":")
        self.annotator = GroupAnnotator(
            self.service.model,
            code=self.service.code,
            gpu_id=int(number or 0) if kind == "cuda" else -1,
            min_confidence=self.service.min_confidence,
        )
        # It is ready when the pipeline is loaded.
        list(self.annotator.annotate([[Row(ROWS, 1, {"text": "ready"})]]))

    def decode_request(self, request: Posts) -> list[Row]:
        """Make rows of a request.

        Args:
            request (Posts): The request.

        Returns:
            list: The rows. Files of this machine are not read.
        """
        rows = [make_row(ROWS, number, values) for number, values in enumerate(request.rows, 1)]
        return [_without_paths(row) for row in rows]

    def batch(self, inputs: list[list[Row]]) -> list[list[Row]]:
        """Requests that are answered together.

        Args:
            inputs (list): The rows of each request.

        Returns:
            list: The same.
        """
        return inputs

    def predict(self, x: Sequence[list[Row]]) -> list[list[Row]]:
        """Annotate the rows of several requests.

        Args:
            x (Sequence): The rows of each request.

        Returns:
            list: The annotated rows of each request.
        """
        return list(self.annotator.annotate(x))

    def unbatch(self, output: list[list[Row]]) -> list[list[Row]]:
        """Results of requests that were answered together.

        Args:
            output (list): The annotated rows of each request.

        Returns:
            list: The same.
        """
        return output

    def encode_response(self, output: list[Row]) -> AnnotatedPosts:
        """Make the answer.

        Args:
            output (list): The annotated rows of a request.

        Returns:
            AnnotatedPosts: The answer.
        """
        rows = [{k: v for k, v in row.values.items() if k not in PICTURES} for row in output]
        return AnnotatedPosts(rows=rows)


class KeyedPostApi(PostApi):
    """The same for requests with a key."""

    def authorize(self, key: str = Depends(APIKeyHeader(name=KEY_HEADER))) -> None:
        """Refuse a request without the key.

        Args:
            key (str): The key of the request.

        Raises:
            HTTPException: With the status 401, if it is another one.
        """
        expected = os.environ[self.service.key_env or ""]
        if not secrets.compare_digest(key.encode(), expected.encode()):
            raise HTTPException(401, f"the key in {KEY_HEADER} is wrong")


def _without_paths(row: Row) -> Row:
    """A row without pictures that are named by a path or a URL."""
    several = row.values.get("images")
    given = [row.values.get("image"), *(several if isinstance(several, list) else [several])]
    if not any(isinstance(one, str) and not one.lower().startswith("data:") for one in given):
        return row
    values = {key: value for key, value in row.values.items() if key not in PICTURES}
    problem = "a picture is named by a path or a URL, but it must be a data URI in base64"
    return replace(row, values=values, problem=row.problem or problem)


def serve(service: Service) -> None:
    """Serve a pipeline until the process gets SIGTERM or SIGINT. Requests that have come before are
    answered first.

    `POST /predict` takes `Posts`, also as a form with files, and returns `AnnotatedPosts`;
    `GET /health` says whether the pipeline is loaded; `GET /docs` and `GET /openapi.json` describe
    the interface.

    Args:
        service (Service): The pipeline and the limits.
    """
    # Only a forked process can share it, which those of the web server are.
    stopping = multiprocessing.get_context("fork").Event()
    api = PostApi(service) if service.key_env is None else KeyedPostApi(service)
    server = litserve.LitServer(
        api,
        accelerator="cuda" if service.gpus else "cpu",
        devices=service.gpus or 1,
        workers_per_device=service.workers,
        timeout=service.seconds,
        max_payload_size=service.max_bytes,
        track_requests=True,
        restart_workers=True,
        middlewares=[Forms, (Limits, {"stopping": stopping, "seconds": service.seconds})],
    )

    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        stopping.set()
        end = time.monotonic() + service.seconds
        while server.active_requests and time.monotonic() < end:
            time.sleep(0.02)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    server.run(
        host=service.host,
        port=service.port,
        log_level="warning",
        num_api_servers=1,
        generate_client_file=False,
        limit_concurrency=MAX_REQUESTS,
    )
