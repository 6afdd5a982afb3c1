"""The tests of a mechanism pass, and fail by an assertion when the mechanism is taken out."""

import ast
import inspect
import os
import pkgutil
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from .table import TABLE, Row

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
RESULTS = ROOT / "benchmarks" / "results" / "mutations.md"
ROWS = [
    pytest.param(group, row, id=f"{group}: {row.mechanism}")
    for group in TABLE
    for row in TABLE[group]
]
HEADER = """# Mechanisms, and the tests that fail without them

`python -m spacy project run mutations` makes this table. It changes the code of one mechanism at a
time, as `tests/mutations/table.py` says, and runs the tests of the row. Each of them passes before
the change. After it, the assertion in the last column fails.

| of | what is taken out | in the code | test | what fails |
| --- | --- | --- | --- | --- |
"""


def find(name: str) -> Callable[..., Any]:
    """The function of a name such as "network.methods.umt:Umt.compute", without decorators."""
    function: Callable[..., Any] = inspect.unwrap(pkgutil.resolve_name(f"spacy_msvse.{name}"))
    return function


def changed(function: Callable[..., Any], edits: list[tuple[str, str]]) -> CodeType:
    """The code of a function with other parts in its source."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in edits:
        assert source.count(old) == 1, f"'{old}' occurs {source.count(old)} times"
        source = source.replace(old, new)
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list.clear()
    # `super` without arguments reads `__class__` of the function around it.
    outer = ast.parse(f"def make(__class__):\n  pass\n  return {definition.name}")
    outer.body[0].body[0] = definition  # type: ignore[attr-defined]
    names = dict(function.__globals__)
    exec(compile(outer, function.__code__.co_filename, "exec"), names)
    code: CodeType = names["make"](None).__code__
    return code


def without(row: Row, patch: pytest.MonkeyPatch) -> None:
    """Take a mechanism out."""
    edits: dict[str, list[tuple[str, str]]] = {}
    for name, old, new in row.edits:
        edits.setdefault(name, []).append((old, new))
    for name, parts in edits.items():
        # The code and not the function, which other modules may have imported.
        function = find(name)
        patch.setattr(function, "__code__", changed(function, parts))


class Recorder:
    """A plugin that keeps how each test ends: None, or the assertion that failed.

    An error in the package or in a fixture is no failed assertion: it begins with "ERROR".
    """

    def __init__(self) -> None:
        self.ends: dict[str, str | None] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        if call.excinfo is not None:
            in_test = call.when == "call"
            end = describe(call.excinfo) if in_test else f"ERROR {call.excinfo.exconly()}"
            self.ends[item.nodeid] = end
        elif call.when == "call":
            self.ends[item.nodeid] = None
        return report


def describe(error: pytest.ExceptionInfo[BaseException]) -> str:
    """The statement of the failed assertion."""
    *_, entry = (entry for entry in error.traceback if ROOT in Path(entry.path).parents)
    asserts = error.errisinstance((AssertionError, pytest.fail.Exception))
    if not asserts or TESTS not in Path(entry.path).parents:
        return f"ERROR {error.exconly()}"
    return re.sub(r"\s+", " ", str(entry.statement)).strip()


def run(tests: Sequence[str]) -> dict[str, str | None]:
    """Run tests: None for one that passes, else how it fails."""
    recorder = Recorder()
    ids = {test: os.path.normpath(f"tests/network/{test}") for test in tests}
    arguments = [str(ROOT / name) for name in ids.values()]
    arguments += [f"--rootdir={ROOT}", "-c", str(ROOT / "setup.cfg"), "-o", "addopts="]
    arguments += ["-q", "--tb=short", "--capture=no", "-p", "no:cacheprovider", "-o", "timeout=0"]
    if tests:
        pytest.main(arguments, plugins=[recorder])
    return {test: recorder.ends[name] for test, name in ids.items()}


@pytest.fixture(scope="session")
def passed() -> set[str]:
    """The tests that passed without a change."""
    return set()


@pytest.fixture(scope="session")
def lines(request):
    """Lines of the table. They are written if all rows ran and the option `--table` is given."""
    lines: dict[tuple[str, str], str] = {}
    yield lines
    path = request.config.getoption("--table", None)
    if path and len(lines) == len(ROWS):
        path.write_text(HEADER + "".join(lines.values()), encoding="utf8")


@pytest.mark.mutations
@pytest.mark.parametrize(("group", "row"), ROWS)
def test_without_a_mechanism_its_tests_fail(group, row, passed, lines):
    new = [test for test in row.tests if test not in passed]
    assert run(new) == dict.fromkeys(new)
    passed.update(new)
    with pytest.MonkeyPatch.context() as patch:
        without(row, patch)
        ends = run(row.tests)
    for test, end in ends.items():
        assert end is not None, f"{test} passes without {row.mechanism}"
        assert not end.startswith("ERROR"), f"{test}: {end}"
    lines[group, row.mechanism] = line(group, row, ends)


def line(group: str, row: Row, ends: dict[str, str]) -> str:
    """A line of the table."""
    edits = "<br>".join(f"{code(old)} becomes {code(new)}" for _, old, new in row.edits)
    tests = "<br>".join(code(Path(test).name) for test in ends)
    cells = [group, row.mechanism, edits, tests, "<br>".join(map(code, ends.values()))]
    return "| " + " | ".join(cells) + " |\n"


def code(text: str) -> str:
    text = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return f"`{text}`" if text else "nothing"


def test_every_change_fits_the_code():
    for rows in TABLE.values():
        for row in rows:
            with pytest.MonkeyPatch.context() as patch:
                without(row, patch)


def test_the_results_have_all_rows_of_the_table():
    content = RESULTS.read_text(encoding="utf8")
    assert content.startswith(HEADER)
    found = [line.split(" | ")[:2] for line in content[len(HEADER) :].splitlines()]
    expected = [[f"| {group}", row.mechanism] for group in TABLE for row in TABLE[group]]
    assert found == expected
