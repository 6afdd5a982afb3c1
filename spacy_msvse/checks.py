"""The refusal of a value, and the check of a text. No torch."""

from typing import Any

from .errors import Errors, MsvseError


def refuse(value: Any, argument: str, reason: str, expected: str) -> MsvseError:
    """Make the error of a value that cannot be used.

    Args:
        value (Any): The value, or a description of it.
        argument (str): The argument or attribute that it was given for.
        reason (str): The reason.
        expected (str): The values that can be used.

    Returns:
        MsvseError: MSVSE-E035.
    """
    given = value if isinstance(value, str) else type(value).__name__
    return MsvseError(
        Errors.E035.format(type=given, argument=argument, reason=reason, expected=expected)
    )


def check_text(text: str, argument: str) -> str:
    """Check that a text can be saved.

    Args:
        text (str): The text.
        argument (str): The argument or attribute that it was given for.

    Returns:
        str: The text.

    Raises:
        MsvseError: If it has a lone surrogate, which is no character (MSVSE-E035).
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"it has a lone surrogate at position {error.start}, which is no character"
        raise refuse("a text", argument, reason, "a text that can be encoded in UTF-8") from error
    return text
