"""A file of posts as one HTML page."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ..corpus.formats.options import ReadOptions
from ..corpus.formats.table import open_posts
from ..corpus.jsonl import ANNOTATION, OTHER, parse_rows
from ..corpus.rows import BadRow
from ..evaluation.mistakes import Mistake
from ..util import replaced_when_done
from .render import explain, pair, stream

if TYPE_CHECKING:
    from .render import ExplainedDoc

#: The number of posts that are in memory at once.
BATCH_SIZE = 64


@dataclass
class PageReport:
    """Counts of a page.

    Attributes:
        posts (int): The posts on the page.
        bad_rows (list[BadRow]): Rows that cannot be used. They are left out.
        unread_keys (dict): Keys that are not read and look like something that their posts lack, by
            what they look like, with the number of posts.
        unreadable (list[str]): Pictures that cannot be read, with the reason.
    """

    posts: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    unread_keys: dict[str, Counter[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def write_page(
    nlp: Language,
    input_path: Path,
    output_path: Path,
    *,
    image_root: str | Path,
    keep_entities: bool = False,
    gold: bool = False,
    effects: bool = True,
    progress: Callable[[Iterable], Iterable] = iter,
) -> PageReport:
    """Annotate posts and write them as a page, post by post.

    Args:
        nlp (Language): The pipeline. It reads pictures from its own `image_root`.
        input_path (Path): The file of the posts.
        output_path (Path): The HTML file, which is replaced as a whole. It stays as it is if no
            post can be used.
        image_root (Path): The only folder to read the pictures of the page from.
        keep_entities (bool): Whether to show the entities of the file, for a pipeline without
            components.
        gold (bool): Whether to show the entities of the file beside the predicted ones.
        effects (bool): Whether to show the effects of the pictures, which takes two more passes.
        progress (Callable): Wraps the stream of posts, such as tqdm.

    Returns:
        PageReport: The counts.
    """
    report = PageReport()
    golds: deque[Doc] = deque()
    read = _read(nlp, input_path, report, keep_entities, golds if gold else None)
    docs = nlp.pipe(read, batch_size=BATCH_SIZE)
    posts = iter(progress(_explained(nlp, docs) if effects else pair(docs, None)))
    first = next(posts, None)
    if first is None:
        return report

    def counted() -> "Iterator[ExplainedDoc]":
        for post in chain([first], posts):
            report.posts += 1
            yield post

    page = stream(
        counted(),
        True,
        image_root=image_root,
        unreadable=report.unreadable,
        gold=iter(golds.popleft, None) if gold else None,
    )
    _write(page, output_path)
    return report


def write_mistakes(
    mistakes: Sequence[Mistake], output_path: Path, image_root: str | Path | None = None
) -> None:
    """Write the posts of mistakes as a page, with gold and predicted entities.

    Args:
        mistakes (Sequence[Mistake]): The mistakes. Their posts are shown in this order.
        output_path (Path): The HTML file, which is replaced as a whole.
        image_root (Path): The only folder to read the pictures from; None allows any path.
    """
    examples = {mistake.post: mistake.example for mistake in mistakes}
    for number, example in examples.items():
        example.predicted.user_data.setdefault("title", f"Post {number}")
    posts = pair((example.predicted for example in examples.values()), None)
    golds = (example.reference for example in examples.values())
    _write(stream(posts, True, image_root=image_root, gold=golds), output_path)


def _write(page: Iterable[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replaced_when_done(path) as beside,
        # A lone surrogate, which JSON can hold, is written as a character reference.
        beside.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file_,
    ):
        file_.writelines(page)


def _explained(nlp: Language, docs: Iterable[Doc]) -> "Iterator[ExplainedDoc]":
    """Pair posts with the effects of their pictures, batch by batch."""
    for batch in minibatch(docs, BATCH_SIZE):
        yield from pair(batch, explain(nlp, batch))


def _read(
    nlp: Language,
    path: Path,
    report: PageReport,
    keep_entities: bool,
    golds: deque[Doc] | None,
) -> Iterator[Doc]:
    """Read the posts; their gold entities, if they are wanted, are added to `golds`."""
    annotation = keep_entities or golds is not None
    rows = open_posts(path, ReadOptions(annotation=annotation)).rows
    for post in parse_rows(rows, report.bad_rows):
        for kind, keys in post.unread_keys.items():
            if kind != OTHER and (keep_entities or golds is not None or kind != ANNOTATION):
                report.unread_keys.setdefault(kind, Counter()).update(keys)
        bare = replace(post, entities=None)
        try:
            doc = (post if keep_entities else bare).to_doc(nlp)
            if golds is not None:
                golds.append(post.to_doc(nlp))
        except ValueError as error:
            report.bad_rows.append(BadRow(post.path, post.line, str(error).rstrip(".")))
            continue
        yield doc
