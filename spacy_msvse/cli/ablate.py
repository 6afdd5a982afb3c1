"""`python -m spacy msvse ablate`"""

import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import srsly
import typer
from spacy.cli._util import import_code, parse_config_overrides, show_validation_error
from spacy.util import dot_to_object, load_config, load_model_from_config
from thinc.api import Config
from wasabi import msg

from ..errors import Errors
from ..evaluation import run as running
from ..evaluation.ablation import (
    BILSTM_CRF,
    MATRICES,
    TRAINED_SHUFFLED,
    Run,
    choose_rows,
    component_name,
    corpus_limits,
    corpus_paths,
    describe_data,
    plan_runs,
)
from ..evaluation.comparison import collate, difference_cells, list_runs, percent, to_markdown
from ..evaluation.controls import shuffle_corpus
from . import app
from .options import GpuId

LOG = "log.txt"


@app.command("ablate", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ablate_cli(
    ctx: typer.Context,
    config_path: Annotated[
        Path, typer.Argument(help="The config of the full model", exists=True, dir_okay=False)
    ],
    output: Annotated[
        Path, typer.Argument(help="Folder to write the runs and the table to", file_okay=False)
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            "--test",
            help="The .spacy file of test posts to score; by default [corpora.test], if there is "
            "one, and else the dev posts",
            exists=True,
        ),
    ] = None,
    matrix: Annotated[
        str, typer.Option("--matrix", "-m", help=f"What to vary, of {','.join(MATRICES)}")
    ] = "controls",
    rows: Annotated[
        str, typer.Option("--rows", help="Only these rows of the matrices, such as full,text_only")
    ] = "",
    seeds: Annotated[int, typer.Option("--seeds", help="With how many seeds, from 0", min=1)] = 3,
    bilstm: Annotated[
        Path | None,
        typer.Option(
            "--bilstm",
            help=f"Folder that `init-bilstm` has written, for the row {BILSTM_CRF}",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option("--code", "-c", help="Python file with registered functions", exists=True),
    ] = None,
    gpu_id: GpuId = -1,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="How many runs to carry out at a time", min=1)
    ] = 1,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the best pipeline of each run")
    ] = False,
) -> None:
    """Train variants of a config with several seeds, and compare what they score with the config
    as it is.

    Data and all else are set as with `spacy train`: --paths.train train.spacy, and likewise any
    setting of the config. Killed and run again, it goes on at the first run that has not ended.
    ablation.md and ablation.json in the output are of the rows that were asked for.
    """
    overrides = parse_config_overrides(ctx.args)
    import_code(code)
    with show_validation_error(config_path):
        config = load_config(config_path, overrides=overrides, interpolate=False)
        config = load_model_from_config(config, auto_fill=True).config
    try:
        component = component_name(config, config_path)
        if test is not None:
            dev = dot_to_object(config, config["training"]["dev_corpus"])
            config["corpora"]["test"] = whole_corpus(dev, test)
        limits = corpus_limits(config)
        data = {
            split: {**told, **limits.get(split, {})}
            for split, told in describe_data(config).items()
        }
        chosen, left_out = choose_rows(config, component, _split(matrix), _split(rows), bilstm)
        if TRAINED_SHUFFLED in chosen:
            chosen[TRAINED_SHUFFLED] = shuffle_corpora(config, output / "shuffled")
        runs = plan_runs(config, chosen, range(seeds), output / "runs")
    except ValueError as error:
        msg.fail(str(error), exits=1)
    how = {
        "component": component,
        "gpu_id": gpu_id,
        "code": None if code is None else str(code),
        "keep_model": keep_models,
    }
    # Rows that do not differ share a folder: one of them is carried out, and the others look.
    locks = {run.folder: Lock() for run in runs}

    def attempt(number: int, run: Run) -> bool:
        with locks[run.folder]:
            return carry_out(run, how, f"[{number}/{len(runs)}]")

    with ThreadPoolExecutor(jobs) as pool:
        ended = list(pool.map(attempt, range(1, len(runs) + 1), runs))
    failed = [
        f"{run.row}, seed {run.seed}"
        for run, has_result in zip(runs, ended, strict=True)
        if not has_result
    ]
    machines = [result["machine"] for run in runs if (result := run.result())]
    report: dict[str, Any] = {
        "rows": collate(runs),
        "runs": list_runs(runs),
        "scored": "test" if "test" in data else "dev",
        "command": "python -m spacy " + shlex.join(sys.argv[1:]),
        "seeds": list(range(seeds)),
        "data": data,
        "machines": [one for i, one in enumerate(machines) if one not in machines[:i]],
        "failed": failed,
        "left_out": left_out,
    }
    srsly.write_json(output / "ablation.json", report)
    (output / "ablation.md").write_text(to_markdown(report), encoding="utf8")
    cells = [
        (row["row"], percent(row["f1"]), *difference_cells(row["difference"]))
        for row in report["rows"]
    ]
    msg.table(cells, header=("", "F1", "to full (95%)", "p"), aligns=("l", *"rrr"), divider=True)
    msg.good(f"Wrote {output / 'ablation.md'}")
    if failed:
        msg.fail(
            Errors.E123.format(count=len(failed), total=len(runs), runs="; ".join(failed), log=LOG),
            exits=1,
        )


def whole_corpus(corpus: dict[str, Any], path: Path) -> dict[str, Any]:
    """Settings that read other posts as a corpus does, and all of them.

    corpus (dict): Settings of a reader.
    path (Path): The other posts.
    RETURNS (dict): Settings of a reader.
    """
    every = {"limit": 0, "max_length": 0, "augmenter": None}
    return {key: every.get(key, value) for key, value in corpus.items()} | {"path": str(path)}


def shuffle_corpora(config: Config, folder: Path) -> dict[str, str]:
    """Write the posts with the pictures of others.

    config (Config): A training config.
    folder (Path): Where to write them to.
    RETURNS (dict): What to override in the config so that it reads them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overrides = {}
    for split, (name, path) in corpus_paths(config).items():
        copy = folder / f"{split}.spacy"
        shuffle_corpus(path, copy)
        overrides[f"{name}.path"] = str(copy)
    return overrides


def carry_out(run: Run, how: dict[str, Any], progress: str) -> bool:
    """Carry a run out, unless it has ended before.

    run (Run): The run.
    how (dict): What else `train_and_score` is to know.
    progress (str): How far the matrix is.
    RETURNS (bool): Whether there is a result.
    """
    title = f"{progress} {run.row}, seed {run.seed}"
    ended_before = run.result() is not None
    if not ended_before:
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        run.config.to_disk(run.folder / running.CONFIG, interpolate=False)
        srsly.write_json(run.folder / running.PLAN, {**run.identity, **how})
        command = [sys.executable, "-m", running.__name__, str(run.folder)]
        with (
            (run.folder / LOG).open("w") as log,
            # It ends when this pipe does: see `end_with_parent`.
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            process.wait()
    result = run.result()
    if result is None:
        msg.fail(f"{title}: see {run.folder / LOG}")
        return False
    scores = ", ".join(
        f"{split} F1 {100 * (result[split]['ents_f'] or 0):.2f}"
        for split in ("dev", "test")
        if split in result
    )
    (msg.info if ended_before else msg.good)(f"{title}: {scores}")
    return True


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
