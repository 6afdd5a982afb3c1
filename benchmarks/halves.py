"""One tagger from two data sets that annotate different types: is it as good as it can be?

python benchmarks/halves.py TRAIN.spacy TEST.spacy OUTPUT --half PER,LOC --half ORG,MISC

The training posts are divided at random into parts of equal size, one for each --half, and each
part keeps only its types. The rows of the result:

    joint    one tagger of all parts; each post says which types its annotation covers
    naive    one tagger of all parts; what is not annotated counts as "no entity"
    merged   one tagger for each part; of their overlapping entities, the more probable one is kept
    full     one tagger of all posts with all types, which a user of such parts does not have

Every tagger is trained for the same number of steps, so those of one part for more epochs. The last
step is used: no posts choose the best one. All rows are scored on the same test posts, with all
types. A run that has ended is not repeated.
"""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import srsly
import typer
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_msvse.corpus.reader import read_docs
from spacy_msvse.evaluation.exact import entity_scores, match_entities, pool, post_counts
from spacy_msvse.evaluation.experiments.collate import mean_sd
from spacy_msvse.evaluation.experiments.tables import difference_cells, mean_cell
from spacy_msvse.evaluation.report.markdown import table
from spacy_msvse.evaluation.statistics import paired_bootstrap
from spacy_msvse.util import hash_files, write_whole

ROWS = ("joint", "naive", "merged", "full")

#: Start, end, label and confidence.
Entity = tuple[int, int, str, float]


def main(
    train: Annotated[Path, typer.Argument(help="The .spacy file of training posts", exists=True)],
    test: Annotated[Path, typer.Argument(help="The .spacy file of test posts", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder to write halves.json and halves.md to")],
    half: Annotated[list[str], typer.Option(help="The types of a part, with commas")],
    config: Annotated[Path, typer.Option(exists=True)] = Path("configs/open.cfg"),
    steps: Annotated[int, typer.Option(min=1)] = 840,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or auto")] = "bfloat16",
    gpu_id: Annotated[int, typer.Option(min=-1)] = -1,
) -> None:
    """Train the taggers of every seed, and compare the rows."""
    types = [part.split(",") for part in half]
    identity = {
        "posts": hash_files([train, test]),
        "config": hash_files([config]),
        "halves": types,
        "steps": steps,
        "precision": precision,
    }
    options = ["--training.max_steps", str(steps), "--training.eval_frequency", str(steps)]
    options += ["--gpu-id", str(gpu_id), "--components.msvse_ner.model.precision", precision]
    nlp = spacy.blank("en")
    gold = list(read_docs(test, nlp))
    found: dict[str, dict[int, list[list[Entity]]]] = {row: {} for row in ROWS}
    for seed in range(seeds):
        sets = divide(list(read_docs(train, nlp)), types, seed)
        answers = {}
        for name, posts in sets.items():
            folder = output / "runs" / name / str(seed)
            answers[name] = run(
                folder, posts, gold, config, [*options, "--system.seed", str(seed)], identity
            )
        parts = [answers.pop(name) for name in list(answers) if name not in ROWS]
        answers["merged"] = [merge(post) for post in zip(*parts, strict=True)]
        for name, entities in answers.items():
            found[name][seed] = entities
    result = {**identity, "seeds": seeds, "rows": compare(gold, found)}
    write_whole(output / "halves.json", srsly.json_dumps(result, indent=2).encode("utf-8"))
    page = make_page(result)
    write_whole(output / "halves.md", page.encode("utf-8"))
    typer.echo(page)


def divide(
    posts: Sequence[Doc], halves: Sequence[Sequence[str]], seed: int
) -> dict[str, list[Doc]]:
    """Make the training posts of every tagger.

    Args:
        posts (Sequence[Doc]): Posts that are annotated with all types.
        halves (Sequence): The types of each part.
        seed (int): Seed of the division.

    Returns:
        dict: "joint", "naive", "full" and "part 1" etc. to their posts, in one order.
    """
    order = list(range(len(posts)))
    random.Random(seed).shuffle(order)
    part_of = {row: place % len(halves) for place, row in enumerate(order)}
    sets: dict[str, list[Doc]] = {"joint": [], "naive": [], "full": list(posts)}
    sets |= {f"part {number}": [] for number in range(1, len(halves) + 1)}
    for row, post in enumerate(posts):
        types = halves[part_of[row]]
        naive = post.copy()
        naive.set_ents([entity for entity in naive.ents if entity.label_ in types])
        joint = naive.copy()
        joint._.covered_types = types
        sets["naive"].append(naive)
        sets["joint"].append(joint)
        sets[f"part {part_of[row] + 1}"].append(naive)
    return sets


def run(
    folder: Path,
    posts: Iterable[Doc],
    gold: Sequence[Doc],
    config: Path,
    options: Sequence[str],
    identity: Mapping[str, Any],
) -> list[list[Entity]]:
    """Train a tagger in a process of its own, and annotate the test posts.

    Args:
        folder (Path): Has the entities afterwards, and nothing else.
        posts (Iterable[Doc]): Its training posts.
        gold (Sequence[Doc]): The test posts.
        config (Path): The config of the training.
        options (Sequence[str]): Settings in place of those of the config.
        identity (Mapping): What the result depends on. An older result of the same is returned.

    Returns:
        list: For each test post, its entities.
    """
    file = folder / "entities.json"
    if file.is_file() and (older := srsly.read_json(file))["identity"] == identity:
        return older["entities"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = folder / "train.spacy"
    posts = list(posts)
    DocBin(store_user_data=True, docs=posts).to_disk(data)
    # spaCy evaluates on some posts at the last step. Nothing depends on these scores.
    DocBin(store_user_data=True, docs=posts[:20]).to_disk(folder / "dev.spacy")
    paths = ["--paths.train", data, "--paths.dev", folder / "dev.spacy"]
    command = [sys.executable, "-m", "spacy", "train", config, "--output", folder / "model"]
    command += [*paths, "--paths.labels", folder / "none.json", *options]
    subprocess.run(list(map(str, command)), check=True)
    nlp = spacy.load(folder / "model" / "model-last")
    blank = (Doc(nlp.vocab, [token.text for token in post]) for post in gold)
    entities = [
        [(e.start, e.end, e.label_, float(e._.confidence)) for e in doc.ents]
        for doc in nlp.pipe(blank)
    ]
    for path in (data, folder / "dev.spacy"):
        path.unlink()
    shutil.rmtree(folder / "model")
    content = srsly.json_dumps({"identity": identity, "entities": entities})
    write_whole(file, content.encode("utf-8"))
    return entities


def merge(answers: Iterable[Sequence[Entity]]) -> list[Entity]:
    """Put the entities of several taggers together, the most probable ones first.

    Args:
        answers (Iterable): The entities of each tagger in one post.

    Returns:
        list: Entities without overlaps.
    """
    kept: list[Entity] = []
    for entity in sorted((e for answer in answers for e in answer), key=lambda e: -e[3]):
        start, end, *_ = entity
        if all(end <= other[0] or other[1] <= start for other in kept):
            kept.append(entity)
    return sorted(kept)


def compare(
    gold: Sequence[Doc], found: Mapping[str, Mapping[int, Sequence[Sequence[Entity]]]]
) -> dict[str, Any]:
    """Score the rows, and compare "joint" with each of the others.

    Args:
        gold (Sequence[Doc]): The test posts.
        found (Mapping): Row to seed to the entities of each post.

    Returns:
        dict: Row to its "f1", "f1_per_type" and the difference of "joint" to it, "joint_minus".
            The bootstrap draws posts, and adds up the counts of all seeds.
    """
    rows: dict[str, Any] = {}
    counts = {}
    for name, answers in found.items():
        examples = [annotate(gold, entities) for entities in answers.values()]
        scores = [entity_scores(pool(map(match_entities, one))) for one in examples]
        counts[name] = np.sum([post_counts(one) for one in examples], axis=0)
        labels = sorted({label for one in scores for label in one["ents_per_type"]})
        rows[name] = {
            "f1": mean_sd([one["ents_f"] for one in scores]),
            "f1_per_type": {
                label: mean_sd([one["ents_per_type"].get(label, {}).get("f") for one in scores])
                for label in labels
            },
            "precision": mean_sd([one["ents_p"] for one in scores]),
            "recall": mean_sd([one["ents_r"] for one in scores]),
        }
    for name in rows.keys() - {"joint"}:
        rows[name]["joint_minus"] = vars(paired_bootstrap(counts["joint"], counts[name]))
    return rows


def annotate(gold: Sequence[Doc], entities: Sequence[Sequence[Entity]]) -> list[Example]:
    """Make examples of gold posts and predicted entities."""
    examples = []
    for post, found in zip(gold, entities, strict=True):
        doc = Doc(post.vocab, [token.text for token in post])
        doc.set_ents([Span(doc, start, end, label=label) for start, end, label, _ in found])
        examples.append(Example(doc, post))
    return examples


def make_page(result: Mapping[str, Any]) -> str:
    """Write the result as Markdown."""
    rows = result["rows"]
    labels = sorted({label for row in rows.values() for label in row["f1_per_type"]})
    cells = [
        (
            name,
            mean_cell(row["f1"]),
            mean_cell(row["precision"]),
            mean_cell(row["recall"]),
            *(mean_cell(row["f1_per_type"][label]) for label in labels),
            *(difference_cells(row["joint_minus"]) if "joint_minus" in row else ("-", "-")),
        )
        for name, row in rows.items()
    ]
    parts = " and ".join(", ".join(types) for types in result["halves"])
    lines = [
        f"The training posts in {len(result['halves'])} parts, annotated with {parts}. F1 in per "
        f"cent, mean and standard deviation of {result['seeds']} seeds, {result['steps']} steps, "
        f"{result['precision']}.",
        table(("row", "F1", "P", "R", *labels, "joint minus row", "p"), cells, "l"),
    ]
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
