"""The permission to ask a server, which only the options of a command give."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

from ..corpus.ask_below import Asking
from ..errors import Errors, MsvseError, Warnings
from ..vision.extractor import VisualExtractor
from ..vision.extractors.chat_client import ChatClient, Usage
from .messages import count, print_warning


def make_client(
    ask: bool, url: str | None, key_env: str | None, *, option: str = "--ask"
) -> ChatClient | None:
    """Make the client of the server that the options name.

    Args:
        ask (bool): Whether the command may ask.
        url (str): The base URL of the server.
        key_env (str): The name of the environment variable that has its key.
        option (str): The option that permits to ask, for the message.

    Returns:
        ChatClient: The client; None if nothing is to be asked.

    Raises:
        MsvseError: If one of the options is missing (MSVSE-E225), or if the URL (MSVSE-E220) or
            the key (MSVSE-E221) cannot be used.
    """
    if not ask and url is None and key_env is None:
        return None
    if url is None:
        given = option if ask else "--chat-key-env"
        raise MsvseError(Errors.E225.format(given=given, missing="--chat-url"))
    if not ask:
        raise MsvseError(Errors.E225.format(given="--chat-url", missing=option))
    client = ChatClient(url, key_env)
    if client.sends_key_unencrypted:
        print_warning(Warnings.W061.format(url=client.url))
    return client


def make_asking(
    ask: bool, below: float | None, url: str | None, key_env: str | None
) -> Asking | None:
    """Choose the server and the posts that it is asked for, by the options of `annotate`.

    Args:
        ask (bool): Whether it is asked for all posts.
        below (float): It is asked for posts whose confidence is lower; None for no such option.
        url (str): The base URL of the server.
        key_env (str): The name of the environment variable that has its key.

    Returns:
        Asking: The server and the posts; None if nothing is to be asked.

    Raises:
        MsvseError: If all posts and some posts are to be asked for (MSVSE-E261), or as
            `make_client` does.
    """
    if ask and below is not None:
        raise MsvseError(Errors.E261)
    option = "--ask" if below is None else "--ask-below"
    client = make_client(ask or below is not None, url, key_env, option=option)
    return None if client is None else Asking(client.url, key_env, below)


def check_asking(
    asking: Asking, extractors: Iterable[VisualExtractor | None], source: object
) -> tuple[str, ...]:
    """Check that extractors ask a server, and print which one.

    Args:
        asking (Asking): The server.
        extractors (Iterable[VisualExtractor]): The extractors; None for none.
        source (object): Their config or pipeline, for the message.

    Returns:
        tuple: The views that it is asked for.

    Raises:
        MsvseError: If none of them asks a server (MSVSE-E226).
    """
    views = dict.fromkeys(v for one in extractors if one is not None for v in one.asked_views)
    if not views:
        raise MsvseError(Errors.E226.format(source=f"'{source}'"))
    typer.echo(f"The server {asking.url} is asked for: {', '.join(views)}", err=True)
    return tuple(views)


def print_usage(usage: Usage) -> None:
    """Print what was asked.

    Args:
        usage (Usage): The counts.
    """
    tokens = f"tokens: {usage.tokens_in} in, {usage.tokens_out} out"
    typer.echo(f"{count(usage.requests, 'request')}; {tokens}", err=True)


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
        MsvseError: As `make_client` and `check_asking` do.
    """
    client = make_client(ask, url, key_env)
    if client is None:
        yield None
        return
    with client:
        check_asking(Asking(client.url), [extractor], source)
        extractor.allow_asking(client)
        try:
            yield client
        finally:
            extractor.allow_asking(None)
        print_usage(client.usage)
