"""`python -m spacy msvse ask-curve`"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm
from wasabi import msg

from ..component import components
from ..errors import Errors, MsvseError, Warnings
from ..evaluation.ask_curve import ask_curve
from ..evaluation.report.ask_curve import ask_curve_page
from ..evaluation.report.markdown import percent
from ..evaluation.scores import describe_posts
from ..util import write_whole
from ..vision.store import FeatureStore
from .loading import load_examples, load_pipeline
from .messages import print_warning
from .options import Code, Features, GpuId, ImageRoot
from .outputs import check_output
from .root import app


@app.command("ask-curve")
def ask_curve_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    data_path: Annotated[
        Path, typer.Argument(help="The .spacy file of gold posts with the view", exists=True)
    ],
    views: Annotated[
        str | None,
        typer.Option(
            "--views",
            help="Views that an answer fills, separated by commas; by default those that the "
            "extractors of the pipeline ask for, or knowledge",
        ),
    ] = None,
    gain: Annotated[
        float,
        typer.Option("--gain", help="Share of the gain of asking for all posts", min=0, max=1),
    ] = 0.9,
    below: Annotated[
        float | None,
        typer.Option(
            "--ask-below", help="Also score this threshold, such as that of dev data", min=0, max=1
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="JSON file to write the curve to", dir_okay=False),
    ] = None,
    image_root: ImageRoot = None,
    features: Features = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of random asking", min=0, max=2**32 - 1)
    ] = 0,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Choose the threshold of `annotate --ask-below`, and print what it is worth, as Markdown.

    The posts have the view already: in their file, or in the store of --features. No server is
    asked. Each post is read without the view and with it. The table has F1 by the share of posts
    that are read with it, the least confident first, and as many random posts beside it. The chosen
    threshold reaches --gain of what all answers gain, with the fewest posts. Choose it on dev data,
    and measure it on test data with --ask-below.
    """
    check_output(output, data_path, code)
    nlp = load_pipeline(model, code=code, gpu_id=gpu_id)
    if not any(components(nlp)):
        raise MsvseError(Errors.E092.format(path=model))
    if features is not None:
        for _, component in components(nlp):
            component.feature_store = FeatureStore(features)
    examples = load_examples(data_path, nlp, image_root)
    names = [] if views is None else [view.strip() for view in views.split(",") if view.strip()]
    progress = partial(tqdm, total=len(examples), unit="post", disable=not sys.stderr.isatty())
    curve = ask_curve(
        nlp, examples, views=names, gain=gain, below=below, seed=seed, progress=progress
    )
    curve["data"] = describe_posts(data_path)
    typer.echo(ask_curve_page(curve))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        # Unlike that of srsly, this JSON has all digits of a threshold.
        write_whole(output, json.dumps(curve, indent=2).encode("utf-8"))
        msg.good(f"Wrote {output}")
    # The last lines: a table above them would be taken for a measurement.
    shown = ", ".join(curve["views"])
    if missing := curve["posts"] - curve["answered"]:
        counts = {"count": missing, "posts": curve["posts"], "views": shown}
        print_warning(Warnings.W071.format(**counts))
    if curve["gain"]["low"] <= 0:
        scores = {"before": percent(curve["without"]), "after": percent(curve["with"])}
        print_warning(Warnings.W070.format(**scores, low=100 * curve["gain"]["low"]))
