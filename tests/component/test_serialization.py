"""Saved pipelines: equal answers, no pickle, no package needed, no path of the machine."""

import hashlib
import json
import pickle
import pickletools
import tempfile

import pytest
import spacy
import srsly
import torch
from spacy.tokens import DocBin

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError
from spacy_msvse.util import unpack_files
from spacy_msvse.vision.store import FeatureStore

from ..tiny import COLOURS, ambiguous_examples, entities, picture, tiny_pipeline, train


def answers(nlp) -> list:
    """Labels and probabilities, to the last bit."""
    docs = [make_doc(nlp, f"saw {n} today", image=picture(x)) for n in ("jordan",) for x in COLOURS]
    return [
        (entities(doc), [float(score) for score in doc.spans["msvse_ner"].attrs["scores"]])
        for doc in nlp.pipe(docs)
    ]


def via_disk(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    return spacy.load(tmp_path / "pipeline")


def via_bytes(nlp, tmp_path):
    return spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())


def via_pickle(nlp, tmp_path):
    return pickle.loads(pickle.dumps(nlp))


def via_source(nlp, tmp_path):
    other = spacy.blank("en", vocab=nlp.vocab)
    other.add_pipe("msvse_ner", source=nlp)
    return other


@pytest.mark.parametrize("via", [via_disk, via_bytes, via_pickle, via_source])
def test_a_copy_answers_bit_by_bit_the_same(trained, tmp_path, via):
    copy = via(trained, tmp_path)
    assert answers(copy) == answers(trained)
    assert copy.get_pipe("msvse_ner").labels == trained.get_pipe("msvse_ner").labels


def test_a_loaded_pipeline_trains_on(trained, tmp_path):
    nlp = via_disk(trained, tmp_path)
    examples = ambiguous_examples(nlp)
    optimizer = nlp.resume_training()
    first = nlp.update(examples, sgd=optimizer)["msvse_ner"]
    assert first < 1.0


def test_a_loaded_pipeline_needs_neither_weight_package_nor_network(tmp_path, monkeypatch):
    """The default pipeline, saved and loaded where the weight packages are not installed."""
    from spacy.training import Example

    nlp = spacy.blank("en")
    nlp.add_pipe("msvse_ner")
    doc = make_doc(nlp, "Saw Jordan today", image=picture("PER"))
    nlp.initialize(lambda: [Example.from_dict(doc, {"entities": [(4, 10, "PER")]})])
    nlp.to_disk(tmp_path / "pipeline")
    expected = nlp(doc.copy())

    def not_installed(name, *args):
        raise AssertionError(f"{name} was searched for")

    monkeypatch.setattr("spacy_msvse.network.pretrained.find_spec", not_installed)
    monkeypatch.setattr("spacy_msvse.vision.extractors.weights.find_spec", not_installed)
    loaded = spacy.load(tmp_path / "pipeline")
    actual = loaded(make_doc(loaded, "Saw Jordan today", image=picture("PER")))
    assert actual._.visual_entities == expected._.visual_entities
    assert actual._.image_status["regions"] == "used"


def test_no_file_is_a_pickle_and_none_names_a_folder_of_this_machine(trained, tmp_path):
    trained.get_pipe("msvse_ner").image_root = tmp_path
    trained.to_disk(tmp_path / "pipeline")
    trained.get_pipe("msvse_ner").image_root = None
    encoder = trained.get_pipe("msvse_ner").model.attrs["encoder"]
    contents = [
        path.read_bytes()
        for path in (tmp_path / "pipeline" / "msvse_ner").rglob("*")
        if path.is_file()
    ]
    for content in contents:
        assert b"torch._utils" not in content
        assert str(tmp_path).encode() not in content
        assert encoder.encode() not in content
        with pytest.raises((ValueError, IndexError, EOFError)):
            list(pickletools.genops(content))
    assert len(contents) > 4


def fetch_nothing(url: str) -> bytes:
    raise TimeoutError(url)


def test_a_fetcher_goes_to_worker_processes_and_into_no_saved_pipeline(trained, tmp_path):
    before = trained.to_bytes()
    trained.get_pipe("msvse_ner").fetch = fetch_nothing
    assert via_pickle(trained, tmp_path).get_pipe("msvse_ner").fetch is fetch_nothing
    assert trained.to_bytes() == before
    assert via_disk(trained, tmp_path).get_pipe("msvse_ner").fetch is None
    trained.get_pipe("msvse_ner").fetch = None


FILES = ("cfg", "network.json", "network.safetensors", "tokenizer/tokenizer.json")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_half_written_or_damaged_pipeline_is_a_coded_error(trained, tmp_path, name, damage):
    trained.to_disk(tmp_path)
    file = tmp_path / "msvse_ner" / name
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[:-7])
    elif damage == "changed":
        file.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(MsvseError, match="MSVSE-E006"):
        spacy.load(tmp_path)


#: Names that lead out of a folder, on Linux or on Windows.
OUTSIDE = [
    "../meta.json",
    "/abs/x.json",
    "a/../../x.json",
    "C:\\x.json",
    "a\\..\\..\\x.json",
    "a//b.json",
]


@pytest.mark.parametrize("name", [*OUTSIDE, ""])
def test_a_manifest_names_no_file_outside_of_its_folder(trained, tmp_path, name):
    trained.to_disk(tmp_path)
    manifest = tmp_path / "msvse_ner" / "manifest.json"
    manifest.write_text(json.dumps({"cfg": "", name: ""}))
    with pytest.raises(MsvseError, match=r"MSVSE-E006.*not the name of a file"):
        spacy.load(tmp_path)


def pack(files: dict[str, bytes]) -> bytes:
    """A message of files whose hashes are right, as somebody who means harm would make it."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return srsly.msgpack_dumps({"files": files, "manifest": hashes})


@pytest.mark.parametrize("name", [*OUTSIDE, "tokenization_own.py", "pytorch_model.bin", "x.pkl"])
def test_loading_writes_only_data_files_into_its_own_folder(trained, tmp_path, name, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(inner))
    files = unpack_files(trained.get_pipe("msvse_ner").to_bytes())
    other = spacy.util.load_model_from_config(trained.config).get_pipe("msvse_ner")
    with pytest.raises(MsvseError, match="MSVSE-E006"):
        other.from_bytes(pack({**files, f"tokenizer/{name}": b"{}"}))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_weights_of_another_method_are_a_coded_error(trained, tmp_path):
    trained.to_disk(tmp_path)
    model = {"@architectures": "spacy-msvse.TextCrf.v1"}
    config = spacy.util.load_config(tmp_path / "config.cfg")
    config["components"]["msvse_ner"]["model"] = model
    config.to_disk(tmp_path / "config.cfg")
    with pytest.raises(MsvseError, match=r"MSVSE-E006.*Msvse.*TextCrf"):
        spacy.load(tmp_path)


def change(values: dict, damage: str) -> None:
    if damage == "labels in another order":
        values["labels"].reverse()
    elif damage == "a renamed label":
        values["labels"][0] = "OTHER"
    elif damage == "a label twice":
        values["labels"][0] = values["labels"][1]
    elif damage == "a label of another type":
        values["labels"][0] = 3
    elif damage == "a renamed key":
        values["temprature"] = values.pop("temperature")
    else:
        values["temperature"] = {"nan": "NaN", "text": "1.0"}.get(damage) or float(damage)


@pytest.mark.parametrize(
    "damage",
    [
        "labels in another order",
        "a renamed label",
        "a label twice",
        "a label of another type",
        "a renamed key",
        "0",
        "-1",
        "1e9",
        "nan",
        "text",
    ],
)
def test_settings_that_do_not_agree_with_the_weights_are_refused(trained, tmp_path, damage):
    """Also if somebody has edited the file and its hash."""
    files = unpack_files(trained.get_pipe("msvse_ner").to_bytes())
    values = srsly.json_loads(files["cfg"])
    change(values, damage)
    files["cfg"] = srsly.json_dumps(values).encode()
    other = spacy.util.load_model_from_config(trained.config).get_pipe("msvse_ner")
    with pytest.raises(MsvseError, match=r"MSVSE-E006.*(cfg|labels)"):
        other.from_bytes(pack(files))


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "1", True])
def test_a_temperature_out_of_range_is_refused(trained, value):
    component = trained.get_pipe("msvse_ner")
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        component.temperature = value
    assert component.temperature == 1.0


@pytest.mark.parametrize("damage", ["bits of an exponent", "zeros", "noise", "the last byte"])
@pytest.mark.parametrize("place", range(4))
def test_a_damaged_message_is_refused(trained, damage, place):
    data = bytearray(trained.get_pipe("msvse_ner").to_bytes())
    start = len(data) * (2 * place + 1) // 8
    if damage == "bits of an exponent":
        data[start] ^= 0x40
    elif damage == "the last byte":
        data = data[: len(data) - 1 - place]
    else:
        part = slice(start, start + 64)
        noise = bytes(range(100, 164)) if damage == "noise" else bytes(64)
        assert data[part] != noise
        data[part] = noise
    other = spacy.util.load_model_from_config(trained.config).get_pipe("msvse_ner")
    with pytest.raises(MsvseError, match="MSVSE-E006"):
        other.from_bytes(bytes(data))


def test_other_settings_than_those_of_the_training_are_named(trained, tmp_path):
    """So they are if a save over an older pipeline stops after the config."""
    trained.to_disk(tmp_path)
    settings = {"max_view_words": 7, "joint_decoding_weight": 0.75}
    config = {"components": {"msvse_ner": {"model": settings}}}
    with pytest.warns(UserWarning, match=r"MSVSE-W052.*max_view_words \(trained: 64") as caught:
        spacy.load(tmp_path, config=config)
    assert len(caught) == 1
    assert "joint_decoding_weight (trained: 0.0)" in str(caught[0].message)


def test_saving_replaces_the_folder_as_a_whole_and_leaves_nothing_beside_it(trained, tmp_path):
    folder = tmp_path / "msvse_ner"
    folder.mkdir()
    (folder / "stale").write_text("of an earlier save")
    trained.to_disk(tmp_path)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {*FILES, "manifest.json"} <= names
    assert "stale" not in names
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_save_that_fails_leaves_the_pipeline_that_was_there(trained, tmp_path, monkeypatch):
    trained.to_disk(tmp_path)

    def fail(*_):
        raise OSError("no space left on the device")

    monkeypatch.setattr("spacy_msvse.component.pipe.write_files", fail)
    with pytest.raises(OSError, match="no space"):
        trained.get_pipe("msvse_ner").to_disk(tmp_path / "msvse_ner", exclude=["vocab"])
    monkeypatch.undo()
    assert answers(spacy.load(tmp_path)) == answers(trained)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_component_alone_round_trips_with_its_vocabulary(trained, tmp_path):
    component = trained.get_pipe("msvse_ner")
    component.to_disk(tmp_path / "alone")
    other = spacy.util.load_model_from_config(trained.config).get_pipe("msvse_ner")
    other.from_disk(tmp_path / "alone")
    assert other.labels == component.labels
    assert "PER" in other.vocab.strings


def test_worker_processes_keep_the_feature_store(trained, tmp_path):
    component = trained.get_pipe("msvse_ner")
    component.feature_store = FeatureStore(tmp_path / "store")
    try:
        copy = via_pickle(trained, tmp_path).get_pipe("msvse_ner")
        assert copy.feature_store.path == component.feature_store.path
    finally:
        component.feature_store = None


def test_an_untrained_pipeline_can_be_saved_and_loaded(nlp, tmp_path):
    loaded = via_disk(nlp, tmp_path)
    train(loaded, ambiguous_examples(loaded), steps=1)


def test_annotated_docs_survive_docbin(trained):
    docs = list(
        trained.pipe([make_doc(trained, "saw jordan today", image=picture(x)) for x in COLOURS])
    )
    data = DocBin(store_user_data=True, docs=docs).to_bytes()
    for doc, again in zip(docs, DocBin().from_bytes(data).get_docs(trained.vocab), strict=True):
        assert entities(again) == entities(doc)
        assert again.ents[0]._.confidence == doc.ents[0]._.confidence
        assert list(again._.image_tags) == doc._.image_tags
        assert again._.image == doc._.image
        assert again._.image_status == doc._.image_status
        assert again._.visual_entities == doc._.visual_entities


def test_scores_survive_docbin_without_user_data(trained):
    doc = trained(make_doc(trained, "saw jordan today", image=picture("LOC")))
    data = DocBin(docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(trained.vocab)
    assert again.ents[0]._.confidence == doc.ents[0]._.confidence


def test_from_bytes_goes_to_the_device_that_thinc_works_on(trained):
    from thinc.api import get_torch_default_device

    from spacy_msvse.component.architectures import get_shim

    copy = via_bytes(trained, None)
    assert get_shim(copy.get_pipe("msvse_ner").model).device == get_torch_default_device()


def test_loading_draws_no_random_weights_for_the_encoder(trained, monkeypatch):
    def draw(*_, **__):
        raise AssertionError("what is drawn here is overwritten at once")

    monkeypatch.setattr(torch.Tensor, "normal_", draw)
    via_bytes(trained, None)


def test_a_trained_pipeline_can_be_loaded_to_compute_in_another_precision(trained, tmp_path):
    from spacy_msvse.component.architectures import get_shim

    trained.to_disk(tmp_path)
    config = {"components": {"msvse_ner": {"model": {"precision": "bfloat16"}}}}
    copy = spacy.load(tmp_path, config=config)
    assert get_shim(copy.get_pipe("msvse_ner").model).precision == "bfloat16"
    for label in COLOURS:
        doc = copy(make_doc(copy, "saw jordan today", image=picture(label)))
        assert [ent.label_ for ent in doc.ents] == [label]


def test_an_update_changes_the_adopted_weights_of_a_loaded_pipeline(trained, tmp_path):
    copy = via_disk(trained, tmp_path)
    loaded = copy(make_doc(copy, "saw jordan today", image=picture("LOC")))
    copy.update(ambiguous_examples(copy), sgd=copy.resume_training())
    learnt = copy(make_doc(copy, "saw jordan today", image=picture("LOC")))
    assert learnt.ents[0]._.confidence != loaded.ents[0]._.confidence


def test_settings_of_the_tiny_pipeline_round_trip(encoder, tmp_path):
    nlp = tiny_pipeline(encoder, overwrite=True, model={"joint_decoding_weight": 0.25})
    train(nlp, ambiguous_examples(nlp), steps=1)
    component = via_disk(nlp, tmp_path).get_pipe("msvse_ner")
    assert component.overwrite
    assert component.model.attrs["settings"]["joint_decoding_weight"] == 0.25
