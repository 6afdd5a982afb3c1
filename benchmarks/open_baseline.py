"""spaCy's own pipeline on the posts of the workflow `open`, with the same scorer.

Its labels are those of OntoNotes. How to map them is a choice: all combinations of its place-like
labels are scored on dev posts, and the best one is used for the test posts.
"""

from collections.abc import Iterable
from itertools import chain, combinations
from pathlib import Path
from typing import Annotated

import spacy
import srsly
import typer
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_msvse.corpus.reader import read_docs
from spacy_msvse.evaluation.exact import match_entities, pool
from spacy_msvse.evaluation.report.markdown import table
from spacy_msvse.evaluation.scores import annotate_examples, score_examples
from spacy_msvse.util import write_whole

#: Labels whose type is clear.
CLEAR = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "PRODUCT": "PROD", "WORK_OF_ART": "WORK"}

#: Labels that may be places, or groups of people, or nothing of our types.
DOUBTFUL = ("LOC", "FAC", "NORP")


def main(
    model: Annotated[str, typer.Argument(help="Name or folder of the pipeline")],
    dev: Annotated[Path, typer.Argument(help="The .spacy file of the dev posts", exists=True)],
    test: Annotated[Path, typer.Argument(help="The .spacy files of the test posts", exists=True)],
    output: Annotated[Path, typer.Argument(help="JSON file to write; a table is beside it")],
) -> None:
    """Choose the mapping of labels on dev posts, and score the test posts with it."""
    nlp = spacy.load(model)
    dev_posts = annotate(nlp, dev)
    tried = []
    for places in chain.from_iterable(combinations(DOUBTFUL, n) for n in range(len(DOUBTFUL) + 1)):
        mapping = CLEAR | dict.fromkeys(places, "LOC")
        matches = pool(match_entities(one) for one in map_labels(dev_posts, mapping))
        tried.append({"places": ["GPE", *places], **matches.scores()})
    best = max(tried, key=lambda row: row["f"] or 0.0)
    mapping = CLEAR | dict.fromkeys(best["places"], "LOC")
    scores = score_examples(nlp, map_labels(annotate(nlp, test), mapping))
    name = f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}"
    output.parent.mkdir(parents=True, exist_ok=True)
    result = {"pipeline": name, "mapping": mapping, "dev": tried, "test": scores}
    write_whole(output, srsly.json_dumps(result, indent=2).encode("utf-8"))
    rows = [(" ".join(row["places"]), *(f"{100 * row[key]:.1f}" for key in "prf")) for row in tried]
    parts = [f"{name}; labels that are places, on dev posts:"]
    parts.append(table(("places", "P", "R", "F1"), rows))
    parts.append("Test posts:")
    test_rows = [("all", scores), *scores["slices"].items()]
    cells = [
        (title, *(f"{100 * (row[f'ents_{key}'] or 0):.1f}" for key in "prf"))
        for title, row in test_rows
    ]
    parts.append(table(("posts", "P", "R", "F1"), cells))
    page = "\n\n".join(parts) + "\n"
    write_whole(output.with_suffix(".md"), page.encode("utf-8"))
    typer.echo(page)


def annotate(nlp: Language, path: Path) -> list[Example]:
    """Annotate the words of posts.

    Args:
        nlp (Language): The pipeline.
        path (Path): The posts.

    Returns:
        list: The posts with gold and predicted entities.
    """
    examples = [
        Example(
            Doc(
                nlp.vocab,
                [token.text for token in gold],
                [bool(token.whitespace_) for token in gold],
            ),
            gold,
        )
        for gold in read_docs(path, nlp)
    ]
    return annotate_examples(nlp, examples)


def map_labels(examples: Iterable[Example], mapping: dict[str, str]) -> list[Example]:
    """Rename the predicted labels. Entities of other labels are left out.

    Args:
        examples (Iterable): The posts.
        mapping (dict): Label to type.

    Returns:
        list: Copies of the posts.
    """
    mapped = []
    for example in examples:
        doc = Doc(example.predicted.vocab, [token.text for token in example.predicted])
        doc.set_ents(
            [
                Span(doc, entity.start, entity.end, mapping[entity.label_])
                for entity in example.predicted.ents
                if entity.label_ in mapping
            ]
        )
        mapped.append(Example(doc, example.reference))
    return mapped


if __name__ == "__main__":
    typer.run(main)
