"""Convert files of posts into `.spacy` files for training."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.tokens import Doc, DocBin
from tqdm import tqdm

from ..doc import get_covered_types
from ..errors import Errors, MsvseError, Warnings
from ..util import hash_files, is_lfs_pointer, replaced_when_done, with_slashes, write_whole
from ..values import VIEW_ATTRIBUTES
from ..vision.remote import RemoteListing, RemotePicture, check_remote_folder, is_remote
from .boxes import read_boxes
from .descriptions import Descriptions, read_captions, read_tags
from .formats.options import ReadOptions
from .formats.table import open_posts
from .formats.wikidiverse import find_page, is_free
from .jsonl import CAPTION, OTHER, TAGS, Offsets, list_keys, parse_rows
from .post import PostRow
from .rows import BadRow, BadRowsError, shorten

#: Bytes that the name of a file or folder may have on the usual file systems.
MAX_NAME = 255


@dataclass
class ConversionReport:
    """Counts of a conversion.

    Several annotations of the same posts have the same name, and scores on different ones cannot
    be compared. The hash of the source and the label map identify the annotation.

    Attributes:
        source (str): The name of the converted file.
        source_sha256 (str): The SHA-256 hash of its bytes.
        label_map (dict[str, str]): The labels that were renamed.
        format (str): The container of the source, such as "jsonl" or "conll".
        read_as (str): What the source was read as, in words, such as "doccano in JSONL".
        label_scheme (str): How the source writes labels: "spans", or a scheme such as "IOB2" or
            "BIOES", "types without prefix", "only O". None if no post was read.
        posts (int): Posts written.
        posts_malformed (int): Posts left out because they cannot be read.
        posts_rejected (dict[str, int]): Posts left out because a person has not accepted them, by
            the person's answer.
        tokens (int): Tokens written.
        tokens_left_out (int): Tokens of the source that are context (label X), or empty.
        entities (int): Entities written.
        entities_per_label (dict[str, int]): Entities by label.
        entities_rejected (int): Entities left out because a person has not accepted them.
        posts_without_entity (int): Posts without an entity.
        posts_unannotated (int): Posts without annotation.
        posts_partly_annotated (int): Posts whose labels are missing outside of the entities.
        types_covered (dict[str, int]): Posts whose annotation does not cover all types, by the
            types that it covers.
        stray_starts (int): Entities that begin with `I-`, `M-`, `E-` or `L-` in the source, where
            `B-` is expected.
        posts_with_pictures (int): Posts with a picture.
        posts_with_several_pictures (int): Posts with more than one.
        pictures_referenced (int): Pictures of posts, as paths or as bytes.
        pictures_found (int): Those of them that are in the picture folder or are bytes; None if
            there was no folder.
        pictures_lfs_pointers (int): Pictures that are Git LFS pointers in that folder. They count
            as not found.
        pictures_not_free (int): Pictures left out because they are not of Wikimedia Commons.
        boxes_used (int): Posts with boxes drawn in their picture.
        boxes_left_out (int): Boxes left out because the size of their picture is not known, or
            because the post has other boxes.
        captions_used (int): Posts with a caption.
        tags_used (int): Posts with tags.
        texts_used (dict[str, int]): Posts with a further textual view, by its name.
        unread_keys (dict[str, int]): Posts with a key that is not read and looks like annotation, a
            picture, a caption or tags that the post lacks, by the key.
        other_keys (dict[str, int]): Posts with any other key that is not read, by the key.
        bad_rows (list[BadRow]): Rows that were left out, also those of other files.
    """

    source: str
    source_sha256: str
    label_map: dict[str, str]
    format: str
    read_as: str
    label_scheme: str | None = None
    posts: int = 0
    posts_malformed: int = 0
    posts_rejected: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    tokens_left_out: int = 0
    entities: int = 0
    entities_per_label: Counter[str] = field(default_factory=Counter)
    entities_rejected: int = 0
    posts_without_entity: int = 0
    posts_unannotated: int = 0
    posts_partly_annotated: int = 0
    types_covered: Counter[str] = field(default_factory=Counter)
    stray_starts: int = 0
    posts_with_pictures: int = 0
    posts_with_several_pictures: int = 0
    pictures_referenced: int = 0
    pictures_found: int | None = None
    pictures_lfs_pointers: int = 0
    pictures_not_free: int = 0
    boxes_used: int = 0
    boxes_left_out: int = 0
    captions_used: int = 0
    tags_used: int = 0
    texts_used: Counter[str] = field(default_factory=Counter)
    unread_keys: Counter[str] = field(default_factory=Counter)
    other_keys: Counter[str] = field(default_factory=Counter)
    bad_rows: list[BadRow] = field(default_factory=list)

    def count(self, post: PostRow, doc: Doc, found: Sequence[bool] | None) -> None:
        """Add a post to the counts.

        Args:
            post (PostRow): The post as it was read.
            doc (Doc): The post as it is written.
            found (Sequence[bool]): Whether each of its pictures exists; None if that was not
                checked.
        """
        self.label_scheme = post.scheme
        self.posts += 1
        self.tokens += len(doc)
        self.tokens_left_out += post.tokens_left_out
        self.entities += len(doc.ents)
        self.entities_per_label.update(ent.label_ for ent in doc.ents)
        self.entities_rejected += post.spans_rejected
        self.posts_without_entity += not doc.ents
        self.posts_unannotated += post.entities is None
        self.posts_partly_annotated += post.entities is not None and not post.complete
        if (types := get_covered_types(doc)) is not None:
            self.types_covered[", ".join(types)] += 1
        self.stray_starts += post.stray_starts
        self.pictures_referenced += len(doc._.images)
        self.posts_with_pictures += bool(doc._.images)
        self.posts_with_several_pictures += len(doc._.images) > 1
        if found is not None:
            self.pictures_found = (self.pictures_found or 0) + sum(found)
        self.boxes_used += bool(post.meta.get("boxes"))
        self.boxes_left_out += post.boxes_left_out
        self.captions_used += doc._.image_caption is not None
        self.tags_used += doc._.image_tags is not None
        self.texts_used.update(list(doc._.image_texts or ()))
        for kind, keys in post.unread_keys.items():
            (self.other_keys if kind == OTHER else self.unread_keys).update(keys)

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
    format: str | None = None,
    labels: Mapping[int, str] | None = None,
    image_root: str | Path | None = None,
    image_suffix: str = ".jpg",
    token_column: int = 1,
    label_column: int | None = None,
    offsets: Offsets = "characters",
    binary: bool = False,
    captions: str | Path | None = None,
    tags: str | Path | None = None,
    texts: Mapping[str, str | Path] | None = None,
    boxes: str | Path | None = None,
    label_map: Mapping[str, str] | None = None,
    covers: Sequence[str] | None = None,
    slice: str | None = None,
    commons_only: bool = False,
    language: str = "en",
    skip_bad_rows: bool = False,
    allow_no_entities: bool = False,
    allow_no_pictures: bool = False,
    progress: bool = False,
) -> ConversionReport:
    """Convert a file of posts into a `.spacy` file, and write a report beside it.

    Both files are written completely, or none of them.

    Args:
        input_path (str / Path): The file or folder of posts.
        output_path (str / Path): The `.spacy` file to write. The report has the same name with
            `.json` at its end.
        format (str): A container or a shape, one of `formats.table.FORMATS`. None recognises both.
        labels (Mapping): For labels that are numbers, the label of each number.
        image_root (str / Path): The folder of the pictures: to count the pictures that exist, and
            to find the pictures of `WID:` lines. Paths stay relative to it.
        image_suffix (str): For CoNLL files, the ending that turns the id of a picture into its file
            name.
        token_column (int): For CoNLL files, the column of the token, from 1.
        label_column (int): For CoNLL files, the column of the label, from 1; None for the last.
        offsets (str): For spans, what the offsets of spans count: "characters", "utf16" units
            as in JavaScript, or bytes in "utf8".
        binary (bool): Whether a row is an answer to a single span, as in Prodigy's
            interface "ner". The labels of all other tokens are then missing.
        captions (str / Path): A file with captions of the pictures.
        tags (str / Path): A file with tags of the pictures.
        texts (Mapping): The name of a further textual view, such as "knowledge", to a file with its
            texts, in the form of captions.
        boxes (str / Path): A folder with boxes in the XML format of Pascal VOC. They are added to
            the `meta` of their posts, under "boxes".
        label_map (Mapping[str, str]): Labels to rename.
        covers (Sequence[str]): The entity types, renamed, that the annotation covers. A post whose
            `meta` has "types" keeps its own. None for all types.
        slice (str): A name that all posts get in their `meta`, so that they have scores of their
            own beside the posts of other files.
        commons_only (bool): Leave out pictures that are not of Wikimedia Commons, by "source" in
            the `meta` of their posts, and list the others with their sources in a file beside the
            output, whose name ends with .SOURCES.tsv.
        language (str): The language whose tokenizer and stop words to use.
        skip_bad_rows (bool): Whether to leave out posts that cannot be used, instead of failing.
        allow_no_entities (bool): Whether to accept that no post has an entity.
        allow_no_pictures (bool): Write the file also if no post has a picture, or if none is in
            the picture folder.
        progress (bool): Whether to show a progress bar.

    Returns:
        ConversionReport: The counts.

    Raises:
        BadRowsError: If there are rows that cannot be used; its `bad_rows` lists all of them.
        MsvseError: If a setting is wrong (MSVSE-E031, E036, E081, E138, E244, E253), a file does
            not exist or holds something else (MSVSE-E033, E130 to E133, E140, E243, E248, E254), or
            there would be no post (MSVSE-E134), no entity (MSVSE-E135), no picture (MSVSE-E137), or
            no post that a file of descriptions fits (MSVSE-E136).
    """
    input_path, output_path = Path(input_path), Path(output_path)
    if output_path.suffix != ".spacy":
        raise MsvseError(Errors.E036.format(path=output_path))
    texts = dict(texts or {})
    for view in texts:
        if view in VIEW_ATTRIBUTES:
            raise MsvseError(Errors.E206.format(view=view))
    if is_remote(image_root):
        check_remote_folder(image_root)
    elif image_root is not None and not Path(image_root).exists():
        raise MsvseError(Errors.E033.format(path=image_root))
    for path in (input_path, captions, tags, boxes, *texts.values()):
        if path is not None and not Path(path).exists():
            raise MsvseError(Errors.E033.format(path=path))
    options = ReadOptions(
        format=format,
        labels=labels,
        image_root=image_root,
        image_suffix=image_suffix,
        token_column=token_column,
        label_column=label_column,
    )
    source = open_posts(input_path, options)

    nlp = spacy.blank(language)
    label_map = dict(label_map or {})
    files = sorted(input_path.iterdir()) if input_path.is_dir() else [input_path]
    digest = hash_files(file for file in files if file.is_file())
    name = input_path.resolve().name
    report = ConversionReport(name, digest, label_map, source.container, source.title)
    bad_rows = report.bad_rows
    listing = RemoteListing()
    described = [
        _Sidecar(path, values)
        for path, values in (
            (captions, read_captions(Path(captions), bad_rows) if captions else {}),
            (tags, read_tags(Path(tags), nlp, bad_rows) if tags else {}),
        )
    ]
    further = {
        view: _Sidecar(path, read_captions(Path(path), bad_rows, view, (view, "text")))
        for view, path in texts.items()
    }
    box_folder = _Sidecar(boxes, {})
    posts = parse_rows(
        source.rows, bad_rows, rejected=report.posts_rejected, offsets=offsets, binary=binary
    )
    doc_bin = DocBin(store_user_data=True)
    notes = _Notes(input_path, report, label_map)
    sources = list[tuple[str, str, str]]()
    for post in tqdm(posts, desc=input_path.name, unit=" posts", disable=not progress):
        caption, tag_list = (sidecar.find(post.images) for sidecar in described)
        # A row's own description has priority over the files for all pictures.
        post.caption = post.caption or caption
        post.tags = post.tags or tag_list
        found = {view: text for view, one in further.items() if (text := one.find(post.images))}
        post.texts = {**found, **(post.texts or {})} or None
        for kind, given in ((CAPTION, caption), (TAGS, tag_list)):
            if given:
                post.unread_keys.pop(kind, None)
        try:
            if commons_only:
                sources += _keep_free_pictures(post, report)
            if boxes:
                drawn = _read_all_boxes(Path(boxes), post.images, bad_rows, box_folder)
                post.meta |= {"boxes": drawn} if drawn else {}
            if slice is not None:
                post.meta[slice] = True
            if covers is not None:
                post.meta.setdefault("types", [*covers])
            doc = post.to_doc(nlp, label_map)
            _check_covered(doc)
            found_pictures = [
                _find_picture(one, image_root, report, listing) for one in post.images
            ]
        except ValueError as error:
            bad_rows.append(BadRow(post.path, post.line, str(error).rstrip(".")))
            continue
        doc_bin.add(doc)
        report.count(post, doc, found_pictures if image_root is not None else None)
        notes.add(post)

    report.posts_malformed = sum(input_path in (row.path, row.path.parent) for row in bad_rows)
    if bad_rows and not skip_bad_rows:
        raise BadRowsError(bad_rows)
    if not report.posts:
        rejected_count = report.posts_rejected.total()
        counts = {"malformed": report.posts_malformed, "rejected": rejected_count}
        raise MsvseError(Errors.E134.format(path=input_path, **counts))
    for sidecar in (*described, *further.values(), box_folder):
        sidecar.check()
    notes.check(allow_no_entities=allow_no_entities, allow_no_pictures=allow_no_pictures)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replaced_when_done(output_path) as docs_file,
        replaced_when_done(Path(f"{output_path}.json")) as report_file,
    ):
        doc_bin.to_disk(docs_file)
        srsly.write_json(report_file, report.to_json())
        if commons_only:
            lines = ("\t".join(row) + "\n" for row in [("file", "source", "page"), *sources])
            listed = output_path.with_suffix(".SOURCES.tsv")
            write_whole(listed, "".join(lines).encode("utf-8"))
    return report


class _Sidecar:
    """A file of descriptions beside the posts, and whether it describes the picture of a post."""

    def __init__(self, path: str | Path | None, values: Mapping[str, Any]) -> None:
        self.path = path
        self.descriptions = Descriptions(values)
        self.pictures: list[str] = []
        self.fits = False

    def find(self, pictures: Sequence[str | bytes]) -> Any:
        """The captions of the pictures in order as one text, or their tags without repeats."""
        found = []
        for picture in pictures:
            one = self.descriptions.find(picture)
            if one is not None:
                found.append(one)
            if isinstance(picture, str):
                self.pictures.append(picture)
        self.fits |= bool(found)
        if len(found) < 2:
            return found[0] if found else None
        if isinstance(found[0], str):
            return " ".join(dict.fromkeys(found))
        return list(dict.fromkeys(tag for tags in found for tag in tags))

    def check(self) -> None:
        """Raise an error if it fits no post."""
        if self.path is None or self.fits:
            return
        names = self.descriptions.values
        if not names and Path(self.path).is_dir():
            names = dict.fromkeys(sorted(os.listdir(self.path)))
        raise MsvseError(
            Errors.E136.format(
                path=self.path, names=_list_first(names), pictures=_list_first(self.pictures)
            )
        )


def _list_first(names: Iterable[str]) -> str:
    shown = [repr(shorten(name)) for name in list(dict.fromkeys(names))[:4]]
    if not shown:
        return "none"
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


class _Notes:
    """Counts of suspicious facts about all posts of a file."""

    def __init__(self, path: Path, report: ConversionReport, label_map: Mapping[str, str]) -> None:
        self.path = path
        self.report = report
        self.unread: dict[str, Counter[str]] = {}
        self.unknown_labels = set(label_map)
        self.binary = 0
        self.described = 0

    def add(self, post: PostRow) -> None:
        for kind, keys in post.unread_keys.items():
            if kind == OTHER:
                continue
            self.unread.setdefault(kind, Counter()).update(keys)
        self.unknown_labels -= {label for _, _, label in post.entities or ()}
        self.binary += post.binary and post.complete
        self.described += any((post.tags, post.caption, post.texts))

    def check(self, *, allow_no_entities: bool, allow_no_pictures: bool) -> None:
        """Raise an error if there is nothing to learn from the posts; warn about the rest."""
        report, path = self.report, self.path
        if not report.entities and not allow_no_entities:
            hint = self._hint("annotation")
            counts = {"unannotated": report.posts_unannotated, "posts": report.posts}
            raise MsvseError(Errors.E135.format(path=path, hint=hint, **counts))
        none_found = report.pictures_found == 0
        nothing_given = not report.pictures_referenced and not self.described
        if (none_found or nothing_given) and not allow_no_pictures:
            hint = self._hint("a picture")
            if report.pictures_lfs_pointers:
                hint += f" Git LFS pointers: {report.pictures_lfs_pointers}; run `git lfs pull`."
            elif report.pictures_referenced:
                hint += " None of them is in the picture folder: check --image-root."
            counts = {"referenced": report.posts_with_pictures, "posts": report.posts}
            raise MsvseError(Errors.E137.format(path=path, hint=hint, **counts))
        if report.pictures_lfs_pointers:
            _warn(Warnings.W023.format(path=path, count=report.pictures_lfs_pointers))
        for kind, keys in self.unread.items():
            _warn(Warnings.W020.format(path=path, kind=kind, keys=list_keys(keys)))
        if self.binary:
            _warn(Warnings.W021.format(path=path, count=self.binary))
        if self.unknown_labels and report.entities:
            labels = ", ".join(map(repr, sorted(self.unknown_labels)))
            _warn(Warnings.W022.format(path=path, labels=labels))

    def _hint(self, kind: str) -> str:
        keys = self.unread.get(kind)
        if not keys:
            return ""
        return f" These keys look like {kind}, but are not read: {list_keys(keys)}."


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)


def _keep_free_pictures(post: PostRow, report: ConversionReport) -> list[tuple[str, str, str]]:
    """Take a picture that is not free from a post. Returns file, source and page of one that is."""
    source = post.meta.get("source")
    if not post.images:
        return []
    if not isinstance(source, str):
        raise MsvseError("the source of its picture is not known: 'source' is not in its 'meta'")
    if is_free(source) and isinstance(post.images[0], str):
        return [(post.images[0], source, find_page(source))]
    post.images = []
    report.pictures_not_free += 1
    return []


def _check_covered(doc: Doc) -> None:
    """Refuse an entity of a type that the annotation of the post is said not to cover."""
    types = get_covered_types(doc)
    for entity in doc.ents:
        if types is not None and entity.label_ not in types:
            covered = ", ".join(types) or "no type"
            reason = f"but the annotation of the post covers {covered}"
            raise MsvseError(f"entity {entity.text!r} is a {entity.label_}, {reason}")


def _read_all_boxes(
    folder: Path, pictures: Sequence[str | bytes], bad_rows: list[BadRow], sidecar: _Sidecar
) -> list[Any]:
    """The boxes of all pictures of a post, with the number of the picture if there are several."""
    boxes: list[Any] = []
    for number, picture in enumerate(pictures):
        if isinstance(picture, str):
            drawn = read_boxes(folder, picture, bad_rows)
            sidecar.fits |= drawn is not None
            sidecar.pictures.append(picture)
            boxes += [(*box, number) if len(pictures) > 1 else box for box in drawn or ()]
    return boxes


def _find_picture(
    picture: str | bytes,
    image_root: str | Path | None,
    report: ConversionReport,
    listing: RemoteListing,
) -> bool:
    """Whether a picture exists; False if there is no folder to look in."""
    if isinstance(picture, str):
        for part in Path(with_slashes(picture)).parts:
            if len(os.fsencode(part)) > MAX_NAME:
                raise MsvseError(
                    f"the picture's name {shorten(part)!r} is too long for a file; "
                    "a picture in base64 begins with 'data:image/...;base64,'"
                )
    if image_root is None or not isinstance(picture, str):
        return image_root is not None

    from ..vision.picture import find_picture

    path = find_picture(picture, image_root)
    if isinstance(path, RemotePicture):
        return listing.has(path)
    try:
        found = path.is_file()
    except OSError as error:
        raise MsvseError(f"the picture cannot be looked up ({error.strerror})") from error
    if found and is_lfs_pointer(path):
        report.pictures_lfs_pointers += 1
        return False
    return found
