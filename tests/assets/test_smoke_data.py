"""The smoke posts have the format and the peculiarities of the Twitter sets."""

from pathlib import Path

import pytest
import spacy
from weasel.util.config import load_project_config
from weasel.util.hashing import get_checksum

from spacy_msvse.corpus.audit import audit
from spacy_msvse.corpus.convert import convert

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "assets" / "smoke"
PICTURES = ROOT / "assets" / "synthetic" / "pictures"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Conversion reports and converted files, by split."""
    folder = tmp_path_factory.mktemp("smoke")
    reports = {
        split: convert(
            FOLDER / f"{split}.txt",
            folder / f"{split}.spacy",
            format="conll",
            image_root=PICTURES,
            captions=FOLDER / "captions.txt",
            tags=FOLDER / "tags.json",
            label_map={"OTHER": "MISC"},
        )
        for split in ("train", "valid", "test")
    }
    return reports, {split: folder / f"{split}.spacy" for split in reports}


def test_the_posts_convert(converted):
    reports, _ = converted
    assert [report.posts for report in reports.values()] == [8, 4, 4]
    assert [report.pictures_found for report in reports.values()] == [7, 4, 4]
    assert not any(report.bad_rows for report in reports.values())
    assert all(
        set(report.entities_per_label) == {"PER", "LOC", "ORG", "MISC"}
        for report in reports.values()
    )


def test_the_posts_have_the_peculiarities_of_the_real_sets(converted):
    reports, _ = converted
    assert sum(report.stray_starts for report in reports.values()) == 2
    assert reports["train"].posts_without_entity == 1
    assert reports["train"].captions_used < reports["train"].posts
    text = (FOLDER / "train.txt").read_text(encoding="utf8")
    assert "\n\u200b\tO\n" in text
    assert not text.endswith("\n\n")


def test_splits_share_no_post(converted):
    _, paths = converted
    found = audit(paths, spacy.blank("en"), image_root=PICTURES)
    assert not any(leak.posts.count for leak in found.leaks)


def checksums(dataset: str) -> dict[str, str]:
    """Checksums of the files of a dataset, as project.yml states them."""
    assets = load_project_config(ROOT)["assets"]
    return {
        Path(asset["dest"]).name: asset["checksum"]
        for asset in assets
        if "checksum" in asset and Path(asset["dest"]).parent.name == dataset
    }


def test_the_project_has_the_checksums_of_the_smoke_posts():
    known = checksums("smoke")
    assert known == {name: get_checksum(FOLDER / name) for name in known}
    assert set(known) == {"train.txt", "valid.txt", "test.txt"}


def test_the_project_has_the_checksums_of_twitter2015(twitter2015):
    known = checksums("twitter2015")
    assert known == {name: get_checksum(twitter2015 / name) for name in known}
    assert set(known) == {"train.txt", "valid.txt", "test.txt"}
