"""The middlewares of the REST server: one turns forms into JSON, the other limits requests."""

import asyncio
import base64
import json
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

#: The field of a form that holds the rows.
ROWS_FIELD = "rows"

#: Files of a form.
MAX_FILES = 1000


class Forms:
    """Makes a form with files into the JSON that the server reads.

    The field "rows" is a list of rows in JSON. A picture of a row that is the name of a file of the
    form becomes a data URI.

    Args:
        app (Callable): What answers requests, as of ASGI.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request.

        Args:
            scope (dict): The request.
            receive (Callable): Receives its body.
            send (Callable): Sends the answer.
        """
        if scope["type"] != "http" or not _is_form(scope):
            await self.app(scope, receive, send)
            return
        try:
            body = await _read_form(scope, receive)
        except HTTPException as error:
            refusal = JSONResponse({"detail": error.detail}, error.status_code)
            await refusal(scope, receive, send)
            return
        kept = [pair for pair in scope["headers"] if pair[0] not in _REPLACED]
        headers = [*kept, (b"content-type", b"application/json")]
        headers.append((b"content-length", str(len(body)).encode()))
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_json() -> Any:
            message = next(messages, None)
            return message if message is not None else await receive()

        await self.app({**scope, "headers": headers}, receive_json, send)


#: Headers of the form. The JSON gets new ones.
_REPLACED = (b"content-type", b"content-length", b"transfer-encoding")


def _is_form(scope: Any) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return any(kind.lower().startswith(b"multipart/form-data") for kind in kinds)


async def _read_form(scope: Any, receive: Any) -> bytes:
    request = Request(scope, receive)
    # The size of the whole body is limited already.
    limits: dict[str, Any] = {"max_files": MAX_FILES, "max_fields": 1, "max_part_size": 2**40}
    # With an app, the errors of the form are HTTPExceptions.
    async with request.form(**limits) as form:
        files: dict[str, str] = {}
        for key, value in form.multi_items():
            if isinstance(value, UploadFile) and key != ROWS_FIELD:
                content = base64.b64encode(await value.read()).decode()
                files[value.filename or key] = f"data:;base64,{content}"
        given = form.get(ROWS_FIELD)
        text = await given.read() if isinstance(given, UploadFile) else given
    try:
        rows = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        reason = f"the field '{ROWS_FIELD}' of the form is no JSON: {error}"
        raise HTTPException(422, reason) from error
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            _place_files(row, files)
    return json.dumps({ROWS_FIELD: rows}).encode()


def _place_files(row: dict[str, Any], files: dict[str, str]) -> None:
    """Put the files of a form in the place of their names."""
    if isinstance(row.get("image"), str):
        row["image"] = files.get(row["image"], row["image"])
    if isinstance(row.get("images"), list):
        row["images"] = [
            files.get(one, one) if isinstance(one, str) else one for one in row["images"]
        ]


class Limits:
    """Limits the time of requests, and refuses them while the server stops.

    Args:
        app (Callable): What answers requests, as of ASGI.
        stopping (Event): Whether the server stops.
        seconds (float): The longest time of a request.
    """

    def __init__(self, app: Any, stopping: Any, seconds: float) -> None:
        self.app = app
        self.stopping = stopping
        self.seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request.

        Args:
            scope (dict): The request.
            receive (Callable): Receives its body.
            send (Callable): Sends the answer.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.stopping.is_set():
            refusal = JSONResponse({"detail": "the server is stopping"}, 503)
            await refusal(scope, receive, send)
            return
        begun = False

        async def note(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await asyncio.wait_for(self.app(scope, receive, note), self.seconds)
        except asyncio.TimeoutError:
            if not begun:
                reason = f"the request took more than {self.seconds:g} seconds"
                await JSONResponse({"detail": reason}, 504)(scope, receive, send)
