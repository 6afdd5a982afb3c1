"""`python -m spacy msvse evaluate`"""

import sys
from enum import Enum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from spacy.cli._util import setup_gpu
from spacy.training.corpus import FILE_TYPE, walk_corpus
from spacy.util import fix_random_seed
from tqdm import tqdm
from wasabi import msg

from ..component.sources import set_feature_store
from ..corpus.reader import Corpus, read_docs
from ..errors import Errors
from ..evaluation.conlleval import known_entities
from ..evaluation.controls import CONTROLS
from ..evaluation.markdown import render_scores
from ..evaluation.plots import draw_plots
from ..evaluation.scores import evaluate
from ..util import hash_files, write_whole
from . import app
from .options import Features, GpuId, ImageRoot

Control = Enum("Control", {name: name for name in CONTROLS}, type=str)  # type: ignore[misc]


@app.command("evaluate")
def evaluate_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    data_path: Annotated[Path, typer.Argument(help="The .spacy file of gold posts", exists=True)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file to write the scores to")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="Folder to write tables and plots to, report.md", file_okay=False
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            "--train",
            help="The .spacy file it was trained on, to score unseen entities",
            exists=True,
        ),
    ] = None,
    image_root: ImageRoot = None,
    features: Features = None,
    control: Annotated[
        Control | None,
        typer.Option("--control", help="Take the pictures away, or shuffle them over the posts"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the shuffle")] = 0,
    gpu_id: GpuId = -1,
) -> None:
    """Score a pipeline on posts with pictures.

    Unlike `spacy evaluate`, this keeps the pictures; the controls tell what they are worth.
    """
    if report is not None and find_spec("matplotlib") is None:
        msg.fail(Errors.E110, exits=1)
    setup_gpu(gpu_id, silent=True)
    fix_random_seed(seed)
    nlp = spacy.load(model)
    known = None
    if train is not None:
        try:
            known = known_entities(read_docs(train, nlp))
        except ValueError as error:
            msg.fail(str(error), exits=1)
        if not known:
            msg.fail(Errors.E111.format(path=train), exits=1)
    if features is not None:
        set_feature_store(nlp, features)
    examples = list(Corpus(data_path, image_root=image_root)(nlp))
    progress = partial(tqdm, total=len(examples), unit="post", disable=not sys.stderr.isatty())
    scores = evaluate(
        nlp,
        examples,
        control=None if control is None else control.value,
        seed=seed,
        known=known,
        progress=progress,
    )
    scores["control"] = None if control is None else control.value
    # What the scores are of: a card must not show those of other posts or another calibration.
    sha256 = hash_files(sorted(walk_corpus(data_path, FILE_TYPE)))
    scores["data"] = {"file": data_path.name, "sha256": sha256}
    scores["temperatures"] = {
        name: pipe.temperature  # type: ignore[attr-defined]
        for name, pipe in nlp.pipeline
        if hasattr(pipe, "temperature")
    }
    print_scores(scores)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output, scores)
        msg.good(f"Wrote {output}")
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        plots = draw_plots(scores)
        for name, plot in plots.items():
            write_whole(report / f"{name}.svg", plot)
        markdown = render_scores(
            "report.md", [scores], plots=plots, model=model, data=str(data_path)
        )
        write_whole(report / "report.md", markdown.encode("utf-8"))
        msg.good(f"Wrote {report / 'report.md'}")


def print_scores(scores: dict[str, Any]) -> None:
    """Print scores as a table, in per cent.

    scores (dict): What `evaluate` returned.
    """
    rows = [_row("all", scores)]
    per_type = scores["ents_per_type"] or {}
    rows += [_row(f"  {name}", values) for name, values in sorted(per_type.items())]
    rows += [_row(f"{name} ({s['posts']} posts)", s) for name, s in scores["slices"].items()]
    rows.append(_row("all, by conlleval", scores["conlleval"]))
    rows += [
        _row(f"{name} ({scores[name]['gold']} entities)", scores[name])
        for name in ("seen", "unseen")
        if name in scores
    ]
    msg.divider(f"{scores['posts']} posts, control: {scores['control'] or 'none'}")
    columns: dict[str, Any] = {
        "header": ("", "P", "R", "F"),
        "aligns": ("l", "r", "r", "r"),
        "divider": True,
    }
    msg.table(rows, **columns)
    msg.table([(view, srsly.json_dumps(counts)) for view, counts in scores["views"].items()])
    if "visual" in scores:
        msg.text("Types of each post by the visual entity classifier")
        msg.table([_row(view, values) for view, values in scores["visual"].items()], **columns)
    print_calibration(scores["calibration"])


def print_calibration(calibration: dict[str, Any]) -> None:
    """Print whether confidences keep what they promise, in per cent.

    calibration (dict): What `calibration_scores` returned.
    """
    if not calibration["bins"]:
        return
    low, high = calibration["ece_interval"]
    msg.text(
        f"Expected calibration error {100 * calibration['ece']:.2f} "
        f"({100 * low:.2f} to {100 * high:.2f}), {calibration['entities']} entities"
    )
    rows = [
        (f"{100 * row['confidence']:.2f}", f"{100 * row['precision']:.2f}", row["entities"])
        for row in calibration["bins"]
    ]
    header = ("Confidence", "P", "Entities")
    msg.table(rows, header=header, aligns=("r", "r", "r"), divider=True)


def _row(name: str, values: dict[str, Any]) -> tuple[str, str, str, str]:
    p, r, f = (values.get(key, values.get("ents_" + key)) or 0.0 for key in "prf")
    return name, f"{100 * p:.2f}", f"{100 * r:.2f}", f"{100 * f:.2f}"
