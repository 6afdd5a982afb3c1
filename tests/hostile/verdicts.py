"""What a case may end with, and what a case has at hand."""

import random
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy_msvse.errors import MsvseError

#: The right answer, or an error with a code.
OK = "ok"
#: An error without a code, or the death of the process.
CRASH = "crash"
#: More time than the bound of the kind.
HANG = "hang"
#: Rows, posts, entities or views are lost without an error, a warning or a status.
LOSS = "silent loss"
#: Another answer than that of the undamaged input without an error; a file that was written outside
#: of its folder; code that ran; a script in a page.
WRONG = "wrong result"

VERDICTS = (OK, CRASH, HANG, LOSS, WRONG)


class Bad(Exception):
    """Ends a case with a verdict.

    Args:
        verdict (str): One of `VERDICTS`.
        note (str): What was found.
    """

    def __init__(self, verdict: str, note: str) -> None:
        super().__init__(note)
        self.verdict, self.note = verdict, note


def expect(holds: object, verdict: str, note: object) -> None:
    """End the case with a verdict unless a condition holds."""
    if not holds:
        raise Bad(verdict, str(note)[:500])


def coded_warnings(given: Iterable[warnings.WarningMessage]) -> list[str]:
    """The texts of the package's own warnings among those that were given."""
    return [str(one.message) for one in given if "MSVSE-W" in str(one.message)]


@dataclass
class Case:
    """An input and its surroundings.

    Attributes:
        kind (str): The kind of input.
        seed (int): The seed of the campaign.
        number (int): The number of the input within its kind.
        folder (Path): An empty folder, removed after the case.
        scene (Any): What all cases share; see `scene.Scene`.
        chance (random.Random): Depends only on kind, seed and number.
        what (str): A description of the input.
    """

    kind: str
    seed: int
    number: int
    folder: Path
    scene: Any
    tell: Callable[[str], None] = print
    chance: random.Random = field(init=False)
    what: str = ""

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.kind}/{self.seed}/{self.number}")

    def say(self, what: object) -> None:
        """Describe the input before the action, so that the description survives a hang."""
        self.what = str(what)[:300].encode("utf8", "backslashreplace").decode()
        self.tell(self.what)


def coded(error: BaseException) -> bool:
    """Whether an error has a code of ours."""
    return isinstance(error, MsvseError) and error.code is not None
