"""The permission to ask a server, which only the options of a command give."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

from ..errors import Errors, MsvseError, Warnings
from ..vision.extractor import VisualExtractor
from ..vision.extractors.chat_client import ChatClient
from .messages import print_warning


def make_client(ask: bool, url: str | None, key_env: str | None) -> ChatClient | None:
    """Make the client of the server that the options name.

    Args:
        ask (bool): Whether the command may ask.
        url (str): The base URL of the server.
        key_env (str): The name of the environment variable that has its key.

    Returns:
        ChatClient: The client; None if nothing is to be asked.

    Raises:
        MsvseError: If one of the options is missing (MSVSE-E225), or if the URL (MSVSE-E220) or
            the key (MSVSE-E221) cannot be used.
    """
    if not ask and url is None and key_env is None:
        return None
    if url is None:
        given = "--ask" if ask else "--chat-key-env"
        raise MsvseError(Errors.E225.format(given=given, missing="--chat-url"))
    if not ask:
        raise MsvseError(Errors.E225.format(given="--chat-url", missing="--ask"))
    client = ChatClient(url, key_env)
    if client.sends_key_unencrypted:
        print_warning(Warnings.W061.format(url=client.url))
    return client


def allow_asking(
    client: ChatClient, extractors: Iterable[VisualExtractor | None], source: object
) -> None:
    """Allow extractors to ask a server, and print which one.

    Args:
        client (ChatClient): The server.
        extractors (Iterable[VisualExtractor]): The extractors; None for none.
        source (object): Their config or pipeline, for the message.

    Raises:
        MsvseError: If none of them asks a server (MSVSE-E226).
    """
    found = [one.allow_asking(client) for one in extractors if one is not None]
    views = dict.fromkeys(view for names in found for view in names)
    if not views:
        raise MsvseError(Errors.E226.format(source=f"'{source}'"))
    typer.echo(f"The server {client.url} is asked for: {', '.join(views)}", err=True)


@contextmanager
def asking_server(
    ask: bool,
    url: str | None,
    key_env: str | None,
    extractor: VisualExtractor,
    source: object,
) -> Iterator[ChatClient | None]:
    """Allow extractors to ask the server of the options in this context.

    Args:
        ask (bool): Whether the command may ask.
        url (str): The base URL of the server.
        key_env (str): The name of the environment variable that has its key.
        extractor (VisualExtractor): The extractors.
        source (object): Their config or pipeline, for the message.

    Yields:
        ChatClient: The client; None if nothing is to be asked.

    Raises:
        MsvseError: As `make_client` and `allow_asking` do.
    """
    client = make_client(ask, url, key_env)
    if client is None:
        yield None
        return
    with client:
        allow_asking(client, [extractor], source)
        try:
            yield client
        finally:
            extractor.allow_asking(None)
        usage = client.usage
        typer.echo(
            f"{usage.requests} requests; tokens: {usage.tokens_in} in, {usage.tokens_out} out",
            err=True,
        )
