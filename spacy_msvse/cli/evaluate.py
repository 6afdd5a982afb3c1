"""`python -m spacy msvse evaluate`"""

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import srsly
import typer
from spacy.util import fix_random_seed
from tqdm import tqdm
from wasabi import msg

from ..component import components
from ..corpus.files import check_corpus
from ..corpus.reader import read_docs
from ..display.page import write_mistakes
from ..doc import UNREADABLE, USED
from ..errors import Errors, MsvseError, Warnings
from ..evaluation.controls import Control
from ..evaluation.exact import known_entities
from ..evaluation.mistakes import find_mistakes
from ..evaluation.report.plots import draw_plots
from ..evaluation.report.sections import make_report
from ..evaluation.scores import annotate_examples, describe_posts, score_examples
from ..util import write_whole
from ..vision.store import FeatureStore
from .loading import load_examples, load_pipeline
from .messages import count, print_warning
from .options import Code, Features, GpuId, ImageRoot
from .outputs import check_output
from .root import app


@app.command("evaluate")
def evaluate_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    data_path: Annotated[Path, typer.Argument(help="The .spacy file of gold posts", exists=True)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="JSON file to write the scores to", dir_okay=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Folder to write report.md with tables and plots to",
            file_okay=False,
        ),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            "--errors",
            help="File to write each wrong or missed entity to: JSONL, or HTML with the pictures",
            dir_okay=False,
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
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the shuffle", min=0, max=2**32 - 1)
    ] = 0,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Score a pipeline on posts with pictures, and print the scores as Markdown tables.

    Unlike `spacy evaluate`, this keeps the pictures. The controls measure their effect.
    """
    if report is not None and find_spec("matplotlib") is None:
        raise MsvseError(Errors.E110)
    check_output(output, data_path, train, code)
    check_output(report, data_path, train)
    check_output(errors, data_path, train, code)
    nlp = load_pipeline(model, code=code, gpu_id=gpu_id)
    fix_random_seed(seed)
    known = None
    if train is not None:
        check_corpus(train)
        known = known_entities(read_docs(train, nlp))
        if not known:
            raise MsvseError(Errors.E111.format(path=train))
    if features is not None:
        for _, component in components(nlp):
            component.feature_store = FeatureStore(features)
    examples = load_examples(data_path, nlp, image_root)
    progress = partial(tqdm, total=len(examples), unit="post", disable=not sys.stderr.isatty())
    examples = annotate_examples(nlp, examples, control=control, seed=seed, progress=progress)
    scores = score_examples(nlp, examples, control=control, seed=seed, known=known)
    # The model card checks that its scores are of the same posts.
    scores["data"] = describe_posts(data_path)
    typer.echo(make_report(scores, model=model, data=str(data_path)))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, srsly.json_dumps(scores, indent=2).encode("utf-8"))
        msg.good(f"Wrote {output}")
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        plots = draw_plots(scores)
        for name, plot in plots.items():
            write_whole(report / f"{name}.svg", plot)
        page = make_report(scores, model=model, data=str(data_path), plots=plots)
        write_whole(report / "report.md", page.encode("utf-8"))
        msg.good(f"Wrote {report / 'report.md'}")
    if errors is not None:
        mistakes = find_mistakes(examples)
        errors.parent.mkdir(parents=True, exist_ok=True)
        if errors.suffix.lower() in (".html", ".htm"):
            write_mistakes(mistakes, errors, image_root)
        else:
            lines = (srsly.json_dumps(mistake.to_row()) + "\n" for mistake in mistakes)
            write_whole(errors, "".join(lines).encode("utf-8"))
        msg.good(f"Wrote {count(len(mistakes), 'mistake')} to {errors}")
    # The last lines: a table above them would be taken for a measurement.
    if not scores["entities"]["gold"]:
        print_warning(Warnings.W030.format(path=data_path))
    unreadable = [counts for counts in scores["views"].values() if UNREADABLE in counts]
    if unreadable and not any(USED in counts for counts in unreadable):
        print_warning(Warnings.W031.format(path=data_path))
