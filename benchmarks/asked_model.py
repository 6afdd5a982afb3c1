"""Score a large language model alone: the entities that its texts about the posts list.

python benchmarks/asked_model.py TRAIN.spacy TEST.spacy OUTPUT.json

A text lists entities as `1. Name (type)`. Each place of a name in the post is a predicted entity.
What the types of the texts mean in the labels of the data is counted on the training posts: the
most frequent gold label of the names with this type, or none.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans

from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.evaluation.exact import entity_scores, match_entities, pool, post_counts

#: An entry of the list: its name and its type.
ENTRY = re.compile(r"\d+\.\s*[\"']?([^()\n]{1,80}?)[\"']?\s*\(([^()]{1,80})\)")

#: The list ends where the explanation begins.
END = re.compile(r"Reasoning\s*:", re.IGNORECASE)

#: Label of names that are no entities.
NONE = ""


def listed(text: str) -> Iterator[tuple[str, str]]:
    """The names that a text lists, and their types in lower case."""
    for name, kind in ENTRY.findall(END.split(text)[0]):
        yield name.strip(), kind.strip().lower()


def places(doc: Doc, name: str) -> Iterator[tuple[int, int]]:
    """The first token and the token after the last of each place of a name, without regard to
    case."""
    for match in re.finditer(re.escape(name), doc.text, re.IGNORECASE):
        span = doc.char_span(match.start(), match.end())
        if span is not None:
            yield span.start, span.end


def learn_types(examples: Sequence[Example], view: str) -> dict[str, str]:
    """Count what the types of the texts mean in the labels of the data.

    Args:
        examples (Sequence[Example]): Posts with gold entities.
        view (str): The view with the texts.

    Returns:
        dict: Type to the most frequent gold label, or `NONE`.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        gold = {(ent.start, ent.end): ent.label_ for ent in example.reference.ents}
        for name, kind in listed((example.predicted._.image_texts or {}).get(view, "")):
            for place in places(example.reference, name):
                found[kind][gold.get(place, NONE)] += 1
    return {kind: labels.most_common(1)[0][0] for kind, labels in found.items()}


def annotate(doc: Doc, text: str, types: Mapping[str, str]) -> None:
    """Set the entities that a text lists. Of overlapping ones, the longest is kept."""
    spans = [
        Span(doc, start, end, label=types[kind])
        for name, kind in listed(text)
        if types.get(kind, NONE) != NONE
        for start, end in places(doc, name)
    ]
    doc.set_ents(filter_spans(spans))


def main(
    train: Annotated[Path, typer.Argument(help="The .spacy file of training posts", exists=True)],
    test: Annotated[Path, typer.Argument(help="The .spacy file to score", exists=True)],
    output: Annotated[Path, typer.Argument(help="JSON file to write")],
    view: Annotated[str, typer.Option(help="The view with the texts")] = "knowledge",
) -> None:
    """Score the entities that the texts of a language model list."""
    nlp = spacy.blank("en")
    types = learn_types(list(Corpus(train)(nlp)), view)
    examples = list(Corpus(test)(nlp))
    for example in examples:
        annotate(example.predicted, (example.predicted._.image_texts or {}).get(view, ""), types)
    scores = entity_scores(pool(map(match_entities, examples)))
    result = {"posts": len(examples), **scores, "post_counts": post_counts(examples)}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result))
    print(f"P {scores['ents_p']:.4f}, R {scores['ents_r']:.4f}, F1 {scores['ents_f']:.4f}")


if __name__ == "__main__":
    typer.run(main)
