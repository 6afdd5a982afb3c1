"""Mean F1 of the workflow `open` over its seeds, by data set and type, and its calibration.

    python benchmarks/open_table.py metrics/open benchmarks/results/open/seeds.md

The folder has a folder for each seed, with `dev.json` and `test.json`, as `open-evaluate` writes
them.
"""

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

SETS = {"all": "both sets", "btc": "Broad Twitter Corpus", "wnut17": "WNUT-17"}


def main(
    metrics: Annotated[Path, typer.Argument(help="Folder of the seeds", exists=True)],
    output: Annotated[Path, typer.Argument(help="Markdown file to write")],
) -> None:
    """Write the tables."""
    seeds = sorted(path.parent.name for path in metrics.glob("*/test.json"))
    lines = ["# The workflow `open`, by seed", ""]
    lines += [f"Seeds: {', '.join(seeds)}. Mean and standard deviation, in per cent.", ""]
    for part in ("dev", "test"):
        results = [json.loads((metrics / seed / f"{part}.json").read_text()) for seed in seeds]
        types = sorted(results[0]["ents_per_type"])
        head = ["posts", "number", "F1", "P", "R", *types]
        lines += [f"## {part}", "", row(head), row(["---", *["---:"] * (len(head) - 1)])]
        for key, title in SETS.items():
            slices = [one if key == "all" else one["slices"][key] for one in results]
            cells = [show([one[f"ents_{name}"] for one in slices]) for name in ("f", "p", "r")]
            cells += [show([find(one, name) for one in slices]) for name in types]
            lines.append(row([title, str(slices[0]["posts"]), *cells]))
        errors = show([one["calibration"]["ece"] for one in results])
        lines += ["", f"Expected calibration error: {errors}.", ""]
    output.write_text("\n".join(lines))


def find(scores: dict[str, Any], entity_type: str) -> float | None:
    """The F1 of a type; None if the posts do not cover it."""
    found = scores["ents_per_type"].get(entity_type)
    return None if found is None else found["f"]


def show(values: list[float | None]) -> str:
    """Mean and standard deviation in per cent."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.1f}{spread}"


def row(cells: list[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    typer.run(main)
