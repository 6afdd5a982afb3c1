"""What the counts of a corpus mean for training: good, to check, or an error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ..component.defaults import DEFAULT_CONFIG
from .audit import MAX_EXAMPLES, Audit, Occurrences, PictureProblem, SplitAudit

GOOD, WARN, FAIL = "good", "warn", "fail"

#: A label with at most this many entities is rare. spaCy's `debug data` has the same limit.
RARE_LABEL = 50


@dataclass
class Verdict:
    """The result of one check.

    Attributes:
        level (str): "good", "warn", or "fail" if it would stop training.
        topic (str): The subject, such as "Pictures".
        message (str): The result and its meaning.
        examples (list[str]): The first few places.
    """

    level: str
    topic: str
    message: str
    examples: list[str] = field(default_factory=list)


def judge(
    audit: Audit, *, min_view_share: float = DEFAULT_CONFIG["min_view_share"]
) -> list[Verdict]:
    """Judge the counts of a corpus. The first split is the training split.

    Args:
        audit (Audit): The counts.
        min_view_share (float): Training masks a view that a smaller share of its posts has.
            Defaults to the value of the default config.

    Returns:
        list: The verdicts, topic by topic.
    """
    train_name, *others = audit.splits
    train = audit.splits[train_name]
    verdicts: list[Verdict] = []
    for name, split in audit.splits.items():
        verdicts += _judge_posts(name, split, trained_on=split is train)
    for name, split in audit.splits.items():
        verdicts += _judge_entities(name, split, trained_on=split is train)
    verdicts += _judge_rare_labels(train)
    verdicts += _judge_similar_labels(audit)
    for name in others:
        verdicts += _judge_unseen_labels(name, audit.splits[name], train)
    for name, split in audit.splits.items():
        verdicts += _judge_pictures(name, split, confined=audit.image_root is not None)
    verdicts += _judge_views(train, audit.views, min_view_share)
    for name, split in audit.splits.items():
        verdicts += _judge_regions(name, split, train)
    for name, split in audit.splits.items():
        verdicts += _judge_repetition(name, split)
    verdicts += _judge_leaks(audit)
    return verdicts


def _judge_posts(name: str, split: SplitAudit, *, trained_on: bool) -> Iterator[Verdict]:
    if not split.posts:
        meaning = "there is nothing to train on" if trained_on else "nothing can be scored"
        yield Verdict(FAIL if trained_on else WARN, "Posts", f"{name}: no posts: {meaning}")
    elif split.empty_posts.count:
        yield _report(WARN, "Posts", name, "empty posts", split.empty_posts)
    else:
        yield Verdict(GOOD, "Posts", f"{name}: {split.posts} posts, none empty")


def _judge_entities(name: str, split: SplitAudit, *, trained_on: bool) -> Iterator[Verdict]:
    if not split.posts:
        return
    if split.entities:
        labels = ", ".join(f"{label} ({count})" for label, count in split.labels.most_common())
        yield Verdict(GOOD, "Entities", f"{name}: {split.entities} entities: {labels}")
    else:
        meaning = "there is no label to learn" if trained_on else "nothing can be scored"
        yield Verdict(FAIL if trained_on else WARN, "Entities", f"{name}: no entities: {meaning}")
    for text, found in (
        ("posts without entity annotation, which training ignores", split.unannotated_posts),
        ("posts with some tokens that are not annotated", split.partly_annotated_posts),
        (
            "entities that begin or end inside a token, which cannot be learned or found",
            split.misaligned_entities,
        ),
        ("entities that begin or end with whitespace", split.whitespace_edges),
        ("entities that begin or end with punctuation", split.punctuation_edges),
    ):
        if found.count:
            yield _report(WARN, "Entities", name, text, found)


def _judge_rare_labels(train: SplitAudit) -> Iterator[Verdict]:
    rare = [f"{label} ({n})" for label, n in train.labels.most_common() if n <= RARE_LABEL]
    if rare:
        yield Verdict(
            WARN, "Entities", f"Labels with no more than {RARE_LABEL} entities: {', '.join(rare)}"
        )


def _judge_similar_labels(audit: Audit) -> Iterator[Verdict]:
    for group in audit.similar_labels():
        labels = ", ".join(f"{label!r} ({n})" for label, n in sorted(group.items()))
        if len(group) > 1:
            yield Verdict(WARN, "Entities", f"Labels that are probably one: {labels}")
        else:
            message = f"Label with a blank at an edge, or with a prefix: {labels}"
            yield Verdict(WARN, "Entities", message)


def _judge_unseen_labels(name: str, split: SplitAudit, train: SplitAudit) -> Iterator[Verdict]:
    unseen = [f"{label} ({n})" for label, n in split.labels.items() if label not in train.labels]
    if unseen:
        labels = ", ".join(unseen)
        yield Verdict(WARN, "Entities", f"{name}: labels that training lacks: {labels}")


def _judge_pictures(name: str, split: SplitAudit, *, confined: bool) -> Iterator[Verdict]:
    if not split.pictures:
        if split.posts:
            yield _judge_text_only(name, split)
        return
    if split.readable == split.pictures:
        yield Verdict(GOOD, "Pictures", f"{name}: all {split.pictures} pictures can be read")
    elif not split.readable and not split.described:
        message = f"{name}: none of {split.pictures} pictures can be read, and no post gives tags "
        yield Verdict(FAIL, "Pictures", message + "or a caption: nothing visual can be learned")
    for problems, level, text in (
        (split.missing, WARN, "missing pictures"),
        (split.broken, WARN, "broken pictures"),
        (split.refused, FAIL if confined else WARN, "pictures that must not be read"),
    ):
        if problems:
            message = f"{name}: {text}: {len(problems)} of {split.pictures}"
            if problems is split.missing and len(problems) == split.pictures:
                message += ". If they are in another folder, name it with --image-root"
            yield Verdict(level, "Pictures", message, _name_problems(problems))


def _judge_text_only(name: str, split: SplitAudit) -> Verdict:
    if split.described:
        message = f"{name}: no pictures; {split.described} posts give tags, texts or region vectors"
        return Verdict(GOOD, "Pictures", message)
    return Verdict(
        WARN,
        "Pictures",
        f"{name}: no post has a picture, tags, texts or region vectors: only the text is read. "
        "Files that `msvse convert` did not write need DocBin(store_user_data=True)",
    )


def _name_problems(problems: Sequence[PictureProblem]) -> list[str]:
    return [f"post {one.post}: {one.reason}" for one in islice(problems, MAX_EXAMPLES)]


def _judge_views(
    train: SplitAudit, views: Sequence[str], min_view_share: float
) -> Iterator[Verdict]:
    if not train.views.total():  # reported for the pictures
        return
    for view in views:
        share = train.view_share(view)
        text = f"{view}: in {train.views[view]} of {train.posts} training posts ({share:.2%})"
        if share < min_view_share:
            text += f", less than {min_view_share:.2%}: it will be masked"
        yield Verdict(WARN if share < min_view_share else GOOD, "Views", text)


def _judge_regions(name: str, split: SplitAudit, train: SplitAudit) -> Iterator[Verdict]:
    if split.bad_values.count:
        text = "posts with a value that cannot be used, which are read without views"
        yield _report(FAIL, "Views", name, text, split.bad_values)
    widths = set(train.region_widths) | set(split.region_widths)
    if len(widths) > 1 and split.region_widths:
        counts = ", ".join(f"{width} ({n})" for width, n in sorted(split.region_widths.items()))
        message = f"{name}: region vectors differ in width, here or from training: {counts}"
        yield Verdict(FAIL, "Views", message)


def _judge_repetition(name: str, split: SplitAudit) -> Iterator[Verdict]:
    for text, found in (
        ("posts with the text of an earlier post", split.repeated_texts),
        ("posts with the picture of an earlier post", split.shared_pictures),
        ("posts with the text and the picture of an earlier post", split.repeated_posts),
    ):
        if found.count:
            yield _report(WARN, "Duplicates", name, text, found)


def _judge_leaks(audit: Audit) -> Iterator[Verdict]:
    for leak in audit.leaks:
        if leak.posts.count:
            text = f"posts with the {leak.kind} of a post of {leak.earlier}"
            yield _report(WARN, "Leakage", leak.later, text, leak.posts)
    if audit.leaks and not any(leak.posts.count for leak in audit.leaks):
        yield Verdict(GOOD, "Leakage", "No text and no picture is in two splits")


def _report(level: str, topic: str, name: str, text: str, found: Occurrences) -> Verdict:
    return Verdict(level, topic, f"{name}: {text}: {found.count}", list(found.examples))
