"""The synthetic data: only the picture decides the type in marked posts."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import spacy
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDER = Path(__file__).parents[2] / "assets" / "synthetic"
PICTURES = FOLDER / "pictures"
SPLITS = ("train", "dev", "test")
LABELS = ("PER", "LOC", "ORG", "MISC")
CHANCE = 1 / len(LABELS)

Row = dict[str, Any]


def read_rows(split: str) -> list[Row]:
    lines = (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


ROWS = {split: read_rows(split) for split in SPLITS}


def marked(split: str) -> list[Row]:
    return [row for row in ROWS[split] if row["meta"]["picture_decides"]]


def others(split: str) -> list[Row]:
    return [row for row in ROWS[split] if not row["meta"]["picture_decides"]]


def label_of(row: Row) -> str:
    (span,) = row["spans"]
    return span["label"]


def pictures(split: str) -> list[Path]:
    return [PICTURES / row["image"] for row in ROWS[split] if "image" in row]


def used(split: str, key: str) -> set[str]:
    """All values of one field of `meta`, without null."""
    return {row["meta"][key] for row in ROWS[split]} - {None}


def pixels(jpeg: bytes) -> np.ndarray:
    """The pixels of a picture file, of shape (height, width, 3), from 0 to 1."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=float) / 255


def stored_pixels(row: Row) -> np.ndarray:
    return pixels((PICTURES / row["image"]).read_bytes())


def mean_colours(row: Row) -> np.ndarray:
    """The mean colours of the picture on a grid of 8 by 8."""
    picture = stored_pixels(row)
    high, wide = picture.shape[0] // 8, picture.shape[1] // 8
    return picture.reshape(8, high, 8, wide, 3).mean(axis=(1, 3)).ravel()


def corner_colours(row: Row) -> np.ndarray:
    """The colours of the four corner pixels."""
    return stored_pixels(row)[[0, 0, -1, -1], [0, -1, 0, -1]].ravel()


def accuracy(classifier: Any, features: Callable[[Row], np.ndarray]) -> float:
    """Accuracy of a classifier, trained on the marked pictures of train, on those of test."""
    train, test = marked("train"), marked("test")
    classifier.fit([features(row) for row in train], [label_of(row) for row in train])
    return float(classifier.score([features(row) for row in test], [label_of(row) for row in test]))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The module of the generator. Its folder is not a package."""
    spec = importlib.util.spec_from_file_location("synthetic_generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def test_ids_are_unique() -> None:
    ids = [row["meta"]["id"] for split in SPLITS for row in ROWS[split]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("split", SPLITS)
def test_spans_match_the_text(split: str) -> None:
    for row in ROWS[split]:
        found = [row["text"][span["start"] : span["end"]] for span in row["spans"]]
        assert found == row["meta"]["names"]
        assert {span["label"] for span in row["spans"]} <= set(LABELS)


def test_spans_end_where_tokens_end() -> None:
    tokenizer = spacy.blank("en").tokenizer
    for split in SPLITS:
        for row in ROWS[split]:
            doc = tokenizer(row["text"])
            for span in row["spans"]:
                assert doc.char_span(span["start"], span["end"]) is not None, row["text"]


def test_the_folder_holds_exactly_the_named_pictures() -> None:
    named = [path for split in SPLITS for path in pictures(split)]
    assert len(named) == len(set(named))
    assert set(named) == set(PICTURES.iterdir())


def test_pictures_stay_within_four_megabytes() -> None:
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) <= 4_000_000


def test_at_least_two_hundred_marked_test_posts() -> None:
    assert len(marked("test")) >= 200


@pytest.mark.parametrize("split", SPLITS)
def test_every_marked_post_has_one_entity_and_a_picture(split: str) -> None:
    for row in marked(split):
        assert len(row["spans"]) == 1
        assert "image" in row


@pytest.mark.parametrize("split", SPLITS)
def test_each_name_occurs_equally_often_with_each_type(split: str) -> None:
    assert_balanced(Counter((row["meta"]["names"][0], label_of(row)) for row in marked(split)))


@pytest.mark.parametrize("split", SPLITS)
def test_each_neutral_sentence_occurs_equally_often_with_each_type(split: str) -> None:
    assert_balanced(Counter((row["meta"]["sentence"], label_of(row)) for row in marked(split)))


@pytest.mark.parametrize("split", SPLITS)
def test_each_marked_text_occurs_equally_often_with_each_type(split: str) -> None:
    assert_balanced(Counter((row["text"], label_of(row)) for row in marked(split)))


@pytest.mark.parametrize("split", SPLITS)
def test_each_background_occurs_equally_often_with_each_type(split: str) -> None:
    assert_balanced(Counter((row["meta"]["background"], label_of(row)) for row in marked(split)))


def assert_balanced(counts: Counter[tuple[str, str]]) -> None:
    """Check that each first member of the pairs occurs equally often with each type."""
    for first in {first for first, _ in counts}:
        assert len({counts[first, label] for label in LABELS}) == 1, first


@pytest.mark.parametrize("other", ["train", "dev"])
def test_names_of_test_are_unseen(other: str) -> None:
    def names(split: str) -> set[str]:
        return {name for row in ROWS[split] for name in row["meta"]["names"]}

    assert names("test")
    assert not names("test") & names(other)
    seen_texts = " ".join(row["text"] for row in ROWS[other])
    assert not [name for name in names("test") if name in seen_texts]


@pytest.mark.parametrize("other", ["train", "dev"])
def test_pictures_of_test_are_unseen(other: str) -> None:
    def digests(split: str) -> set[str]:
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures(split)}

    assert not digests("test") & digests(other)


@pytest.mark.parametrize("key", ["picture_template", "background"])
@pytest.mark.parametrize("other", ["train", "dev"])
def test_picture_templates_and_backgrounds_of_test_are_unseen(other: str, key: str) -> None:
    assert used("test", key)
    assert not used("test", key) & used(other, key)


@pytest.mark.parametrize("split", SPLITS)
def test_a_picture_template_belongs_to_one_type(split: str) -> None:
    by_template = {(row["meta"]["picture_template"], label_of(row)) for row in marked(split)}
    assert len({template for template, _ in by_template}) == len(by_template)
    neutral = {row["meta"]["picture_template"] for row in others(split)}
    assert not neutral & {template for template, _ in by_template}


def test_each_type_has_many_picture_templates(generator: ModuleType) -> None:
    least = {"train": 10, "dev": 3, "test": 3}
    for (label, split), templates in generator.TEMPLATES.items():
        assert len(templates) >= least[split], (label, split)


def test_a_sentence_that_decides_fits_one_type() -> None:
    labels: dict[str, set[tuple[str, ...]]] = {}
    for split in SPLITS:
        for row in others(split):
            kinds = tuple(span["label"] for span in row["spans"])
            labels.setdefault(row["meta"]["sentence"], set()).add(kinds)
    assert all(len(kinds) == 1 for kinds in labels.values())
    neutral = {row["meta"]["sentence"] for split in SPLITS for row in marked(split)}
    assert not neutral & labels.keys()


@pytest.mark.parametrize("split", SPLITS)
def test_half_of_the_other_posts_have_a_picture_and_all_have_at_most_two_entities(
    split: str,
) -> None:
    with_picture = sum("image" in row for row in others(split))
    assert with_picture == len(others(split)) // 2
    assert {len(row["spans"]) for row in others(split)} == {0, 1, 2}


def test_half_of_the_other_test_sentences_are_unseen() -> None:
    unseen = used("test", "sentence") - used("train", "sentence")
    assert sum(row["meta"]["sentence"] in unseen for row in others("test")) >= 80


def test_colours_alone_do_not_decide() -> None:
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000))
    assert accuracy(regression, mean_colours) <= CHANCE + 0.15


def test_corners_alone_do_not_decide() -> None:
    forest = RandomForestClassifier(n_estimators=200, random_state=0)
    assert accuracy(forest, corner_colours) <= CHANCE + 0.15


def test_the_generator_gives_the_same_rows(generator: ModuleType, tmp_path: Path) -> None:
    for split in SPLITS:
        again = tmp_path / f"{split}.jsonl"
        again.write_bytes(generator.jsonl(generator.make_rows(split, seed=0)).encode("utf-8"))
        assert again.read_bytes() == (FOLDER / f"{split}.jsonl").read_bytes()


@pytest.mark.parametrize("split", SPLITS)
def test_the_generator_draws_the_same_pictures(generator: ModuleType, split: str) -> None:
    """Pixels may differ a little: another version of Pillow may resize or encode differently."""
    for row in [row for row in ROWS[split] if "image" in row][:12]:
        drawn = pixels(generator.jpeg(generator.draw_picture(row, seed=0)))
        stored = stored_pixels(row)
        assert drawn.shape == stored.shape
        assert np.abs(drawn - stored).mean() < 0.02


def test_another_seed_gives_other_rows(generator: ModuleType) -> None:
    assert generator.make_rows("dev", seed=1) != ROWS["dev"]


def test_with_several_pictures_only_the_second_decides(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = generator.make_rows("dev", 0)
    monkeypatch.setattr(generator, "SPLITS", ("dev",))
    monkeypatch.setattr(generator, "make_rows", lambda split, seed: rows[:12])
    generator.write_data_set(tmp_path, 0, several=True)
    written = [json.loads(line) for line in (tmp_path / "dev.jsonl").read_text().splitlines()]
    for row, one in zip(written, rows[:12], strict=True):
        marks = row["meta"]["picture_decides"]
        assert row.get("images", [])[1:] == ([one["image"]] if marks else [])
        assert row.get("image") == (row["images"][0] if marks else one.get("image"))
        for name in row.get("images", ()):
            pixels((tmp_path / "pictures" / name).read_bytes())
    marked_row = next(row for row in written if "images" in row)
    first, second = ((tmp_path / "pictures" / name).read_bytes() for name in marked_row["images"])
    stored = pixels((PICTURES / marked_row["images"][1]).read_bytes())
    assert np.abs(pixels(second) - stored).mean() < 0.02
    # Its type is not used for the first one.
    other = {**marked_row, "spans": [{**marked_row["spans"][0], "label": "MISC"}]}
    assert generator.jpeg(generator.draw_abstract_picture(other, 0)) == first
