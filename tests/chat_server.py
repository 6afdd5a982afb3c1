"""A real HTTP server on the loopback address with the OpenAI chat interface, for tests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def completion(text: Any, **fields: Any) -> bytes:
    """The body of an answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, **fields}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"choices": [{"finish_reason": "stop", **choice}], "usage": usage}).encode()


def question(body: dict[str, Any]) -> str:
    """The text of the last message of a request."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


class ChatServer(ThreadingHTTPServer):
    """Answers with `reply(server, handler, body)`, and remembers requests.

    Attributes:
        bodies (list): The requests, in the order in which they arrived.
        headers (list): Their headers.
        most_at_once (int): The largest number of requests that were answered at the same time.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, reply: Callable[..., Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.ended = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def questions(self) -> list[str]:
        return [question(body) for body in self.bodies]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append({**body, "path": self.path})
            server.headers.append(dict(self.headers))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            answer = server.reply(server, self, body)
        finally:
            with server.lock:
                server.at_once -= 1
        if answer is not None:
            self.answer(answer)

    def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def echo(server: ChatServer, handler: Any, body: dict[str, Any]) -> bytes:
    """Answer with the post, which the default prompt has in its third line."""
    return completion(f"about {question(body).splitlines()[2]}")


@contextmanager
def chat_server(reply: Callable[..., Any] = echo) -> Iterator[ChatServer]:
    """Run a server in a thread."""
    with ChatServer(reply) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def wait(server: ChatServer, seconds: float) -> None:
    """Wait, though no longer than the server runs."""
    server.ended.wait(seconds)
