"""The file of a saved component that has its labels, its calibration and its settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import srsly
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from thinc.api import Config

from ..errors import Errors, MsvseError

#: A temperature with its range.
Temperature = Annotated[float, Field(ge=0.001, le=1000)]


_CLOSED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class WithoutViews(BaseModel):
    """The calibration for posts that lack a view.

    Attributes:
        views (list): The views.
        temperature (float): Their scores are divided by it.
        entities (int): How many entities determined it.
        source (str): The source of their posts.
    """

    model_config = _CLOSED

    views: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    temperature: Temperature
    entities: Annotated[int, Field(ge=0)]
    source: str | None


class SavedSettings(BaseModel):
    """The content of the file. A value of another type or out of range is an error.

    Attributes:
        labels (list): The entity types.
        temperature (float): All scores are divided by it.
        calibration (dict): How many entities determined the temperature, and the source of their
            posts; None if it was not fitted.
        without_views (WithoutViews): The calibration for posts that lack a view; None for the same
            temperature.
        settings (dict): The settings of the component.
        configured (dict): The settings that the config of the pipeline showed. If it shows another
            value later, somebody has edited it.
        reading (dict): Settings of the model that decide how texts are read.
    """

    model_config = _CLOSED

    labels: list[Annotated[str, Field(min_length=1)]]
    temperature: Temperature
    calibration: dict[str, Any] | None
    without_views: WithoutViews | None
    settings: dict[str, Any]
    configured: dict[str, Any]
    reading: dict[str, Any]

    @field_validator("labels")
    @classmethod
    def _differ(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            raise ValueError("a label is there twice")
        return labels


def dump_settings(values: Mapping[str, Any]) -> bytes:
    """Write the file.

    Args:
        values (Mapping): The attributes of `SavedSettings`.

    Returns:
        bytes: Its content.
    """
    text: str = srsly.json_dumps(values)
    return text.encode("utf8")


def load_settings(content: bytes) -> SavedSettings:
    """Read the file.

    Args:
        content (bytes): Its content.

    Returns:
        SavedSettings: The values.

    Raises:
        MsvseError: If it is no JSON, or has a value of a wrong type or out of range (MSVSE-E006).
    """
    try:
        return SavedSettings.model_validate(srsly.json_loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        reason = f"cfg: {name}: {first['msg']}"
        raise MsvseError(Errors.E006.format(reason=reason)) from error
    except (ValueError, TypeError) as error:
        raise MsvseError(Errors.E006.format(reason=f"cfg: {error}")) from error


def check_labels(labels: Sequence[str], types: Sequence[str]) -> None:
    """Check that the labels are those of the network, in its order.

    Args:
        labels (Sequence[str]): The labels of the component.
        types (Sequence[str]): The entity types of the network.

    Raises:
        MsvseError: If they differ (MSVSE-E006).
    """
    if list(labels) != list(types):
        reason = f"the labels are {', '.join(labels)}, those of the weights {', '.join(types)}"
        raise MsvseError(Errors.E006.format(reason=reason))


def read_component_config(path: Path) -> dict[str, Any]:
    """The settings of a component in the config of the pipeline that it is saved with.

    Args:
        path (Path): The folder of the component. spaCy has written `config.cfg` beside it.

    Returns:
        dict: Setting to value, without settings that are variables; empty if there is no config.
    """
    file = path.parent / "config.cfg"
    if not file.is_file():
        return {}
    config = Config().from_disk(file, interpolate=False)
    values = config.get("components", {}).get(path.name, {})
    return {k: v for k, v in values.items() if not (isinstance(v, str) and "${" in v)}
