"""The settings of the component that can be changed after it is made: one declaration each."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from ..network.base import wrong_setting

T = TypeVar("T")

#: What to do about a picture that cannot be read.
POLICIES = ("warn", "error", "ignore")


class Setting(Generic[T]):
    """An attribute of the component that is checked, shown in `nlp.config`, and saved.

    Args:
        check (Callable): Whether a value can be used.
        expected (str): The values that can be used, for the message.
    """

    def __init__(self, check: Callable[[Any], bool], expected: str) -> None:
        self.check = check
        self.expected = expected

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, component: None, owner: type) -> "Setting[T]": ...

    @overload
    def __get__(self, component: Any, owner: type) -> T: ...

    def __get__(self, component: Any, owner: type) -> "Setting[T] | T":
        if component is None:
            return self
        value: T = component.settings[self.name]
        return value

    def __set__(self, component: Any, value: T) -> None:
        if not self.check(value):
            raise wrong_setting(f"components.{component.name}.{self.name}", value, self.expected)
        component.settings[self.name] = value
        component.show_setting(self.name, value)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_share(value: Any) -> bool:
    """Whether a value is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def is_count(value: Any) -> bool:
    """Whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
