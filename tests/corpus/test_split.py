"""Posts are divided so that no text and no picture is in two parts."""

import json
from collections import Counter
from itertools import combinations

import pytest
from PIL import Image

from spacy_msvse.corpus.formats.table import open_posts
from spacy_msvse.corpus.rows import BadRowsError
from spacy_msvse.corpus.split import Part, split
from spacy_msvse.errors import MsvseError

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}


@pytest.fixture
def divide(tmp_path):
    """Divide rows into files, and read the files: the split, and the rows by part."""

    def divide(rows, shares=None, suffix=".jsonl", **settings):
        shares = shares or SHARES
        path = tmp_path / "posts.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        parts = [Part(tmp_path / "parts" / f"{name}{suffix}", one) for name, one in shares.items()]
        settings = {"image_root": tmp_path, **settings}
        done = split(lambda: open_posts(path).rows, parts, source=path, **settings)
        read = [[row.values for row in open_posts(part.path).rows] for part in parts]
        return done, dict(zip(shares, read, strict=True))

    return divide


def make_rows(count=200):
    return [{"text": f"post number {n}", "id": n, "spans": []} for n in range(count)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_every_row_is_in_one_part_unchanged_and_in_order(divide, suffix):
    rows = make_rows()
    done, parts = divide(rows, suffix=suffix)
    assert [len(part) for part in parts.values()] == [160, 20, 20]
    assert [part.posts for part in done.parts] == [160, 20, 20]
    found = [row for part in parts.values() for row in part]
    assert sorted(found, key=lambda row: row["id"]) == rows
    for part in parts.values():
        assert [row["id"] for row in part] == sorted(row["id"] for row in part)


def test_equal_texts_are_in_one_part(divide):
    rows = []
    for n in range(40):
        rows += [
            {"text": f"Post number {n} https://t.co/{n}"},
            {"text": f"post  NUMBER {n}"},
            {"words": ["post", "number", str(n)]},
        ]
    _, parts = divide(rows)
    assert sum(map(len, parts.values())) == 120
    numbers = [
        {(row.get("text") or row["words"][2]).split()[-1] for row in part if "words" in row}
        for part in parts.values()
    ]
    assert all(not left & right for left, right in combinations(numbers, 2))
    assert [len(part) % 3 for part in parts.values()] == [0, 0, 0]


def test_pictures_of_equal_content_are_in_one_part(divide, tmp_path):
    rows = []
    for n in range(30):
        for copy in "ab":
            Image.new("RGB", (2, 2), (n, 0, 0)).save(tmp_path / f"{n}{copy}.png")
            rows.append({"text": f"text {n}{copy}", "image": f"{n}{copy}.png"})
    _, parts = divide(rows)
    names = [{row["image"][:-5] for row in part} for part in parts.values()]
    assert all(names)
    assert all(not left & right for left, right in combinations(names, 2))


def test_posts_that_share_any_of_several_pictures_are_in_one_part(divide):
    """The second picture of a post is the first of another one."""
    rows = []
    for n in range(40):
        rows.append({"text": f"text {n}a", "images": [f"{n}a.png", f"{n}b.png"]})
        other = {"text": f"text {n}b", "image": f"{n}b.png"}
        rows.append({**other, "answer": "reject"} if n % 2 else other)
    _, parts = divide(rows)
    names = [
        {name for row in part for name in row.get("images", [row.get("image")])}
        for part in parts.values()
    ]
    assert all(names)
    assert all(not left & right for left, right in combinations(names, 2))


def test_pictures_that_are_missing_are_known_by_their_names(divide):
    rows = [{"text": f"text {n}", "image": f"{n // 2}.png"} for n in range(60)]
    _, parts = divide(rows)
    names = [{row["image"] for row in part} for part in parts.values()]
    assert all(not left & right for left, right in combinations(names, 2))


def test_each_picture_of_a_post_with_several_counts(divide):
    rows = []
    for n in range(30):
        rows.append({"text": f"text {n}a", "images": [f"first {n}.png", f"shared {n}.png"]})
        rows.append({"text": f"text {n}b", "image": f"shared {n}.png"})
        rejected = {"text": f"text {n}c", "images": [f"third {n}.png", f"shared {n}.png"]}
        rows.append({**rejected, "answer": "reject", "spans": "whatever"})
    _, parts = divide(rows)
    numbers = [{row["text"][:-1] for row in part} for part in parts.values()]
    assert all(numbers)
    assert all(not left & right for left, right in combinations(numbers, 2))


def test_posts_that_share_through_others_are_in_one_part(divide):
    rows = [{"text": f"text {n // 2}", "image": f"{(n + 1) // 2}.png"} for n in range(20)]
    rows += make_rows(180)
    done, parts = divide(rows)
    assert done.largest == 20
    assert done.groups == 181
    chained = [sum("image" in row for row in part) for part in parts.values()]
    assert sorted(chained) == [0, 0, 20]


def test_a_seed_gives_the_same_split_again_and_another_seed_another(divide):
    first = divide(make_rows(), seed=1)[1]
    assert divide(make_rows(), seed=1)[1] == first
    assert divide(make_rows(), seed=2)[1] != first


@pytest.mark.parametrize("count", [3, 4, 10])
def test_few_posts_leave_no_part_empty(divide, count):
    _, parts = divide(make_rows(count))
    assert all(parts.values())


def test_a_part_that_would_be_empty_is_an_error(divide, tmp_path):
    rows = [{"text": "same"}] * 50 + [{"text": "other"}]
    with pytest.raises(MsvseError, match=r"MSVSE-E249.*2 groups"):
        divide(rows)
    assert not (tmp_path / "parts").exists() or not list((tmp_path / "parts").iterdir())


def test_rows_that_cannot_be_used_fail_or_are_left_out(divide):
    rows = [*make_rows(20), {"text": 3}, {"text": "a", "spans": [{"start": 0}]}]
    with pytest.raises(BadRowsError) as error:
        divide(rows)
    assert [row.line for row in error.value.bad_rows] == [21, 22]
    done, parts = divide(rows, skip_bad_rows=True)
    assert len(done.bad_rows) == 2
    assert sum(map(len, parts.values())) == 20
    assert done.posts == 20


def test_rejected_rows_stay(divide):
    rows = [*make_rows(20), {"text": "a", "spans": "whatever", "answer": "reject"}]
    _, parts = divide(rows)
    answers = Counter(row.get("answer") for part in parts.values() for row in part)
    assert answers == {None: 20, "reject": 1}


def test_no_posts_are_an_error(divide):
    with pytest.raises(MsvseError, match="MSVSE-E154"):
        divide([])


def test_a_picture_under_a_key_that_is_not_read_is_named(divide):
    rows = [{**row, "photo": "same.jpg"} for row in make_rows(20)]
    done, _ = divide(rows)
    assert done.unread == {"photo": 20}
