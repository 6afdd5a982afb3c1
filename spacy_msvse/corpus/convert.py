"""Convert files of posts into `.spacy` files for training."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import spacy
import srsly
from spacy.tokens import Doc, DocBin
from tqdm import tqdm

from ..errors import Errors, MsvseError
from ..util import hash_files, replaced_when_done
from .boxes import read_boxes
from .conll import read_conll
from .descriptions import find_description, read_captions, read_tags
from .jsonl import read_jsonl
from .post import PostRow
from .rows import BadRow, BadRowsError

Format = Literal["conll", "jsonl"]

FORMATS: tuple[str, ...] = get_args(Format)


@dataclass
class ConversionReport:
    """Counts of a conversion.

    Several annotations of the same posts have the same name, and scores on different ones cannot
    be compared. The hash of the source and the label map identify the annotation.

    Attributes:
        source (str): The name of the converted file.
        source_sha256 (str): The SHA-256 hash of its bytes.
        label_map (dict[str, str]): The labels that were renamed.
        format (str): The format of the source.
        posts (int): Posts written.
        tokens (int): Tokens written.
        entities (int): Entities written.
        entities_per_label (dict[str, int]): Entities by label.
        posts_without_entity (int): Posts without an entity.
        stray_starts (int): Entities that begin with `I-` in the source, where `B-` is expected.
        pictures_referenced (int): Posts with a picture, as a path or as bytes.
        pictures_found (int): Posts whose picture is in the picture folder; None if there was no
            folder.
        pictures_left_out (int): Further pictures of posts with several.
        boxes_used (int): Posts with boxes drawn in their picture.
        captions_used (int): Posts with a caption.
        tags_used (int): Posts with tags.
        bad_rows (list[BadRow]): Rows that were left out.
    """

    source: str
    source_sha256: str
    label_map: dict[str, str]
    format: str
    posts: int = 0
    tokens: int = 0
    entities: int = 0
    entities_per_label: Counter[str] = field(default_factory=Counter)
    posts_without_entity: int = 0
    stray_starts: int = 0
    pictures_referenced: int = 0
    pictures_found: int | None = None
    pictures_left_out: int = 0
    boxes_used: int = 0
    captions_used: int = 0
    tags_used: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)

    def count(self, post: PostRow, doc: Doc, picture_found: bool | None) -> None:
        """Add a post to the counts.

        Args:
            post (PostRow): The post as it was read.
            doc (Doc): The post as it is written.
            picture_found (bool): Whether its picture exists; None if that was not checked.
        """
        self.posts += 1
        self.tokens += len(doc)
        self.entities += len(doc.ents)
        self.entities_per_label.update(ent.label_ for ent in doc.ents)
        self.posts_without_entity += not doc.ents
        self.stray_starts += post.stray_starts
        self.pictures_referenced += doc._.image is not None
        if picture_found is not None:
            self.pictures_found = (self.pictures_found or 0) + picture_found
        self.pictures_left_out += post.pictures_left_out
        self.boxes_used += bool(post.meta.get("boxes"))
        self.captions_used += doc._.image_caption is not None
        self.tags_used += doc._.image_tags is not None

    def to_json(self) -> dict[str, Any]:
        """Make the report JSON-safe.

        Returns:
            dict: The report.
        """
        rows = [f"{row.path.name}:{row.line}: {row.reason}" for row in self.bad_rows]
        labels = dict(sorted(self.entities_per_label.items()))
        return {**vars(self), "entities_per_label": labels, "bad_rows": rows}


def convert(
    input_path: str | Path,
    output_path: str | Path,
    *,
    format: Format,
    image_root: str | Path | None = None,
    image_suffix: str = ".jpg",
    label_column: int | None = None,
    captions: str | Path | None = None,
    tags: str | Path | None = None,
    boxes: str | Path | None = None,
    label_map: Mapping[str, str] | None = None,
    language: str = "en",
    skip_bad_rows: bool = False,
    progress: bool = False,
) -> ConversionReport:
    """Convert a file of posts into a `.spacy` file, and write a report beside it.

    Both files are written completely, or none of them.

    Args:
        input_path (str / Path): The file of posts.
        output_path (str / Path): The `.spacy` file to write. The report has the same name with
            `.json` at its end.
        format (str): "conll" or "jsonl".
        image_root (str / Path): The folder of the pictures: to count the pictures that exist, and
            to find the pictures of `WID:` lines. Paths stay relative to it.
        image_suffix (str): For CoNLL files, the ending that turns the id of a picture into its file
            name.
        label_column (int): For CoNLL files, the column of the label, from 1; None for the last.
        captions (str / Path): A file with captions of the pictures.
        tags (str / Path): A file with tags of the pictures.
        boxes (str / Path): A folder with boxes in the XML format of Pascal VOC. They are added to
            the `meta` of their posts, under "boxes".
        label_map (Mapping[str, str]): Labels to rename.
        language (str): The language whose tokenizer and stop words to use.
        skip_bad_rows (bool): Whether to leave out rows that cannot be used, instead of failing.
        progress (bool): Whether to show a progress bar.

    Returns:
        ConversionReport: The counts.

    Raises:
        BadRowsError: If there are rows that cannot be used; its `bad_rows` lists all of them.
        MsvseError: If a setting is wrong or a file does not exist (MSVSE-E031, E033, E036).
    """
    input_path, output_path = Path(input_path), Path(output_path)
    if format not in FORMATS:
        raise MsvseError(Errors.E031.format(format=format, formats=", ".join(FORMATS)))
    if output_path.suffix != ".spacy":
        raise MsvseError(Errors.E036.format(path=output_path))
    for path in (input_path, image_root, captions, tags, boxes):
        if path is not None and not Path(path).exists():
            raise MsvseError(Errors.E033.format(path=path))

    nlp = spacy.blank(language)
    label_map = dict(label_map or {})
    report = ConversionReport(input_path.name, hash_files([input_path]), label_map, format)
    bad_rows = report.bad_rows
    captions_by_picture = read_captions(Path(captions), bad_rows) if captions else {}
    tags_by_picture = read_tags(Path(tags), nlp, bad_rows) if tags else {}

    read = (
        partial(
            read_conll, image_root=image_root, image_suffix=image_suffix, label_column=label_column
        )
        if format == "conll"
        else read_jsonl
    )
    doc_bin = DocBin(store_user_data=True)
    posts = read(input_path, bad_rows)
    for post in tqdm(posts, desc=input_path.name, unit=" posts", disable=not progress):
        # A row's own description has priority over the files for all pictures.
        post.caption = post.caption or find_description(captions_by_picture, post.image)
        post.tags = post.tags or find_description(tags_by_picture, post.image)
        try:
            if boxes and isinstance(post.image, str):
                drawn = read_boxes(Path(boxes), post.image, bad_rows)
                post.meta |= {"boxes": drawn} if drawn else {}
            doc = post.to_doc(nlp, label_map)
            picture_found = _find_picture(post, image_root)
        except ValueError as error:
            bad_rows.append(BadRow(post.path, post.line, str(error).rstrip(".")))
            continue
        doc_bin.add(doc)
        report.count(post, doc, picture_found)

    if bad_rows and not skip_bad_rows:
        raise BadRowsError(input_path, bad_rows)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replaced_when_done(output_path) as docs_file,
        replaced_when_done(Path(f"{output_path}.json")) as report_file,
    ):
        doc_bin.to_disk(docs_file)
        srsly.write_json(report_file, report.to_json())
    return report


def _find_picture(post: PostRow, image_root: str | Path | None) -> bool | None:
    if image_root is None:
        return None
    if isinstance(post.image, str):
        from ..vision.picture import resolve_picture_path

        return resolve_picture_path(post.image, image_root).is_file()
    return post.image is not None
