"""The curve of asking only for unsure posts, as Markdown."""

from collections.abc import Mapping
from typing import Any

from .markdown import percent, table


def ask_curve_page(curve: Mapping[str, Any]) -> str:
    """Write the curve as a table, and the chosen threshold below it.

    Args:
        curve (dict): The result of `ask_curve`.

    Returns:
        str: Markdown.
    """
    header = ("asked for, %", "--ask-below", "F1", "F1 of random posts")
    rows = [
        (percent(one["share"]), _threshold(one), percent(one["f"]), percent(one["f_random"]))
        for one in curve["curve"]
    ]
    gain = curve["gain"]
    interval = f"{_signed(gain['low'])} to {_signed(gain['high'])}"
    lines = [
        table(header, rows, aligns="rrrr"),
        "",
        f"Answers for all {curve['posts']} posts ({', '.join(curve['views'])}): "
        f"{_signed(gain['f1'])} F1 (95% interval {interval}, p {gain['p']:.3g}).",
    ]
    wanted, chosen, given = curve["wanted"], curve["chosen"], curve["given"]
    if chosen is not None:
        lines.append(
            f"{wanted:.0%} of this gain: {percent(chosen['share'])}% of the posts, "
            f"with {_option(chosen)} (F1 {percent(chosen['f'])}); "
            f"of random posts {percent(curve['random_share'])}%."
        )
    if given is not None:
        lines.append(
            f"{_option(given)}: {percent(given['share'])}% of the posts, F1 {percent(given['f'])}; "
            f"as many random posts: {percent(given['f_random'])}."
        )
    return "\n".join(lines)


def _threshold(point: Mapping[str, Any]) -> str:
    return "all" if point["below"] is None else str(point["below"])


def _option(point: Mapping[str, Any]) -> str:
    return "--ask" if point["below"] is None else f"--ask-below {point['below']}"


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}"
