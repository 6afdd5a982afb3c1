"""The temperatures of a component: one for all posts, or another one for posts without a view."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..doc import USED
from .reader import ReadPost

#: The settings of a component whose confidences are not calibrated.
UNCALIBRATED: dict[str, Any] = {"temperature": 1.0, "calibration": None, "without_views": None}


@dataclass(frozen=True)
class Temperatures:
    """The temperatures by which scores are divided.

    Attributes:
        temperature (float): The temperature of posts.
        views (tuple): The views that training left out at random (`view_dropout`).
        without (float): The temperature of posts in which one of these views is not used; None if
            it is the same.
    """

    temperature: float = 1.0
    views: tuple[str, ...] = ()
    without: float | None = None

    def choose(self, posts: Sequence[ReadPost]) -> float | Tensor:
        """The temperature of each post.

        Args:
            posts (Sequence[ReadPost]): A batch.

        Returns:
            float or Tensor: One for all of them, or float64 of shape (P,).
        """
        if self.without is None:
            return self.temperature
        values = [
            self.temperature if has_views(post, self.views) else self.without for post in posts
        ]
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, dtype=torch.double)


def has_views(post: ReadPost, views: Sequence[str]) -> bool:
    """Whether the network reads all of some views of a post.

    Args:
        post (ReadPost): The post.
        views (Sequence[str]): Names of views.

    Returns:
        bool: True if so.
    """
    return all(post.status.get(view) == USED for view in views)


def read_temperatures(cfg: Mapping[str, Any]) -> Temperatures:
    """The temperatures in the saved settings of a component.

    Args:
        cfg (Mapping): The settings.

    Returns:
        Temperatures: The temperatures.
    """
    without = cfg["without_views"]
    if without is None:
        return Temperatures(cfg["temperature"])
    return Temperatures(cfg["temperature"], tuple(without["views"]), without["temperature"])


def name_temperatures(name: str, cfg: Mapping[str, Any]) -> dict[str, float]:
    """The temperatures of a component with their names, for reports.

    Args:
        name (str): The component.
        cfg (Mapping): Its saved settings.

    Returns:
        dict: The name of the component to its temperature; with "without" and the views after the
            name, the temperature of posts without them.
    """
    values = read_temperatures(cfg)
    named = {name: values.temperature}
    if values.without is not None:
        named[name_without(name, values.views)] = values.without
    return named


def name_without(name: str, views: Sequence[str]) -> str:
    """The name of the posts that lack some views, for reports.

    Args:
        name (str): The component.
        views (Sequence[str]): The views.

    Returns:
        str: Such as "msvse_ner without knowledge".
    """
    return f"{name} without {', '.join(views)}"
