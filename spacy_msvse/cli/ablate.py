"""`python -m spacy msvse ablate`"""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.util import dot_to_object, load_config, load_model_from_config
from thinc.api import Config
from tqdm import tqdm
from wasabi import Printer, msg

from ..component import components
from ..corpus.files import check_corpus
from ..errors import Errors, MsvseError
from ..evaluation.experiments.collate import make_report
from ..evaluation.experiments.launch import DONE_BEFORE, FAILED, LOG, STARTED, train_all
from ..evaluation.experiments.plan import Plan, TrainRun, check_encoders, corpus_paths, make_plan
from ..evaluation.experiments.rows import BILSTM_CRF, FULL, GENERIC, vary
from ..evaluation.experiments.tables import (
    difference_cells,
    difference_heading,
    mean_cell,
    to_csv,
    to_latex,
    to_markdown,
)
from ..evaluation.report.markdown import percent
from ..util import write_whole
from ..vision.remote import check_remote_folder, is_remote
from .loading import check_gpu, coded_loading_errors, load_code, use_gpu
from .lock import locked
from .options import Code, GpuId
from .outputs import check_output
from .root import app

#: The readers of `.spacy` files. Another reader may read any file.
READERS = ("spacy-msvse.Corpus.v1", "spacy.Corpus.v1")


@app.command("ablate", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ablate_cli(
    ctx: typer.Context,
    config_path: Annotated[
        Path, typer.Argument(help="The config of the full model", exists=True, dir_okay=False)
    ],
    output: Annotated[
        Path, typer.Argument(help="Folder to write the runs and the tables to", file_okay=False)
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            "--test",
            help="The .spacy file of test posts to score; by default those of [corpora.test], or "
            "without it the dev posts",
            exists=True,
        ),
    ] = None,
    matrix: Annotated[
        str,
        typer.Option(
            "--matrix",
            help=f"What to vary, separated by commas: {', '.join(GENERIC)}, or a matrix of the "
            "config's method, such as structure",
        ),
    ] = "controls",
    rows: Annotated[
        str, typer.Option("--rows", help="Only these rows of the matrices, such as full,text_only")
    ] = "",
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help="Registered names of methods for the matrix methods, separated by commas; by "
            "default, those of this package",
        ),
    ] = "",
    configs: Annotated[
        Path | None,
        typer.Option(
            "--configs",
            help="JSON file with further rows: name to the path of a training config, relative to "
            "the file, or to an object with this path as 'config' and the settings that the row "
            "changes in it. It may be a config of any pipeline, for instance of spaCy's ner",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    against: Annotated[
        str, typer.Option("--against", help="The row that all others are compared with")
    ] = FULL,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Number of seeds, from 0", min=1, max=1000)
    ] = 3,
    bilstm: Annotated[
        Path | None,
        typer.Option(
            "--bilstm",
            help=f"Folder that `init-bilstm` has written, for the row {BILSTM_CRF}",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    code: Code = None,
    gpu_id: GpuId = -1,
    gpu_ids: Annotated[
        str,
        typer.Option(
            "--gpu-ids",
            help="GPUs to distribute the runs over, separated by commas, such as 0,1,2,3; instead "
            "of --gpu-id",
        ),
    ] = "",
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            help="Number of runs at a time; with --gpu-ids, on each GPU",
            min=1,
            max=256,
        ),
    ] = 1,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the best pipeline of each run")
    ] = False,
    report_only: Annotated[
        bool,
        typer.Option(
            "--report-only", help="Write the tables of the runs that have ended, and train nothing"
        ),
    ] = False,
) -> None:
    """Train variants of a config with several seeds, and compare their scores with those of the
    unchanged config, or with those of the row --against.

    Settings are given as for `spacy train`, for instance --paths.train train.spacy. The configs of
    further rows have them too, where they have the section.

    If the command is killed and run again, it continues at the first run that has not
    ended. ablation.md, ablation.json, ablation.csv and ablation.tex in the output are about the
    chosen rows.

    A line says when a run starts, and another one when it has ended. If a run fails, the others
    continue, and the exit status is 1.
    """
    overrides = parse_config_overrides(ctx.args)
    load_code(code)
    check_output(output)
    ctx.with_resource(locked(output))
    if test is not None:
        check_corpus(test)
    gpus = _gpu_numbers(gpu_ids, gpu_id)
    for number in gpus:
        check_gpu(number)
    use_gpu(gpus[0] if gpus else gpu_id)
    with coded_loading_errors(config_path):
        config = load_config(config_path, overrides=overrides, interpolate=False)
        nlp = load_model_from_config(config, auto_fill=True)
    reads_pictures = any(component.vision is not None for _, component in components(nlp))
    for name, path in corpus_paths(nlp.config).values():
        corpus = dot_to_object(nlp.config.interpolate(), name)
        if corpus.get("@readers") in READERS:
            check_corpus(path)
        root = corpus.get("image_root")
        if reads_pictures and is_remote(root):
            check_remote_folder(root)
        elif reads_pictures and root is not None and not Path(root).is_dir():
            raise MsvseError(Errors.E203.format(path=root, name=name))
    plan = make_plan(
        nlp,
        config_path,
        output,
        seeds=seeds,
        matrices=_split(matrix),
        only=_split(rows),
        test=test,
        methods=_split(methods),
        bilstm=bilstm,
        configs=read_configs(configs, overrides) if configs is not None else {},
        against=against,
    )
    if report_only:
        write_report(plan, output, [])
        return
    check_encoders(plan.runs)
    began: dict[int, float] = {}
    show = Printer(no_print=True)
    runs = tqdm(total=len(plan.runs), unit=" runs", disable=not sys.stderr.isatty())

    def print_outcome(number: int, run: TrainRun, outcome: str) -> None:
        title = f"[{number}/{len(plan.runs)}] {run}"
        if outcome == STARTED:
            began[number] = time.perf_counter()
            runs.write(show.info(f"{title}: training; its log is {run.folder / LOG}"))
            return
        runs.update()
        result = run.result()
        if outcome == FAILED or result is None:
            runs.write(show.fail(f"{title}: failed, see {run.folder / LOG}"))
            return
        scores = ", ".join(
            f"{split} F1 {percent(result[split]['ents_f'])}"
            for split in ("dev", "test")
            if split in result
        )
        if outcome == DONE_BEFORE:
            runs.write(show.info(f"{title}: {scores}, done before"))
        else:
            seconds = time.perf_counter() - began[number]
            runs.write(show.good(f"{title}: {scores}, in {seconds:.0f} s"))

    settings = {
        "gpu_id": gpu_id,
        "code": None if code is None else str(code),
        "keep_model": keep_models,
    }
    with runs:
        failed = train_all(plan.runs, settings, jobs, gpus, print_outcome)
    write_report(plan, output, failed)
    if failed:
        names = "; ".join(map(str, failed))
        total = len(plan.runs)
        raise MsvseError(Errors.E123.format(count=len(failed), total=total, runs=names, log=LOG))


def write_report(plan: Plan, output: Path, failed: Sequence[TrainRun]) -> None:
    """Write the tables of an experiment, and print the scores.

    Args:
        plan (Plan): The experiment.
        output (Path): The folder to write to.
        failed (Sequence[TrainRun]): The runs that ended with an error.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--report-only"]
    report = make_report(plan, "python -m spacy " + shlex.join(arguments), failed)
    output.mkdir(parents=True, exist_ok=True)
    pages = {
        "ablation.json": srsly.json_dumps(report, indent=2),
        "ablation.md": to_markdown(report),
        "ablation.csv": to_csv(report),
        "ablation.tex": to_latex(report),
    }
    for name, page in pages.items():
        write_whole(output / name, page.encode("utf8"))
    cells = [
        (row["row"], mean_cell(row["f1"]), *difference_cells(row["difference"]))
        for row in report["rows"]
    ]
    if cells:
        header = ("", "F1", difference_heading(plan.against), "p")
        msg.table(cells, header=header, aligns=("l", *"rrr"), divider=True)
    (msg.warn if failed else msg.good)(f"Wrote {output / 'ablation.md'}")


def read_configs(path: Path, overrides: Mapping[str, Any]) -> dict[str, Config]:
    """Read the configs that a file names.

    Args:
        path (Path): A JSON file: names to paths of configs, relative to its folder, or to objects
            with such a path ("config") and settings by their dotted names.
        overrides (Mapping): Settings for all of them, before those of a row. A config without the
            section of a setting does not have it.

    Returns:
        dict: Name to config, complete.

    Raises:
        MsvseError: If the file does not name configs (MSVSE-E204), or one of them cannot be loaded.
    """
    try:
        names = srsly.read_json(path)
    except ValueError as error:
        raise MsvseError(Errors.E204.format(path=path)) from error
    if not isinstance(names, dict):
        raise MsvseError(Errors.E204.format(path=path))
    configs = {}
    for name, given in names.items():
        settings = dict(given) if isinstance(given, dict) else {"config": given}
        place = settings.pop("config", None)
        if not isinstance(place, str):
            raise MsvseError(Errors.E204.format(path=path))
        config_path = path.parent / place
        if not config_path.is_file():
            raise MsvseError(Errors.E205.format(path=path, name=name, config=config_path))
        with coded_loading_errors(config_path):
            config = load_config(config_path, interpolate=False)
            given_to_all = {k: v for k, v in overrides.items() if _has_section(config, k)}
            config = vary(config, {**given_to_all, **settings})
            configs[name] = load_model_from_config(config, auto_fill=True).config
    return configs


def _has_section(config: Config, setting: str) -> bool:
    section: Any = config
    for part in setting.split(".")[:-1]:
        section = section.get(part) if isinstance(section, dict) else None
    return isinstance(section, dict)


def _gpu_numbers(gpu_ids: str, gpu_id: int) -> list[int]:
    numbers = _split(gpu_ids)
    if not all(number.isascii() and number.isdigit() for number in numbers) or (
        gpu_ids and (gpu_id >= 0 or not numbers)
    ):
        raise MsvseError(Errors.E197.format(value=gpu_ids))
    return list(dict.fromkeys(map(int, numbers)))


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
