"""Comments of a config survive what spaCy does to it."""

from spacy.util import load_config_from_str

from spacy_msvse.cli.comments import describe_arguments, read_comments, write_with_comments

TEXT = """
# Of no section: a blank line follows.

# How to train.
[training]
# The end,
# at the latest.
max_steps = 20

[training.batcher]
# How many together.
size = 8

[paths]
# Where from.
train = null
"""


def test_a_comment_belongs_to_the_line_below_it():
    assert read_comments(TEXT) == {
        "training": "How to train.",
        "training.max_steps": "The end, at the latest.",
        "training.batcher.size": "How many together.",
        "paths.train": "Where from.",
    }


def test_comments_survive_reading_and_writing():
    config = load_config_from_str(TEXT)
    written = write_with_comments(config, read_comments(TEXT))
    assert read_comments(written) == read_comments(TEXT)
    assert load_config_from_str(written) == config


def test_sections_are_written_in_reading_order():
    """spaCy writes all outer sections before all inner ones."""
    text = "[training]\n[training.batcher]\n[training.batcher.size]\n"
    text += "[training.optimizer]\n[paths]\n"
    config = load_config_from_str(text)
    assert write_with_comments(config, {}).split() == [
        "[paths]",
        "[training]",
        "[training.batcher]",
        "[training.batcher.size]",
        "[training.optimizer]",
    ]


def test_variables_stay_variables():
    text = "[paths]\ntrain = null\n\n[corpora]\npath = ${paths.train}\n"
    config = load_config_from_str(text, interpolate=False)
    assert write_with_comments(config, {}) == text


def test_a_comment_is_written_once_and_wrapped():
    config = load_config_from_str("[paths]\ntrain = null\ndev = null\n")
    comment = " ".join(["word"] * 40)
    written = write_with_comments(config, {"paths.train": comment, "paths.dev": comment})
    assert written.count("word") == 40
    assert max(map(len, written.splitlines())) <= 100


def test_a_header_comes_first_and_is_no_comment_of_a_section():
    config = load_config_from_str("[paths]\ntrain = null\n")
    written = write_with_comments(config, {}, header="Written by hand.\nFor a test.")
    assert written.startswith("# Written by hand.\n\n# For a test.\n\n[paths]")
    assert read_comments(written) == {}


def test_arguments_are_described_by_their_first_sentence():
    def documented():
        """Do something.

        size (int): How many; None for
            all. Defaults to none of them.
        views (list[str]): What to read.
        RETURNS (int): What came of it.

        And more.
        """

    described = describe_arguments(documented)
    assert described["size"] == "How many; null for all."
    assert described["views"] == "What to read."


def test_without_a_docstring_nothing_is_described():
    assert describe_arguments(lambda: None) == {}
