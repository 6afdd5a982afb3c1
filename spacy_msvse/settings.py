"""Settings: each is declared once, as a type with a range, and checked when it is given. No torch.

A declaration is an annotation: `int`, `bool`, `Literal["a", "b"]`, `Share`, or a type with a range
such as `Annotated[int, Field(ge=1, le=64)]`. Types are strict: true is no number, "0.5" is a text,
and numbers are finite. The fields of a subclass of `Settings`, the arguments of a function with
`@checked`, and the attributes of the component are checked by their declarations.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from difflib import get_close_matches
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from .errors import Errors, MsvseError

P = ParamSpec("P")
T = TypeVar("T")

#: A probability or a share.
Share = Annotated[float, Field(ge=0, le=1)]
#: A weight of a term of a loss, or a factor on a learning rate.
Weight = Annotated[float, Field(ge=0, le=1000)]
#: A text that names something.
Name = Annotated[str, Field(min_length=1, max_length=1000)]
#: A file or a folder.
AnyPath = Annotated[Name | Path, Field(description="a path")]


def _check_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError
    return names


#: Names, none of which occurs twice.
Names = Annotated[
    tuple[Name, ...], AfterValidator(_check_distinct), Field(description="a list of distinct names")
]

_CONFIG = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)

#: The longest value that a message quotes in full.
_LONGEST_VALUE = 200

_section: ContextVar[str | None] = ContextVar("section", default=None)


@contextmanager
def section(path: str) -> Iterator[None]:
    """Name the section of the config in errors of the settings that are checked in this context.

    Args:
        path (str): Such as "components.msvse_ner.model".
    """
    token = _section.set(path)
    try:
        yield
    finally:
        _section.reset(token)


def wrong_setting(setting: str, value: Any, expected: str, owner: str | None = None) -> MsvseError:
    """The error of a setting that cannot be used.

    Args:
        setting (str): Its name.
        value (Any): Its value.
        expected (str): The values that can be used.
        owner (str): The class or section of the setting, unless `section` names the section.

    Returns:
        MsvseError: MSVSE-E007.
    """
    path = setting_path(setting, owner)
    quoted = repr(value)
    if len(quoted) > _LONGEST_VALUE:
        quoted = quoted[:_LONGEST_VALUE] + "..."
    return MsvseError(Errors.E007.format(setting=path, value=quoted, expected=expected))


def setting_path(setting: str, owner: str | None = None) -> str:
    """The name of a setting in messages.

    Args:
        setting (str): Its name.
        owner (str): Its class or section, unless `section` names the section.

    Returns:
        str: Such as "components.msvse_ner.model.prefix_length".
    """
    return ".".join(filter(None, (_section.get() or owner, setting)))


def unknown_setting(setting: str, owner: str, choices: Iterable[str]) -> MsvseError:
    """The error of a name that is no setting.

    Args:
        setting (str): The name.
        owner (str): The class or section that has no such setting.
        choices (Iterable[str]): The settings that it has.

    Returns:
        MsvseError: MSVSE-E015.
    """
    names = sorted(choices)
    return MsvseError(
        Errors.E015.format(
            setting=setting,
            config=_section.get() or owner,
            nearest=suggest(setting, names),
            choices=", ".join(names),
        )
    )


def find_nearest(word: str, choices: Iterable[str]) -> str | None:
    """The nearest choice to a misspelt word.

    Args:
        word (str): The word.
        choices (Iterable[str]): The words that exist.

    Returns:
        str: The choice; None if all of them are too different.
    """
    return next(iter(get_close_matches(word, list(choices), n=1)), None)


def suggest(word: str, choices: Iterable[str]) -> str:
    """The nearest choice to a misspelt word, as a sentence.

    Args:
        word (str): The word.
        choices (Iterable[str]): The words that exist.

    Returns:
        str: Such as " The nearest name is 'caption'."; empty if no choice is near.
    """
    nearest = find_nearest(word, choices)
    return "" if nearest is None else f" The nearest name is '{nearest}'."


class Declaration:
    """The type and range of a setting.

    Args:
        declared (Any): The annotation.
    """

    def __init__(self, declared: Any) -> None:
        self.declared = declared

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The check by pydantic. It is made when it is first needed."""
        return TypeAdapter(self.declared, config=_CONFIG)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The values that can be used, as a JSON schema."""
        return self.adapter.json_schema(schema_generator=_Schema)

    @cached_property
    def expected(self) -> str:
        """The values that can be used, in words."""
        return _describe(self.schema)

    def check(self, setting: str, value: Any, owner: str | None = None) -> Any:
        """Check a value.

        Args:
            setting (str): Name of the setting.
            value (Any): The value.
            owner (str): The class or section of the setting.

        Returns:
            Any: The value; a tuple for a list, which is what JSON and configs have.

        Raises:
            MsvseError: If it cannot be used (MSVSE-E007).
        """
        for candidate in (tuple(value), value) if isinstance(value, list) else (value,):
            try:
                return self.adapter.validate_python(candidate)
            except ValidationError as error:
                key, *inner = error.errors()[0]["loc"] or (None,)
        values = self.schema.get("additionalProperties")
        if isinstance(value, Mapping) and values and key in value and not inner:
            raise wrong_setting(f"{setting}.{key}", value[key], _describe(values), owner)
        raise wrong_setting(setting, value, self.expected, owner)


@cache
def declarations(owner: Callable[..., Any]) -> dict[str, Declaration]:
    """The settings of a dataclass or of a function.

    Args:
        owner (type or Callable): The dataclass, or the function.

    Returns:
        dict: Name of each setting to its declaration. Arguments without an annotation are left out.
    """
    hints = get_type_hints(owner, include_extras=True)
    if isinstance(owner, type):
        names = [field.name for field in fields(owner) if field.init]
    else:
        parameters = inspect.signature(owner).parameters.values()
        names = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    return {name: Declaration(hints[name]) for name in names if name in hints}


def without_types(function: Callable[P, T], owner: str | None = None) -> Callable[P, T]:
    """Hide the annotations of a registered function or class from the config system.

    The config system converts some values, refuses others without a code, and differs between
    versions. So the function itself checks its arguments.

    Args:
        function (Callable): The function or class.
        owner (str): The section of the config, for messages. Defaults to its name.

    Returns:
        Callable: A function with the same arguments. An unknown argument is an error (MSVSE-E015).
    """
    signature = inspect.signature(function)
    open_ended = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())

    @wraps(function, updated=())
    def call(*args: P.args, **settings: P.kwargs) -> T:
        for name in settings:
            if name not in signature.parameters and not open_ended:
                raise unknown_setting(name, owner or function.__name__, signature.parameters)
        return function(*args, **settings)

    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    call.__annotations__ = {}
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=bare, return_annotation=signature.empty
    )
    return call


def checked(owner: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function whose arguments are settings: each is checked by its annotation.

    Args:
        owner (str): The section of the config, or the class, for messages.

    Returns:
        Callable: The decorator.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @wraps(function)
        def check_and_call(*args: P.args, **settings: P.kwargs) -> T:
            given = signature.bind(*args, **settings)
            declared = declarations(function)
            for name, value in given.arguments.items():
                if name in declared:
                    given.arguments[name] = declared[name].check(name, value, owner)
            return function(*given.args, **given.kwargs)

        return without_types(check_and_call, owner)

    return decorate


class _Constructor:
    """The class itself as a function without types."""

    def __get__(self, instance: Any, owner: type[T]) -> Callable[..., T]:
        return without_types(owner)


class Settings:
    """Base of dataclasses whose fields are settings. A subclass with a `__post_init__` of its own
    calls this one first.

    Raises:
        MsvseError: For a value that cannot be used (MSVSE-E007).
    """

    #: Creates an instance. Configs name this function, so that only the class checks the settings.
    from_config = _Constructor()

    def __post_init__(self) -> None:
        owner: Any = type(self)
        for name, declaration in declarations(owner).items():
            value = declaration.check(name, getattr(self, name), owner.__name__)
            object.__setattr__(self, name, value)  # the dataclass may be frozen

    def require(self, condition: bool, setting: str, expected: str) -> None:
        """Refuse a value that does not fit the other settings.

        Args:
            condition (bool): Whether the value can be used.
            setting (str): Name of the setting.
            expected (str): The values that can be used, for the message.

        Raises:
            MsvseError: If the condition is false (MSVSE-E007).
        """
        if not condition:
            raise wrong_setting(setting, getattr(self, setting), expected, type(self).__name__)


class _Schema(GenerateJsonSchema):
    """A JSON schema also of types that JSON does not have."""

    def callable_schema(self, schema: Any) -> dict[str, Any]:
        return {"description": "a function"}

    def is_instance_schema(self, schema: Any) -> dict[str, Any]:
        return {"description": f"a {schema['cls'].__name__}"}


def _describe(schema: Mapping[str, Any]) -> str:
    """Write a JSON schema in words."""
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_describe, schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(map(str, schema.get("enum") or [schema["const"]]))
    kind = schema.get("type")
    if kind in ("integer", "number"):
        noun = "a whole number" if kind == "integer" else "a number"
        return noun + _describe_range(schema)
    if kind == "string":
        return "a text that is not empty" if schema.get("minLength") else "a text"
    if kind == "array":
        least = " that is not empty" if schema.get("minItems") else ""
        return f"a list{least}, each item {_describe(schema.get('items', {}))}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return (
            f"a section, each value {_describe(values)}"
            if isinstance(values, dict)
            else ("a section")
        )
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "any value")


def _describe_range(schema: Mapping[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f" from {least:.12g} to {most:.12g}"
    limits = (("of at least", least), ("above", above), ("of at most", most), ("below", below))
    parts = [f"{word} {limit:.12g}" for word, limit in limits if limit is not None]
    return f" {' and '.join(parts)}" if parts else ""
