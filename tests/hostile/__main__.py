"""The campaign: `python -m tests.hostile run`, `replay KIND SEED NUMBER` or `compare FILES`."""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# One thread, so that the answers of two processes are equal and processes can be forked.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run many cases and print a table")
    run.add_argument("--inputs", type=int, default=10_000, help="number of inputs")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--kinds", help="only these kinds, separated by commas")
    run.add_argument(
        "--output", type=Path, help="JSON file of the results; the table lies beside it"
    )
    replay = commands.add_parser("replay", help="run one case in this process and show how it ends")
    replay.add_argument("kind")
    replay.add_argument("seed", type=int)
    replay.add_argument("number", type=int)
    compare = commands.add_parser(
        "compare", help="print the tables of several results side by side"
    )
    compare.add_argument("results", nargs="+", type=Path)
    arguments = parser.parse_args()

    import torch

    import spacy_msvse

    from .campaign import listing, run_campaign, summary, table

    if arguments.command == "compare":
        print(table(*(json.loads(path.read_text("utf8")) for path in arguments.results)))
        return 0
    from .kinds import KINDS, prepare

    torch.set_num_threads(1)
    print(f"The package under test: {Path(spacy_msvse.__file__).parent}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        scene = prepare(Path(folder))
        if arguments.command == "replay":
            return show(scene, arguments.kind, arguments.seed, arguments.number)
        names = arguments.kinds.split(",") if arguments.kinds else list(KINDS)
        kinds = {name: KINDS[name] for name in names}
        start = time.monotonic()
        found = list(run_campaign(kinds, scene, arguments.seed, arguments.inputs, progress=True))
        seconds = time.monotonic() - start
    about = {"inputs": len(found), "seed": arguments.seed, "python": platform.python_version()}
    about |= {"package": spacy_msvse.__version__, "seconds": round(seconds)}
    result = summary(found, about)
    head = f"{len(found)} inputs, seed {arguments.seed}, {seconds / 60:.1f} minutes"
    text = f"{head}\n\n{table(result)}\n"
    print(text)
    print(listing(found))
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", "utf8")
        lines = f"{text}\n{listing(found)}\n"
        arguments.output.with_suffix(".txt").write_text(lines, "utf8")
    return int(any(finding.verdict != "ok" for finding in found))


def show(scene: Any, kind: str, seed: int, number: int) -> int:
    """Run one case in this process, with its traceback."""
    import traceback

    from .campaign import run_case
    from .kinds import KINDS
    from .verdicts import OK, Bad, Case

    folder = Path(tempfile.mkdtemp(dir=scene.folder))
    case = Case(kind, seed, number, folder, scene)
    try:
        KINDS[kind].run(case)
    except Bad as bad:
        print(f"{bad.verdict}: {bad.note}")
    except Exception:
        traceback.print_exc()
    again = Case(kind, seed, number, Path(tempfile.mkdtemp(dir=scene.folder)), scene)
    finding = run_case(KINDS[kind], again)
    print(json.dumps(vars(finding), indent=1))
    return int(finding.verdict != OK)


if __name__ == "__main__":
    raise SystemExit(main())
