"""The attributes of the component that can be changed after it is made."""

from typing import Annotated, Any, Generic, Literal, TypeVar, overload

from pydantic import Field

from ..settings import Declaration

T = TypeVar("T")

#: What to do about a picture that cannot be read.
Policy = Literal["warn", "error", "ignore"]


#: How many pictures of a post are read.
MaxPictures = Annotated[int, Field(ge=1, le=1000)]
MAX_PICTURES_SETTING = Declaration(MaxPictures)


class Attribute(Generic[T]):
    """An attribute of the component that is checked. It is not saved.

    Args:
        declared (Any): Its type and range.
    """

    def __init__(self, declared: Any) -> None:
        self.declaration = Declaration(declared)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, component: None, owner: type) -> "Attribute[T]": ...

    @overload
    def __get__(self, component: Any, owner: type) -> T: ...

    def __get__(self, component: Any, owner: type) -> "Attribute[T] | T":
        if component is None:
            return self
        value: T = self._values(component)[self.name]
        return value

    def __set__(self, component: Any, value: T) -> None:
        value = self.declaration.check(self.name, value, f"components.{component.name}")
        self._values(component)[self.name] = value

    def _values(self, component: Any) -> dict[str, Any]:
        """Where the component has the value."""
        values: dict[str, Any] = vars(component)
        return values


class Setting(Attribute[T]):
    """An attribute of the component that is checked, shown in `nlp.config`, and saved."""

    def __set__(self, component: Any, value: T) -> None:
        super().__set__(component, value)
        component.show_setting(self.name, self._values(component)[self.name])

    def _values(self, component: Any) -> dict[str, Any]:
        values: dict[str, Any] = component.settings
        return values
