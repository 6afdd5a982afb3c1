"""Generate the synthetic data: three JSONL files and their pictures.

    python assets/synthetic/generate.py [--out assets/synthetic] [--seed 0] [--several]

The same seed and the same Pillow give the same bytes. With `--several`, each marked post has two
pictures. The first one is abstract, and only the second one decides.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from random import Random
from typing import Any

from backgrounds import BACKGROUNDS, TEXTURES
from drawing import draw_subject, draw_texture
from PIL import Image
from posts import Post, marked_posts, other_posts
from subjects import SPLITS, TEMPLATES

JPEG_QUALITY = 66

Row = dict[str, Any]


def make_rows(split: str, seed: int) -> list[Row]:
    """The rows of a split in their final order, each with the name of its picture."""
    rng = Random(f"{seed} {split}")
    rows = marked_rows(split, rng) + other_rows(split, rng)
    rng.shuffle(rows)
    for number, row in enumerate(rows):
        row["meta"]["id"] = f"{split}-{number:04d}"
        if row["meta"]["picture_template"] is not None:
            row["image"] = f"{split}-{number:04d}.jpg"
    return [in_order(row) for row in rows]


def marked_rows(split: str, rng: Random) -> list[Row]:
    """Rows that differ only in the picture: one text, one background, a subject for each type."""
    groups = marked_posts(split, rng)
    backgrounds = cycle(BACKGROUNDS[split], len(groups), rng)
    rows = []
    templates = {
        label: cycle(TEMPLATES[label, split], len(groups), rng)
        for label in sorted({post.spans[0].label for post in groups[0]})
    }
    for number, group in enumerate(groups):
        for post in group:
            template = templates[post.spans[0].label][number]
            rows.append(post_row(post, template, backgrounds[number]))
    return rows


def other_rows(split: str, rng: Random) -> list[Row]:
    """Rows whose text decides. Every second one has a picture without information."""
    posts = other_posts(split, rng)
    rng.shuffle(posts)
    textures = cycle(TEXTURES[split], len(posts), rng)
    return [
        post_row(post, textures[number] if number % 2 else None, None)
        for number, post in enumerate(posts)
    ]


def cycle(table: dict[str, Any], count: int, rng: Random) -> list[str]:
    """`count` names of a table in random order, each about equally often."""
    names = sorted(table)
    drawn = [names[number % len(names)] for number in range(count)]
    rng.shuffle(drawn)
    return drawn


def post_row(post: Post, picture_template: str | None, background: str | None) -> Row:
    """A post as a row, without its number and the name of its picture."""
    return {
        "text": post.text,
        "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in post.spans],
        "meta": {
            "picture_decides": post.picture_decides,
            "names": list(post.names),
            "sentence": post.sentence,
            "picture_template": picture_template,
            "background": background,
        },
    }


def in_order(row: Row) -> Row:
    """The row with its keys in a fixed order."""
    return {key: row[key] for key in ("text", "image", "images", "spans", "meta") if key in row}


def with_abstract_picture(row: Row) -> Row:
    """A row whose marked post has an abstract picture before the picture that decides."""
    if not row["meta"]["picture_decides"]:
        return row
    second = row["image"]
    first = f"{row['meta']['id']}-abstract.jpg"
    return in_order({**row, "image": first, "images": [first, second]})


def draw_abstract_picture(row: Row, seed: int) -> Image.Image:
    """The first picture of a row with two. It does not depend on the type."""
    split = row["meta"]["id"].split("-")[0]
    rng = Random(f"{seed} abstract {row['meta']['id']}")
    return draw_texture(split, rng.choice(sorted(TEXTURES[split])), rng)


def draw_picture(row: Row, seed: int) -> Image.Image:
    """The picture of a row. The row must have one."""
    meta = row["meta"]
    split = meta["id"].split("-")[0]
    rng = Random(f"{seed} picture {meta['id']}")
    if not meta["picture_decides"]:
        return draw_texture(split, meta["picture_template"], rng)
    label = row["spans"][0]["label"]
    return draw_subject(split, label, meta["picture_template"], meta["background"], rng)


def jpeg(picture: Image.Image) -> bytes:
    """The picture, encoded as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def jsonl(rows: list[Row]) -> str:
    """The rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_data_set(out: Path, seed: int, several: bool = False) -> None:
    """Write all files of the data set. Files of an earlier run are replaced."""
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        for old in pictures.glob(f"{split}-*.jpg"):
            old.unlink()
        rows = make_rows(split, seed)
        if several:
            rows = [with_abstract_picture(row) for row in rows]
        (out / f"{split}.jsonl").write_bytes(jsonl(rows).encode("utf-8"))
        for row in rows:
            if "image" in row:
                *first, last = row.get("images", [row["image"]])
                (pictures / last).write_bytes(jpeg(draw_picture(row, seed)))
                for name in first:
                    (pictures / name).write_bytes(jpeg(draw_abstract_picture(row, seed)))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Generate the synthetic data.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--several", action="store_true")
    arguments = parser.parse_args()
    write_data_set(arguments.out, arguments.seed, arguments.several)


if __name__ == "__main__":
    main()
