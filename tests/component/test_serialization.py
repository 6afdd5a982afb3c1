"""Saved pipelines: equal answers, no pickle, no package needed, no path of the machine."""

import pickle
import pickletools

import pytest
import spacy
import torch
from spacy.tokens import DocBin

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError
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
    monkeypatch.setattr("spacy_msvse.vision.extractors.efficientnet_lite0.find_spec", not_installed)
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


def test_a_manifest_names_no_file_outside_of_its_folder(trained, tmp_path):
    trained.to_disk(tmp_path)
    manifest = tmp_path / "msvse_ner" / "manifest.json"
    manifest.write_text('{"cfg": "", "../meta.json": ""}')
    with pytest.raises(MsvseError, match=r"MSVSE-E006.*outside"):
        spacy.load(tmp_path)


def test_weights_of_another_method_are_a_coded_error(trained, tmp_path):
    trained.to_disk(tmp_path)
    model = {"@architectures": "spacy-msvse.TextCrf.v1"}
    config = spacy.util.load_config(tmp_path / "config.cfg")
    config["components"]["msvse_ner"]["model"] = model
    config.to_disk(tmp_path / "config.cfg")
    with pytest.raises(MsvseError, match=r"MSVSE-E006.*Msvse.*TextCrf"):
        spacy.load(tmp_path)


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
    assert get_shim(copy.get_pipe("msvse_ner").model).precision == torch.bfloat16
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
