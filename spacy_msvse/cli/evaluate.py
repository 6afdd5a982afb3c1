"""`python -m spacy msvse evaluate`"""

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from spacy.cli._util import import_code, setup_gpu
from spacy.util import fix_random_seed
from tqdm import tqdm
from wasabi import msg

from ..component.sources import set_feature_store
from ..corpus.audit import read_docs
from ..corpus.reader import Corpus
from ..errors import Errors, MsvseError
from ..evaluation.controls import Control
from ..evaluation.exact import known_entities
from ..evaluation.report.markdown import percent
from ..evaluation.report.plots import draw_plots
from ..evaluation.report.sections import count_cells, make_report, overall, type_rows
from ..evaluation.scores import describe_posts, evaluate
from ..util import write_whole
from . import app
from .options import Code, Features, GpuId, ImageRoot


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
            "--report",
            help="Folder to write report.md with tables and plots to",
            file_okay=False,
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            "--train",
            help="The .spacy file of the training posts, to score unseen entities",
            exists=True,
        ),
    ] = None,
    image_root: ImageRoot = None,
    features: Features = None,
    control: Annotated[
        Control | None,
        typer.Option("--control", help="Remove the pictures, or shuffle them over the posts"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the shuffle")] = 0,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Score a pipeline on posts with pictures.

    Unlike `spacy evaluate`, this keeps the pictures. The controls measure their effect.
    """
    if report is not None and find_spec("matplotlib") is None:
        msg.fail(Errors.E110, exits=1)
    import_code(code)
    setup_gpu(gpu_id, silent=True)
    fix_random_seed(seed)
    nlp = spacy.load(model)
    known = None
    if train is not None:
        try:
            known = known_entities(read_docs(train, nlp))
        except MsvseError as error:
            msg.fail(str(error), exits=1)
        if not known:
            msg.fail(Errors.E111.format(path=train), exits=1)
    if features is not None:
        set_feature_store(nlp, features)
    examples = list(Corpus(data_path, image_root=image_root)(nlp))
    progress = partial(tqdm, total=len(examples), unit="post", disable=not sys.stderr.isatty())
    scores = evaluate(nlp, examples, control=control, seed=seed, known=known, progress=progress)
    # The model card checks that its scores are of the same posts.
    scores["data"] = describe_posts(data_path)
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
        page = make_report(scores, model=model, data=str(data_path), plots=plots)
        write_whole(report / "report.md", page.encode("utf-8"))
        msg.good(f"Wrote {report / 'report.md'}")


def print_scores(scores: dict[str, Any]) -> None:
    """Print scores as tables, in per cent.

    scores (dict): The result of `evaluate`.
    """
    rows = [(name, *count_cells(row)) for name, row in type_rows(scores).items()]
    rows += [
        (f"{name} ({part['posts']} posts)", *count_cells(overall(part)))
        for name, part in scores["slices"].items()
    ]
    msg.divider(f"{scores['posts']} posts, control: {scores['control'] or 'none'}")
    header = ("", "Gold", "Predicted", "Right", "P", "R", "F")
    msg.table(rows, header=header, aligns=("l", *"rrrrrr"), divider=True)
    msg.table([(view, srsly.json_dumps(counts)) for view, counts in scores["views"].items()])
    if "visual" in scores:
        msg.text("Entity types of each post, by the visual entity classifier")
        rows = [(view, *count_cells(row)) for view, row in scores["visual"].items()]
        msg.table(rows, header=header, aligns=("l", *"rrrrrr"), divider=True)
    print_calibration(scores["calibration"])


def print_calibration(calibration: dict[str, Any]) -> None:
    """Print the calibration error and the precision by confidence, in per cent.

    calibration (dict): The result of `calibration_scores`.
    """
    if not calibration["bins"]:
        return
    low, high = map(percent, calibration["ece_interval"])
    msg.text(
        f"Expected calibration error {percent(calibration['ece'])} ({low} to {high}), "
        f"{calibration['entities']} entities"
    )
    rows = [
        (percent(row["confidence"]), percent(row["precision"]), row["entities"])
        for row in calibration["bins"]
    ]
    header = ("Confidence", "P", "Entities")
    msg.table(rows, header=header, aligns=("r", "r", "r"), divider=True)
