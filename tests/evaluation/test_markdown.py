"""Scores as Markdown."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from spacy_msvse.evaluation.markdown import align_tables, escape


def test_tables_can_be_read_as_they_stand():
    markdown = (
        "Text | text\n\n| type | gold |\n| --- | ---: |\n| MISC | 7 |\n| WORK | 1234 |\n\nEnd\n"
    )
    assert align_tables(markdown).splitlines() == [
        "Text | text",
        "",
        "| type | gold |",
        "| ---- | ---: |",
        "| MISC |    7 |",
        "| WORK | 1234 |",
        "",
        "End",
    ]


@pytest.mark.parametrize(
    "label",
    [
        "[PER](https://example.org)",
        "![](https://example.org/seen.png)",
        "*PER* __LOC__ ~~ORG~~ `MISC`",
        "<b>PER</b> &lt; &amp; <https://example.org>",
        "A|B \\| C\\",
        "A\n# B\n| C |",
    ],
)
def test_a_name_is_no_markup(label):
    table = align_tables(f"| type | gold |\n| --- | --- |\n| {escape(label)} | 7 |\n")
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(table)
    cells = re.findall("<td>(.*?)</td>", page)
    assert [html.unescape(cell) for cell in cells] == [" ".join(label.split()), "7"]
    assert not re.findall("<(?!/?(?:table|thead|tbody|tr|th|td)>)", page)


def test_a_bar_in_a_name_divides_no_cell():
    name = escape("A|B")
    table = align_tables(f"| type |\n| --- |\n| {name} |\n| longer name |\n")
    assert table.splitlines()[2] == "| A\\|B        |"
