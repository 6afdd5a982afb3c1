"""What all commands have in common."""

import pytest

from spacy_msvse.about import __version__
from spacy_msvse.cli import app

from .command import run


def test_the_version_is_printed():
    assert run("--version").stdout.strip() == __version__


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda command: command.name)
def test_every_command_is_listed_and_has_help(command):
    assert command.name in run("--help").stdout
    summary = command.callback.__doc__.splitlines()[0]
    assert summary in " ".join(run(command.name, "--help").stdout.split())
