"""The option that writes the table of results."""

from pathlib import Path


def pytest_addoption(parser) -> None:
    parser.addoption("--table", type=Path, help="the file to write the results of mutations to")
