"""Views written by a language model behind the OpenAI chat interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ...errors import Errors, MsvseError
from ...settings import Name
from ..features import Features, PostContent, make_fingerprint
from .chat_client import ChatClient
from .chat_prompt import ChatPrompt, data_uri


def _check_request(request: dict[str, Any]) -> dict[str, Any]:
    # A stream is no single answer, and the messages are those of the prompt.
    if {"messages", "stream"} & request.keys():
        raise ValueError
    make_fingerprint(request)  # JSON must hold it
    return request


Request = Annotated[
    dict[str, Any],
    AfterValidator(_check_request),
    Field(description="a section of JSON values, without messages and stream"),
]


class Permission:
    """The server that an extractor may ask, while it may. A copy of it, such as one that is
    pickled, has no permission."""

    def __init__(self) -> None:
        self.client: ChatClient | None = None

    def __reduce__(self) -> Any:
        return Permission, ()


@dataclass(frozen=True)
class ChatView(ChatPrompt):
    """An extractor of views that a language model writes about a post, such as `knowledge`.

    It asks a server with the OpenAI chat interface: vLLM, Ollama, llama.cpp or a service. It asks
    only while `allow_asking` permits it. The server and the key are no settings: they are neither
    saved nor read from a saved pipeline. Otherwise only stored answers are used.

    Attributes:
        model (str): The name of the model, as the server knows it.
        request (dict): Fields to add to the request or to change in it; null removes a field. The
            fields are `model`, `messages`, `max_tokens` and `temperature`, which is 0.
        seconds (float): Time limit of an attempt.
        retries (int): Further attempts for a post, after growing waits, or after those that the
            server asks for.
        concurrency (int): Number of posts that are asked for at once.

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    model: Name = "default"
    request: Request | None = None
    seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    _permission: Permission = field(
        default_factory=Permission, init=False, repr=False, compare=False
    )

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the settings that an answer depends on."""
        settings = [self.model, self.request or {}, *self._parts()]
        return make_fingerprint([type(self).__name__, 1, *settings])

    @property
    def ready(self) -> bool:
        """Whether a server may be asked now."""
        return self._permission.client is not None

    def allow_asking(self, client: ChatClient | None) -> None:
        """Permit that a server is asked, or forbid it.

        Args:
            client (ChatClient): The server; None to forbid it.
        """
        self._permission.client = client

    def initialize(self) -> None:
        """Do nothing: there is nothing to load, and training asks nothing."""

    def extract(
        self, items: Sequence[str | PostContent], known: Sequence[Features]
    ) -> list[Features]:
        """Ask for the views of posts, one after the other.

        Args:
            items (Sequence): Texts, posts, or results of `prepare`.
            known (Sequence[Features]): Views of each post that are known.

        Returns:
            list: Features of each.

        Raises:
            MsvseError: If nothing may be asked now (MSVSE-E223).
            UnansweredError: If a post gets no answer (MSVSE-E222).
        """
        client = self._permission.client
        if client is None:
            raise MsvseError(Errors.E223.format(extractor=type(self).__name__))
        known = known or [{} for _ in items]
        return [
            self._ask(client, self.prepare(item), views)
            for item, views in zip(items, known, strict=True)
        ]

    def to_files(self) -> dict[str, bytes]:
        """Save nothing.

        Returns:
            dict: Empty.
        """
        return {}

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore nothing.

        Args:
            files (Mapping): Not used.
        """

    def _ask(self, client: ChatClient, content: PostContent, known: Features) -> Features:
        body = self.make_request(content, known)
        return self.read_answer(client.ask(body, seconds=self.seconds, retries=self.retries))

    def make_request(self, content: PostContent, known: Features) -> dict[str, Any]:
        """Make the request for a post.

        Args:
            content (PostContent): The result of `prepare`.
            known (Features): Views of the post that are known.

        Returns:
            dict: The fields of the request.
        """
        messages = self.messages(content, known)
        for message in messages:
            if isinstance(message["content"], list):
                message["content"] = [_encode(part) for part in message["content"]]
        fields: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": 0,
            **(self.request or {}),
        }
        return {name: value for name, value in fields.items() if value is not None}


def _encode(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] != "image":
        return part
    return {"type": "image_url", "image_url": {"url": data_uri(part["image"])}}
