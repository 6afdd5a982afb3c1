"""`python -m spacy msvse render`: posts in, one page out."""

import re

import pytest
import spacy
import srsly
from spacy.cli._util import app
from spacy.training import Example
from typer.testing import CliRunner

import spacy_msvse.cli
import spacy_msvse.display.page
from spacy_msvse import make_doc

from ..display.markup import Markup
from ..tiny import picture, save_encoder, tiny_pipeline

ROWS = [
    {"text": "saw jordan", "image": "a.png", "spans": [{"start": 4, "end": 10, "label": "PER"}]},
    {"text": "saw amazon", "image": "../outside.png"},
    {"text": "a cut", "spans": [{"start": 0, "end": 3, "label": "PER"}]},
    {"words": ["go", "#NYC"], "spans": [{"start": 3, "end": 7, "label": "LOC"}]},
]


def render(tmp_path, model, *options, status: int = 0) -> tuple[str, str]:
    """The page and what was printed."""
    folder = tmp_path / "posts"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture("PER"))
    (tmp_path / "outside.png").write_bytes(picture("ORG"))
    srsly.write_jsonl(folder / "posts.jsonl", ROWS)
    arguments = ["msvse", "render", str(model), str(folder / "posts.jsonl")]
    output = tmp_path / "out" / "page.html"
    result = CliRunner().invoke(app, [*arguments, str(output), *options])
    assert result.exit_code == status, result.output
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]
    return output.read_text(encoding="utf-8"), " ".join(result.output.split())


def test_without_a_pipeline_the_entities_of_the_file_are_shown(tmp_path):
    html, _ = render(tmp_path, "-")
    assert html.count("<article") == 3
    assert html.count("<mark") == 2
    assert html.count("data:image/jpeg;base64,") == 1


def test_unusable_rows_are_named_and_the_others_are_shown(tmp_path):
    _, printed = render(tmp_path, "-")
    assert "posts.jsonl:3: entity 0-3 'a c' cuts through a token" in printed
    assert "1 row cannot be used and was left out" in printed


def test_pictures_are_read_only_from_the_folder_of_the_posts(tmp_path):
    html, _ = render(tmp_path, "-")
    assert "outside.png: it lies outside the picture folder" in html


def test_another_folder_of_pictures_can_be_named(tmp_path):
    html, _ = render(tmp_path, "-", "--image-root", str(tmp_path))
    assert "a.png: No such file or directory" in html


def test_an_unreadable_picture_ends_no_run(tmp_path, trained):
    """Even for a pipeline with `on_missing_image = "error"`, such as this one."""
    html, _ = render(tmp_path, trained)
    assert html.count("<article") == 4
    assert "outside.png: it lies outside the picture folder" in html


def test_pictures_that_cannot_be_read_are_counted_and_the_first_is_named(tmp_path):
    _, printed = render(tmp_path, "-")
    (warning,) = re.findall(r"\[MSVSE-W045\].*?image-root", printed)
    assert "posts.jsonl' that cannot be read: 1." in warning
    assert "The first: outside.png: it lies outside the picture folder" in warning


@pytest.mark.filterwarnings("ignore:.*MSVSE-W001")
@pytest.mark.parametrize("given", [True, False])
def test_keys_that_are_not_read_are_named(tmp_path, trained, given):
    rows = [{"text": "saw jordan", "image_path": "a.png", "label": "PER"}] * 2
    srsly.write_jsonl(tmp_path / "posts.jsonl", rows)
    arguments = ["-" if given else trained, tmp_path / "posts.jsonl", tmp_path / "out.html"]
    result = CliRunner().invoke(app, ["msvse", "render", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    warnings = re.findall("MSVSE-W020.*", result.stderr)
    assert "a picture are not read: 'image_path' (2 posts)" in " ".join(warnings)
    # A pipeline needs no annotation.
    assert ("annotation are not read: 'label' (2 posts)" in " ".join(warnings)) == given
    assert len(warnings) == 1 + given


def test_the_page_has_both_labels_and_both_confidences_unless_declined(tmp_path, trained):
    html, _ = render(tmp_path, trained)
    text = " ".join(Markup(html).text.split())
    assert "With and without picture, tags and caption" in text
    assert re.search(r"Words With Without jordan PER \d+% (PER|LOC|ORG) \d+%", text)
    (tmp_path / "again").mkdir()
    html, _ = render(tmp_path / "again", trained, "--no-effects")
    assert "jordan" in html
    assert "With and without" not in html


def test_a_failed_run_leaves_the_folder_unchanged(tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        yield "half a page"
        raise OSError("the disk is full")

    monkeypatch.setattr(spacy_msvse.display.page, "stream", fail)
    posts, output = tmp_path / "posts.jsonl", tmp_path / "out" / "page.html"
    srsly.write_jsonl(posts, ROWS)
    result = CliRunner().invoke(app, ["msvse", "render", "-", str(posts), str(output)])
    assert str(result.exception) == "the disk is full"
    assert not list(output.parent.iterdir())


def test_the_entities_of_a_pipeline_replace_those_of_the_file(tmp_path):
    spacy.util.fix_random_seed(0)
    nlp = tiny_pipeline(save_encoder(tmp_path / "encoder"), on_missing_image="ignore")
    doc = make_doc(nlp, "saw jordan", image=picture("PER"))
    nlp.initialize(lambda: [Example.from_dict(doc, {"entities": [(4, 10, "ORG")]})])
    nlp.to_disk(tmp_path / "pipeline")
    html, _ = render(tmp_path, tmp_path / "pipeline")
    assert "<small>used</small>" in html
    # Unlike the file, the pipeline knows one type.
    text = Markup(html).text
    assert "ORG" in text
    assert "PER" not in text
    assert "LOC" not in text


def test_gold_entities_are_shown_beside_the_predicted_ones(tmp_path, trained):
    html, printed = render(tmp_path, trained, "--gold")
    text = " ".join(Markup(html).text.split())
    assert html.count(">Gold</h3>") == 3
    assert "Gold saw jordan PER All entities are right." in text
    assert "Gold This post is not annotated." in text
    assert "go #NYC LOC missed gold #NYC LOC" in text
    # Unlike without --gold, the entities of each row must fit its text.
    assert "posts.jsonl:3: entity 0-3 'a c' cuts through a token" in printed


def test_gold_needs_a_pipeline_to_compare(tmp_path):
    srsly.write_jsonl(tmp_path / "posts.jsonl", ROWS)
    arguments = ["msvse", "render", "-", str(tmp_path / "posts.jsonl"), str(tmp_path / "p.html")]
    result = CliRunner().invoke(app, [*arguments, "--gold"])
    assert result.exit_code == 1
    assert "MSVSE-E265" in " ".join(result.output.split())
    assert not (tmp_path / "p.html").exists()
