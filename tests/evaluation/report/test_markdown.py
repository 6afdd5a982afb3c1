"""Tables and text in Markdown."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from spacy_msvse.evaluation.report.markdown import escape, table


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


def test_columns_are_aligned_in_the_source():
    rows = [("MISC", 7, 0.5), ("a longer name", 1234, "-")]
    assert table(("type", "gold", "f"), rows).splitlines() == [
        "| type          |   gold |   f |",
        "|:--------------|-------:|----:|",
        "| MISC          |      7 | 0.5 |",
        "| a longer name |   1234 |   - |",
    ]


def test_each_column_can_be_aligned():
    page = rendered(table(("a", "b", "c"), [(1, 2, 3)], "lrl"))
    assert re.findall('<th .*?text-align:(.*?)"', page) == ["left", "right", "left"]


@pytest.mark.parametrize(
    "label",
    [
        "[PER](https://example.org)",
        "![](https://example.org/seen.png)",
        "*PER* __LOC__ _MISC_ ~~ORG~~ `MISC`",
        "a_b_ _c d_e __f__g",
        "<b>PER</b> &lt; &amp; <https://example.org>",
        "A|B \\| C\\",
        "A\n# B\n| C |",
    ],
)
def test_a_cell_is_text_and_no_markup(label):
    page = rendered(table(("type", "gold"), [(label, 7)], "ll"))
    cells = re.findall("<td.*?>(.*?)</td>", page)
    assert [html.unescape(cell) for cell in cells] == [" ".join(label.split()), "7"]
    assert not re.findall("<(?!/?(?:table|thead|tbody|tr|th|td)[ >])", page)


def test_an_underscore_inside_a_name_is_not_escaped():
    assert escape("text_only of msvse_ner") == "text_only of msvse_ner"
