"""`--image-root` and `image_root` as the URL of a remote folder: in every command, in the reader of
a corpus and in the component; never in a saved pipeline."""

import fsspec
import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_msvse import make_doc
from spacy_msvse.component import components
from spacy_msvse.corpus.conll import read_conll
from spacy_msvse.corpus.jsonl import parse_rows
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.display.gallery import read_gallery
from spacy_msvse.errors import MsvseError
from spacy_msvse.vision import remote
from spacy_msvse.vision.remote import RemotePicture

from ..tiny import COLOURS, picture, save_encoder, tiny_pipeline
from .command import CONFIG, run

ROOT = "memory://posts/pictures"


@pytest.fixture(scope="module", autouse=True)
def remote_folder():
    memory = fsspec.filesystem("memory")
    for label in COLOURS:
        memory.pipe_file(f"posts/pictures/{label}.png", picture(label))
    memory.pipe_file("posts/secret.png", picture("PER"))
    yield memory
    memory.rm("posts", recursive=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Posts whose pictures are only in the remote folder."""
    folder = tmp_path_factory.mktemp("remote")
    rows = []
    for number in range(24):
        label = list(COLOURS)[number % 3]
        span = {"start": 4, "end": 10, "label": label if number % 8 else "ORG"}
        rows.append({"text": "saw jordan today", "image": f"{label}.png", "spans": [span]})
    srsly.write_jsonl(folder / "posts.jsonl", rows)
    hostile = ("../secret.png", "memory://posts/pictures/PER.png", "https://example.com/a.png")
    srsly.write_jsonl(
        folder / "hostile.jsonl", [{"text": "saw jordan", "image": name} for name in hostile]
    )
    (folder / "config.cfg").write_text(CONFIG)
    result = run("convert", folder / "posts.jsonl", folder / "posts.spacy", "-i", ROOT)
    assert "24" in result.output
    return folder


def types(path) -> list[list[str]]:
    return [[span["label"] for span in row["spans"]] for row in srsly.read_jsonl(path)]


EXPECTED = [[label] for label in [*COLOURS] * 8]


def test_convert_counts_the_pictures_that_exist(files, tmp_path):
    report = srsly.read_json(files / "posts.spacy.json")
    assert (report["pictures_referenced"], report["pictures_found"]) == (24, 24)
    rows = [{"text": "saw jordan", "image": "gone.png", "spans": []}]
    srsly.write_jsonl(tmp_path / "gone.jsonl", rows)
    options = ("-i", ROOT, "--allow-no-entities")
    output = run(
        "convert", tmp_path / "gone.jsonl", tmp_path / "x.spacy", *options, status=1
    ).output
    assert "E137" in output


@pytest.mark.parametrize("n_process", [0, 1])
def test_annotate_reads_remote_pictures(trained, files, tmp_path, n_process):
    options = ("-i", ROOT, "-n", n_process)
    run("annotate", trained, files / "posts.jsonl", tmp_path / "out.jsonl", *options)
    assert types(tmp_path / "out.jsonl") == EXPECTED


def test_annotate_reads_no_url_and_nothing_outside(trained, files, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_request", lambda *args: pytest.fail("read"))
    monkeypatch.setattr(remote, "check_remote_folder", None)  # it would be asked for the folder
    monkeypatch.setattr("spacy_msvse.cli.options.check_remote_folder", lambda root: None)
    options = ("-i", ROOT, "-n", 0)
    run("annotate", trained, files / "hostile.jsonl", tmp_path / "out.jsonl", *options, status=1)
    reasons = [row["error"] for row in srsly.read_jsonl(tmp_path / "out.jsonl")]
    assert [reason[:12] for reason in reasons] == ["[MSVSE-E021]", "[MSVSE-E022]", "[MSVSE-E022]"]


def test_the_other_commands_read_remote_pictures(trained, files, tmp_path):
    posts = files / "posts.spacy"
    run("render", trained, files / "posts.jsonl", tmp_path / "a.html", "-i", ROOT, "--no-effects")
    assert (tmp_path / "a.html").read_text().count("data:image/") == 24
    run("evaluate", trained, posts, "-i", ROOT, "--output", tmp_path / "scores.json")
    scores = srsly.read_json(tmp_path / "scores.json")
    assert scores["ents_f"] > 0.8
    debug = run("debug-data", posts, "-i", ROOT, "--json")
    assert srsly.json_loads(debug.stdout)["splits"]["train"]["readable"] == 24
    config = ("--config", files / "config.cfg", "-i", ROOT)
    run("extract", posts, tmp_path / "store", *config)
    pruned = run("store", "prune", tmp_path / "store", "--data", posts, "-i", ROOT, "--json")
    assert srsly.json_loads(pruned.stdout)["kept"] == 3
    run("calibrate", trained, posts, "-i", ROOT, "--output", tmp_path / "calibrated")
    assert spacy.load(tmp_path / "calibrated").get_pipe("msvse_ner").cfg["calibration"]


def test_the_gallery_of_serve_reads_remote_pictures(files):
    posts = read_gallery(files / "posts.jsonl", ROOT)
    assert all("data:image/" in tile for _, tile in posts)


def test_the_pictures_of_a_line_of_several_are_listed(remote_folder, tmp_path):
    for name in ("x_1.png", "x_2.png"):
        remote_folder.pipe_file(f"posts/weibo/{name}", picture("PER"))
    (tmp_path / "weibo.txt").write_text("WID:x\nAda\tB-PER\n\n")
    rows = read_conll(tmp_path / "weibo.txt", image_root="memory://posts/weibo")
    (post,) = parse_rows(rows, [])
    assert post.images == ["x_1.png", "x_2.png"]


@pytest.mark.parametrize(
    ("root", "code"),
    [("memory://posts/gone", "E196"), ("file:///data", "E196"), ("nothing://a/b", "E196")],
)
def test_a_command_refuses_a_folder_that_cannot_be_used(trained, files, tmp_path, root, code):
    for command in (
        ("convert", files / "posts.jsonl", tmp_path / "out.spacy"),
        ("annotate", trained, files / "posts.jsonl", tmp_path / "out.jsonl"),
        ("render", trained, files / "posts.jsonl", tmp_path / "out.html"),
        ("serve", trained, "--examples", files / "posts.jsonl"),
    ):
        output = run(*command, "--image-root", root, status=1).output
        assert code in output
        assert "Traceback" not in output
    assert not list(tmp_path.iterdir())


def test_a_local_folder_that_does_not_exist_is_refused_as_before(trained, files, tmp_path):
    command = ("annotate", trained, files / "posts.jsonl", tmp_path / "out.jsonl")
    output = run(*command, "--image-root", tmp_path / "gone", status=2).output
    assert "does not exist" in output
    output = run(*command, "--image-root", files / "config.cfg", status=2).output
    assert "is a file" in output


# The reader of a corpus, and training


def test_a_corpus_hands_the_places_to_the_component(trained, files):
    nlp = spacy.load(trained)
    examples = list(Corpus(files / "posts.spacy", image_root=ROOT)(nlp))
    for doc in (example for eg in examples for example in (eg.predicted, eg.reference)):
        assert isinstance(doc._.image, RemotePicture)
    docs = list(nlp.pipe(example.predicted.copy() for example in examples))
    assert [[entity.label_ for entity in doc.ents] for doc in docs] == EXPECTED
    # A file of Docs does not keep the permission.
    (doc,) = DocBin(docs=docs[:1], store_user_data=True).get_docs(nlp.vocab)
    (loaded,) = (
        DocBin().from_bytes(DocBin(docs=[doc], store_user_data=True).to_bytes()).get_docs(nlp.vocab)
    )
    assert type(loaded._.image) is str
    with pytest.raises(MsvseError, match="E022"):
        nlp(loaded)


def test_a_corpus_refuses_what_is_outside(tmp_path, nlp):
    for name, code in (("../secret.png", "E021"), ("memory://posts/secret.png", "E022")):
        docs = [make_doc(nlp, "saw jordan", image=name)]
        DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "a.spacy")
        with pytest.raises(MsvseError, match=code):
            list(Corpus(tmp_path / "a.spacy", image_root=ROOT)(nlp))


def test_a_pipeline_trains_on_remote_pictures(files, tmp_path):
    nlp = tiny_pipeline(save_encoder(tmp_path / "encoder"))
    corpus = Corpus(files / "posts.spacy", image_root=ROOT)
    optimizer = nlp.initialize(lambda: corpus(nlp))
    examples = list(corpus(nlp))
    nlp.update(examples, sgd=optimizer)
    predictor = nlp.get_pipe("msvse_ner").predictor
    posts = predictor.reader.read([example.predicted for example in examples])
    assert {post.status["regions"] for post in posts} == {"used"}
    assert nlp.evaluate(examples[:2])


# A saved pipeline


def test_a_saved_pipeline_has_no_picture_folder(trained, tmp_path):
    nlp = spacy.load(trained)
    component = nlp.get_pipe("msvse_ner")
    component.image_root = ROOT
    assert nlp(make_doc(nlp, "saw jordan today", image="PER.png")).ents[0].label_ == "PER"
    nlp.to_disk(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*"):
        assert path.is_dir() or b"memory:" not in path.read_bytes()
    assert b"memory:" not in nlp.to_bytes()
    assert "memory:" not in nlp.config.to_str()
    for loaded in (spacy.load(tmp_path / "saved"), spacy.load(trained).from_bytes(nlp.to_bytes())):
        assert [one.image_root for _, one in components(loaded)] == [None]


def test_a_saved_config_of_training_is_not_followed_when_the_pipeline_is_loaded(
    trained, tmp_path, monkeypatch
):
    nlp = spacy.load(trained)
    nlp.config["corpora"]["train"] = {
        "@readers": "spacy-msvse.Corpus.v1",
        "path": "train.spacy",
        "image_root": ROOT,
    }
    nlp.to_disk(tmp_path / "saved")
    assert ROOT in (tmp_path / "saved" / "config.cfg").read_text()
    for name in ("check_root", "_ask"):
        monkeypatch.setattr(remote, name, lambda *args: pytest.fail("followed"))
    loaded = spacy.load(tmp_path / "saved")
    assert [one.image_root for _, one in components(loaded)] == [None]
    with pytest.raises(MsvseError, match=r"E020.*No such file"):
        loaded(make_doc(loaded, "saw jordan", image="PER.png"))
