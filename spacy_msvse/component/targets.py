"""Gold labels of examples as tensors."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from spacy.training import Example, biluo_to_iob

from ..doc import get_covered_types
from ..errors import Errors, MsvseError
from ..network.crf import bio_labels
from ..network.inputs import Targets
from .encode import pad


def make_targets(examples: Sequence[Example], types: Sequence[str]) -> Targets:
    """Read the gold labels of examples. Missing and misaligned tokens may have any label. Where the
    annotation does not cover some types, a token outside of all entities may have their labels.

    Args:
        examples (Sequence[Example]): Examples, in the order of the posts.
        types (Sequence[str]): The network's entity types.

    Returns:
        Targets: The targets, on the CPU.

    Raises:
        MsvseError: For a gold label that is not among the types (MSVSE-E017).
    """
    labels = bio_labels(tuple(types))
    index: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    # The last row of the table is for a missing label: any label is allowed.
    index[None] = len(labels)
    table = np.eye(len(labels) + 1, len(labels), dtype=bool)
    table[-1] = True
    allowed, occurring, known = [], [], []
    for example in examples:
        gold = _legal(biluo_to_iob(example.get_aligned_ner()))
        found = {label[2:] for label in gold if label is not None and label != "O"}
        unknown = found.difference(types)
        if unknown:
            raise MsvseError(Errors.E017.format(label=min(unknown), labels=", ".join(types)))
        complete = None not in gold
        choices = table[[index[label] for label in gold]]
        covered = get_covered_types(example.reference)
        uncovered = [covered is not None and name not in covered for name in types]
        if any(uncovered):
            choices = choices | (
                choices[:, :1] & np.repeat([False, *uncovered], [1, *[2] * len(types)])
            )
        allowed.append(choices)
        occurring.append([name in found for name in types])
        known.append(
            [
                (complete and not left_out) or name in found
                for name, left_out in zip(types, uncovered, strict=True)
            ]
        )
    drawn = [_drawn_boxes(example, types) for example in examples]
    boxes, box_types, box_pictures = None, None, None
    if any(len(one) for one in drawn):
        boxes = pad([one[:, :4] for one in drawn], 0.0)
        box_types = pad([one[:, 4].astype("int64") for one in drawn], -1)
        box_pictures = pad([one[:, 5].astype("int64") for one in drawn], 0)
    return Targets(
        pad(allowed, True),
        torch.tensor(occurring, dtype=torch.float32),
        torch.tensor(known, dtype=torch.bool),
        boxes,
        box_types,
        box_pictures,
    )


def _drawn_boxes(example: Example, types: Sequence[str]) -> np.ndarray:
    """The boxes that annotators drew around what the entities name: float32 of shape (G, 6), four
    corners, the index of the entity's type and the number of the picture."""
    meta = example.reference.user_data.get("meta") or {}
    drawn = meta.get("boxes") or ()
    type_of = {ent.text: types.index(ent.label_) for ent in example.reference.ents} if drawn else {}
    rows = [
        (x1, y1, x2, y2, type_of[name], *(picture or (0,)))
        for name, _, x1, y1, x2, y2, *picture in drawn
        if name in type_of
    ]
    return np.asarray(rows, dtype="float32").reshape(-1, 6)


def _legal(labels: Sequence[str | None]) -> list[str | None]:
    """Replace an I that continues no entity by B, as evaluation does."""
    return [
        "B-" + label[2:]
        if label and label.startswith("I-") and before and before[2:] != label[2:]
        else label
        for before, label in pairwise(["O", *labels])
    ]
