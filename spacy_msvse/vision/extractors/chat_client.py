"""A client for servers with the OpenAI chat interface. It exists only while somebody asks."""

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from ...about import __version__
from ...errors import Errors, MsvseError
from ..features import UnansweredError

#: Bytes of a response. A longer one is no answer.
MAX_BYTES = 8 * 2**20

#: Seconds to wait at most before the next attempt. A server that asks for more gives no answer.
MAX_WAIT = 60.0

#: Seconds to wait before the second attempt; twice as many before each further one.
FIRST_WAIT = 0.5

#: After so many posts in a row without any answer, nothing more is asked.
MAX_FAILURES = 32

#: Statuses below 500 that another attempt may change.
_RETRIED = (408, 409, 425, 429)

_PATH = "/chat/completions"
_SHOWN = 200


@dataclass
class Usage:
    """Counts of a client.

    Attributes:
        requests (int): Requests that were sent, also those without an answer.
        tokens_in (int): Tokens that the server has read, as it counts them.
        tokens_out (int): Tokens that the server has written, as it counts them.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, other: "Usage") -> None:
        """Add the counts of another client.

        Args:
            other (Usage): Its counts.
        """
        self.requests += other.requests
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out

    def take(self) -> "Usage":
        """Take the counts out, so that counting begins anew.

        Returns:
            Usage: The counts so far.
        """
        taken = replace(self)
        self.requests = self.tokens_in = self.tokens_out = 0
        return taken


class _AgainError(Exception):
    """An attempt that failed, and another one may not.

    Args:
        reason (str): The reason.
        wait (float): Seconds that the server asks to wait.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        self.reason = reason
        self.wait = wait
        super().__init__(reason)


class ChatClient:
    """A server to ask, and the permission to do so.

    The key is read from the environment for each request and kept nowhere. Redirects are not
    followed, and no proxy and no other variable of the environment is used. It cannot be pickled
    or saved. It may be used in several threads.

    Args:
        url (str): The base URL of the server, such as "http://127.0.0.1:8000/v1".
        key_env (str): The name of the environment variable that has the key; None for no key.

    Raises:
        MsvseError: If the URL (MSVSE-E220) or the key (MSVSE-E221) cannot be used, or a package is
            missing (MSVSE-E224).
    """

    def __init__(self, url: str, key_env: str | None = None) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        if find_spec("aiohttp") is None:
            raise MsvseError(Errors.E224.format(package="aiohttp"))
        self.url = _check_url(url)
        self.key_env = key_env
        self.usage = Usage()
        self._read_key()
        self._failures = 0
        self._stopped: str | None = None
        self._process = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._session: Any = None

    @property
    def sends_key_unencrypted(self) -> bool:
        """Whether the key goes over a network without encryption."""
        parts = urlsplit(self.url)
        return self.key_env is not None and parts.scheme == "http" and not _is_loopback(parts)

    def ask(self, body: Mapping[str, Any], *, seconds: float, retries: int) -> str:
        """Ask for one answer.

        Args:
            body (Mapping): The request, which JSON can hold.
            seconds (float): Time limit of each attempt, from the connection to the last byte.
            retries (int): Further attempts after the first.

        Returns:
            str: The text of the answer.

        Raises:
            UnansweredError: If there is none (MSVSE-E222).
        """
        loop = self._running_loop()
        return asyncio.run_coroutine_threadsafe(self._ask(body, seconds, retries), loop).result()

    def close(self) -> None:
        """Cancel what is being asked, and close all connections. The client opens them again when
        it is used again."""
        if self._loop is None or self._process != os.getpid():
            return
        with self._lock:
            loop, thread, session = self._loop, self._thread, self._session
            self._loop = self._session = None
        asyncio.run_coroutine_threadsafe(_end(session), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join()
        loop.close()

    def __enter__(self) -> "ChatClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A worker process drops its client when it ends. At the end of Python, no thread runs.
        if not sys.is_finalizing():
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a ChatClient is a permission to ask now, and cannot be copied or saved")

    def __repr__(self) -> str:
        return f"ChatClient({self.url!r}, key_env={self.key_env!r})"

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of this process, which runs in a thread of its own."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
            self._loop = self._session = None
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
                self._thread.start()
            return self._loop

    async def _ask(self, body: Mapping[str, Any], seconds: float, retries: int) -> str:
        try:
            for attempt in range(retries + 1):
                if self._stopped is not None:
                    raise UnansweredError(self._stopped)
                try:
                    answer = await self._try(body, seconds)
                    self._failures = 0
                    return answer
                except _AgainError as error:
                    reason = self._without_key(error.reason)
                    if error.wait is not None and error.wait > MAX_WAIT:
                        raise UnansweredError(
                            f"{reason}; it asks to wait {error.wait:.0f} seconds"
                        ) from None
                    backoff = FIRST_WAIT * 2**attempt * random.uniform(0.5, 1)
                    wait = min(backoff, MAX_WAIT) if error.wait is None else error.wait
                if attempt < retries:
                    await asyncio.sleep(wait)
            attempts = f" ({retries + 1} attempts)" if retries else ""
            raise UnansweredError(f"{reason}{attempts}")
        except UnansweredError as error:
            self._failures += 1
            if self._failures >= MAX_FAILURES and self._stopped is None:
                number = f"the last {MAX_FAILURES} posts got no answer, so no more are asked for"
                self._stopped = f"{number}; the last reason: {error.reason}"
            raise

    async def _try(self, body: Mapping[str, Any], seconds: float) -> str:
        """Send one request.

        Raises:
            _AgainError: If another attempt may succeed.
            UnansweredError: If not.
        """
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0),
                headers={"User-Agent": f"spacy-msvse/{__version__}"},
                trust_env=False,
            )
        self.usage.requests += 1
        try:
            async with self._session.post(
                self.url + _PATH,
                json=body,
                headers=self._headers(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                content = await _read(response)
                return self._read_answer(response.status, response.headers, content)
        except MsvseError:
            raise
        except (TimeoutError, asyncio.TimeoutError):
            raise _AgainError(f"the server has not answered in {seconds:g} seconds") from None
        except aiohttp.ClientConnectorError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise _AgainError(f"no connection to the server ({reason})") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _AgainError(f"the connection failed ({type(error).__name__})") from None

    def _read_answer(self, status: int, headers: Mapping[str, str], content: bytes) -> str:
        if 300 <= status < 400:
            reason = "the server redirects to another address, which is not followed"
            raise UnansweredError(f"{reason}; give the URL of that address if you trust it")
        if status == 401:
            self._stopped = "the server refuses the key (status 401), so nothing more is asked for"
            raise UnansweredError(self._stopped)
        if status >= 500 or status in _RETRIED:
            reason = f"the server failed (status {status}){_explain(content)}"
            raise _AgainError(reason, _seconds(headers.get("Retry-After")))
        if status != 200:
            reason = f"the server refused the request (status {status}){_explain(content)}"
            raise UnansweredError(self._without_key(reason))
        try:
            # Unlike other parsers, this one refuses lone surrogates, which no tokenizer accepts.
            message = from_json(content)
            choice = message["choices"][0]
            text = choice["message"].get("content")
            refusal = choice["message"].get("refusal")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _AgainError("the response is no chat completion in JSON") from None
        self._count(message.get("usage"))
        if isinstance(text, list):
            parts = (part.get("text") for part in text if isinstance(part, dict))
            text = "".join(part for part in parts if isinstance(part, str))
        if isinstance(text, str) and text.strip():
            return text
        if isinstance(refusal, str) and refusal:
            raise UnansweredError(f"the model refused ({_shorten(refusal)})")
        reason = (
            f"the answer is empty (finish reason: {_shorten(str(choice.get('finish_reason')))})"
        )
        if choice.get("finish_reason") == "length":
            reason += "; raise max_tokens"
        raise UnansweredError(reason)

    def _count(self, usage: Any) -> None:
        for name, key in (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens")):
            number = usage.get(key) if isinstance(usage, dict) else None
            if isinstance(number, int) and number > 0:
                setattr(self.usage, name, getattr(self.usage, name) + number)

    def _headers(self) -> dict[str, str]:
        return {} if self.key_env is None else {"Authorization": f"Bearer {self._read_key()}"}

    def _read_key(self) -> str:
        if self.key_env is None:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise MsvseError(Errors.E221.format(name=self.key_env, reason="is not set"))
        if not key.isascii() or not key.isprintable():
            reason = "has characters that no key has"
            raise MsvseError(Errors.E221.format(name=self.key_env, reason=reason))
        return key

    def _without_key(self, text: str) -> str:
        """A message of a server may quote the key."""
        return text.replace(self._read_key(), "***") if self.key_env is not None else text


async def _end(session: Any) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if session is not None:
        await session.close()


async def _read(response: Any) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BYTES:
            raise UnansweredError(f"the response has more than {MAX_BYTES >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


def _explain(content: bytes) -> str:
    """The message of an error response."""
    try:
        message = from_json(content)
        error = message.get("error", message)
        text = error.get("message") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = content[:_SHOWN].decode(errors="replace")
    return f": {_shorten(text)}" if isinstance(text, str) and text.strip() else ""


def _shorten(text: str) -> str:
    text = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _seconds(header: str | None) -> float | None:
    """The seconds of the header Retry-After: a number or a date."""
    if header is None:
        return None
    try:
        wait = float(header)
    except ValueError:
        try:
            wait = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, wait) if wait == wait else None


def _check_url(url: str) -> str:
    """The base URL without a slash at its end. The error never quotes it, since it may have a
    password."""
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018  (raises for a wrong port)
    except ValueError:
        raise MsvseError(Errors.E220.format(reason="it is no URL")) from None
    reason = None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        reason = "it does not begin with http:// or https:// and a host"
    elif parts.username is not None or parts.password is not None:
        reason = "it has a user name or a password; put the key into an environment variable"
    elif parts.query or parts.fragment:
        reason = "it has a query or a fragment"
    if reason is not None:
        raise MsvseError(Errors.E220.format(reason=reason))
    return url.strip().rstrip("/").removesuffix(_PATH)


def _is_loopback(parts: Any) -> bool:
    if parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname).is_loopback
    except ValueError:
        return False
