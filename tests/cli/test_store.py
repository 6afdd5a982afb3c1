"""The commands that fill, describe, check and prune a feature store."""

import os

import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_msvse import make_doc
from spacy_msvse.vision.picture import picture_key
from spacy_msvse.vision.store import DATA_FILE, FeatureStore

from ..tiny import COLOURS, picture
from .test_commands import CONFIG, run

OTHER = "0" * 64


@pytest.fixture
def data(tmp_path):
    """Six posts with three pictures, one of which is there twice, and two that cannot be read."""
    nlp = spacy.blank("en")
    for seed, label in enumerate(COLOURS):
        (tmp_path / f"{label}.png").write_bytes(picture(label, seed))
    (tmp_path / "copy.png").write_bytes((tmp_path / "ORG.png").read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    names = [f"{label}.png" for label in COLOURS]
    docs = [make_doc(nlp, "saw jordan", image=name) for name in (*names, "copy.png", None)]
    save(tmp_path / "posts.spacy", docs)
    bad = [make_doc(nlp, "saw jordan", image=name) for name in ("bad.png", "missing.png")]
    save(tmp_path / "all.spacy", docs + bad)
    save(tmp_path / "one.spacy", docs[:1])
    (tmp_path / "tiny.cfg").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def store(data):
    """Features of all pictures by the tiny extractor, and of the first by another one."""
    extract(data, "posts.spacy")
    with FeatureStore(data / "store") as store:
        key = picture_key((data / "PER.png").read_bytes())
        store.put_many([(key, OTHER, {"caption": "a jar"})])
    return data / "store"


def save(path, docs) -> None:
    DocBin(store_user_data=True, docs=docs).to_disk(path)


def extract(data, posts: str, *options):
    config = ("--config", data / "tiny.cfg", "--image-root", data)
    return run("extract", data / posts, data / "store", *config, *options)


def run_json(*arguments, status: int = 0):
    return srsly.json_loads(run("store", *arguments, "--json", status=status).stdout)


def damage(store) -> str:
    """Flip bits in the one record that holds a word, and return its key."""
    data = (store / DATA_FILE).read_bytes()
    assert data.count(b"a jar") == 1
    (store / DATA_FILE).write_bytes(data.replace(b"a jar", b"a jug"))
    return picture_key((store.parent / "PER.png").read_bytes())


def test_extract_reports_what_failed_and_why(data):
    output = " ".join(extract(data, "all.spacy").output.split())
    assert "7 posts with 6 pictures and texts: 3 extracted, 1 stored already, 2 failed;" in output
    assert "posts/s" in output
    assert "bad.png: [MSVSE-E020] Picture 'bad.png' cannot be read: it is not a picture" in output
    assert "missing.png: [MSVSE-E020] Picture 'missing.png' cannot be read: No such file" in output


def test_extract_says_that_a_store_is_damaged(data, store):
    os.truncate(store / DATA_FILE, 8192)
    config = ("--config", data / "tiny.cfg", "--image-root", data)
    result = run("extract", data / "posts.spacy", store, *config, status=1)
    assert "MSVSE-E060" in result.output


def test_info_counts_what_is_in_a_store(store):
    output = " ".join(run("store", "info", store).output.split())
    assert "4 records" in output
    assert f"{OTHER} 1" in output
    summary = run_json("info", store)
    other, tiny = summary["extractors"]
    assert (summary["records"], other["fingerprint"], other["records"]) == (4, OTHER, 1)
    assert (tiny["records"], tiny["views"], tiny["region_dim"]) == (3, ["regions"], 3)


def test_verify_of_an_undamaged_store(store):
    assert "4 records, none damaged" in run("store", "verify", store).output
    assert run_json("verify", store) == {"path": str(store), "records": 4, "damaged": []}


def test_verify_names_damaged_records_and_fails(store):
    key = damage(store)
    assert f"Extractor {OTHER}, item {key}:" in run("store", "verify", store, status=1).output
    (record,) = run_json("verify", store, status=1)["damaged"]
    assert (record["fingerprint"], record["key"]) == (OTHER, key)
    assert record["reason"] == "its checksum is wrong"


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test_store_that_is_cut_short_is_a_coded_error(store, command):
    os.truncate(store / DATA_FILE, 8192)
    assert "MSVSE-E060" in run("store", command, store, status=1).output


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test_folder_that_is_no_store_is_a_coded_error(tmp_path, command):
    (line,) = run("store", command, tmp_path, status=1).output.splitlines()
    assert "MSVSE-E202" in line
    assert "does not exist" not in line


def test_prune_keeps_the_extractor_of_a_config(data, store):
    report = run_json("prune", store, "--config", data / "tiny.cfg")
    assert (report["kept"], report["dropped"]) == (3, 1)
    assert OTHER not in {row["fingerprint"] for row in run_json("info", store)["extractors"]}


def test_prune_keeps_extractors_by_the_beginning_of_their_fingerprints(data, store):
    run("store", "prune", store, "--keep", OTHER[:8])
    assert [row["fingerprint"] for row in run_json("info", store)["extractors"]] == [OTHER]


def test_prune_keeps_the_pictures_of_the_data(data, store):
    report = run_json("prune", store, "--data", data / "one.spacy", "--image-root", data)
    assert (report["kept"], report["dropped"]) == (2, 2)
    again = extract(data, "posts.spacy").output
    assert "4 pictures and texts: 2 extracted, 2 stored already" in " ".join(again.split())


def test_prune_keeps_pictures_by_extractor_and_data(data, store):
    options = ("--keep", OTHER, "--data", data / "one.spacy", "--image-root", data)
    assert run_json("prune", store, *options)["kept"] == 1


def test_prune_keeps_features_that_posts_name_by_key(data, store):
    (doc,) = DocBin().from_disk(data / "one.spacy").get_docs(spacy.blank("en").vocab)
    doc._.image_features, doc._.image = picture_key((data / "LOC.png").read_bytes()), None
    save(data / "keys.spacy", [doc])
    assert run_json("prune", store, "--data", data / "keys.spacy")["kept"] == 1


def test_prune_drops_damaged_records(store):
    damage(store)
    report = run_json("prune", store)
    assert (report["kept"], report["dropped"], report["damaged"]) == (3, 0, 1)
    run("store", "verify", store)


def test_prune_says_that_others_read_the_store(store, monkeypatch):
    monkeypatch.setattr("spacy_msvse.vision.store.BUSY_SECONDS", 0.1)
    with FeatureStore(store) as opened:
        records = opened.scan()
        next(records)
        output = run("store", "prune", store, "--keep", OTHER).output
        assert "Other processes use the store" in output
        records.close()


CODE = """
import spacy


class TextLength:
    fills = ("knowledge",)
    reads = "text"
    region_dim = 0
    fingerprint = "text length"

    def initialize(self):
        pass

    def extract(self, items, known):
        return [{"knowledge": f"{len(text)} characters"} for text in items]

    def to_files(self):
        return {}

    def from_files(self, files):
        pass


spacy.registry.misc("tests.TextLength.v1", func=TextLength)
"""


def test_an_extractor_of_the_user_reads_the_texts(data):
    (data / "code.py").write_text(CODE)
    config = CONFIG + '\n[components.msvse_ner.vision.knowledge]\n@misc = "tests.TextLength.v1"\n'
    (data / "tiny.cfg").write_text(config)
    code = ("--code", data / "code.py")
    output = " ".join(extract(data, "posts.spacy", *code).output.split())
    # All five posts have one text.
    assert "5 posts with 9 pictures and texts: 4 extracted, 5 stored already" in output
    rows = run_json("info", data / "store")["extractors"]
    assert {row["fingerprint"]: row["views"] for row in rows}["text length"] == ["knowledge"]
    config_and_code = ("--config", data / "tiny.cfg", *code)
    assert run_json("prune", data / "store", *config_and_code)["kept"] == 4
    posts = ("--data", data / "one.spacy", "--image-root", data)
    assert run_json("prune", data / "store", *posts)["kept"] == 2


def test_dry_run_only_counts(store):
    output = " ".join(run("store", "prune", store, "--keep", OTHER, "--dry-run").output.split())
    assert "1 record would be kept; dropped: 3, damaged: 0" in output
    assert run_json("info", store)["records"] == 4


def test_a_typing_error_in_the_records_to_keep_drops_nothing(data, store):
    for options, code in (
        (("--keep", OTHER, "--keep", "typo"), "E062"),
        # Without the folder of the pictures none can be read.
        (("--data", data / "one.spacy"), "E064"),
    ):
        assert code in run("store", "prune", store, *options, status=1).output
    assert run_json("info", store)["records"] == 4
