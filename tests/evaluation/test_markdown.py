"""Scores as Markdown."""

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


def test_a_bar_in_a_name_divides_no_cell():
    name = escape("A|B")
    table = align_tables(f"| type |\n| --- |\n| {name} |\n| longer name |\n")
    assert table.splitlines()[2] == "| A\\|B        |"
