"""Windows of long texts, registered beside those of spacy-transformers."""

import pickle
import subprocess
import sys
from importlib.util import find_spec

import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_msvse.component.span_getters import create_strided_spans, strided_spans
from spacy_msvse.errors import MsvseError

OURS = {"@span_getters": "spacy-msvse.strided_spans.v1", "window": 5, "stride": 3}
THEIRS = ("strided_spans.v1", "sent_spans.v1", "doc_spans.v1")


def windows(length: int, window: int, stride: int) -> list[tuple[int, int]]:
    doc = Doc(Vocab(), words=["a"] * length)
    (spans,) = strided_spans([doc], window, stride)
    return [(span.start, span.end) for span in spans]


def test_windows_overlap_and_end_with_the_text():
    assert windows(0, 5, 3) == []
    assert windows(1, 5, 3) == [(0, 1)]
    assert windows(5, 5, 3) == [(0, 5)]
    assert windows(6, 5, 3) == [(0, 5), (3, 6)]
    assert windows(8, 5, 3) == [(0, 5), (3, 8)]
    assert windows(9, 5, 3) == [(0, 5), (3, 8), (6, 9)]
    assert windows(7, 3, 3) == [(0, 3), (3, 6), (6, 7)]


@pytest.mark.parametrize("window", range(1, 7))
def test_windows_equal_those_of_spacy_transformers(window):
    theirs = pytest.importorskip("spacy_transformers.span_getters").get_strided_spans
    for stride in range(1, window + 1):
        for length in range(25):
            doc = Doc(Vocab(), words=["a"] * length)
            (spans,) = theirs([doc], window, stride)
            expected = [(span.start, span.end) for span in spans]
            assert windows(length, window, stride) == expected


@pytest.mark.parametrize(("window", "stride"), [(5, 0), (5, 6), (5, -1), (0, 1)])
def test_a_stride_out_of_range_is_a_coded_error(window, stride):
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        create_strided_spans(window, stride)


def test_a_config_names_the_span_getter():
    get_spans = spacy.registry.resolve({"get_spans": OURS})["get_spans"]
    doc = Doc(Vocab(), words=["a"] * 6)
    assert [span.start for span in get_spans([doc])[0]] == [0, 3]
    again = pickle.loads(pickle.dumps(get_spans))
    assert [span.start for span in again([doc])[0]] == [0, 3]


@pytest.mark.parametrize(
    "imports",
    ["", "import spacy_transformers; ", "{ours}import spacy_transformers; ", "{ours}"],
    ids=["nothing first", "theirs first", "ours first", "ours alone"],
)
def test_both_packages_register_in_any_order(imports):
    if "transformers" in imports and find_spec("spacy_transformers") is None:
        pytest.skip("spacy-transformers is not installed")
    names = ["spacy-msvse.strided_spans.v1"]
    if find_spec("spacy_transformers") is not None:
        names += [f"spacy-transformers.{name}" for name in THEIRS]
    code = imports.format(ours="import spacy_msvse.component.span_getters; ")
    code += "import spacy; nlp = spacy.blank('en'); "
    code += f"[spacy.registry.get('span_getters', name) for name in {names}]"
    subprocess.run([sys.executable, "-c", code], check=True)
