"""Measure `extract` on synthetic photos: speed against a bare backbone, memory, second run, kills.

python benchmarks/extract.py metrics/extract.json   (a quarter of an hour on two cores)

The bare backbone is a plain loop in one thread: read, decode and resize a batch with Pillow, then
run the network. The loop and `extract` process the same pictures in turns, in one process and with
the same number of torch threads (OMP_NUM_THREADS), so that other programs slow both.
"""

import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import spacy
import srsly
import torch
import typer
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import load, save_file
from spacy.tokens import DocBin
from torchvision.models import resnet50
from tqdm import tqdm
from wasabi import msg

from spacy_msvse import make_doc
from spacy_msvse.vision.extraction import WORKERS, PostSource, fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0
from spacy_msvse.vision.extractors.tag_caption import TagCaption
from spacy_msvse.vision.extractors.torchvision_backbone import TorchvisionBackbone
from spacy_msvse.vision.features import Extractor
from spacy_msvse.vision.store import FeatureStore

CONFIG = """
[components]

[components.msvse_ner]
factory = "msvse_ner"
"""

SIDE = 224
BATCH = 16
KILLS = 3

#: Short sides as shares of the long one.
SHAPES = (1, 3 / 4, 2 / 3, 9 / 16)

#: The input of the networks: mean and standard deviation of 8-bit channels, and resampling.
LITE = (127.0, 128.0, Image.Resampling.BICUBIC)
IMAGENET = (
    255 * np.array([0.485, 0.456, 0.406]),
    255 * np.array([0.229, 0.224, 0.225]),
    Image.Resampling.BILINEAR,
)


def main(
    output: Annotated[Path, typer.Argument(help="JSON file to write; Markdown lies beside it")],
    pictures: Annotated[int, typer.Option(help="Photos to make")] = 200,
    many: Annotated[int, typer.Option(help="Pictures of the larger set")] = 2000,
    rounds: Annotated[int, typer.Option(help="Number of measurements of each rate")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of photos and kills")] = 0,
) -> None:
    """Measure, write and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_pictures(folder / "pictures", pictures, many, seed)
        few = [str(path) for path in paths[:pictures]]
        report: dict[str, Any] = {
            "machine": describe_machine(),
            "pictures": {"few": pictures, "many": many, "rounds": rounds, "seed": seed},
            "backbones": {
                "EfficientNet-Lite0": measure_speed(few, *make_efficientnet(), rounds),
                "ResNet-50": measure_speed(few, *make_resnet(folder), rounds),
            },
            "memory": measure_memory(folder, pictures, paths),
            "kills": measure_kills(folder, pictures, seed),
        }
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, report)
    rows = to_rows(report)
    output.with_suffix(".md").write_text(to_markdown(report, rows))
    msg.table(rows, header=("Measure", "Figure", "Aim"), divider=True)
    msg.good(f"Wrote {output} and {output.with_suffix('.md')}")


def make_pictures(folder: Path, photos: int, files: int, seed: int) -> list[Path]:
    """Make JPEGs of mixed sizes.

    Args:
        folder (Path): The folder to write to, which is created.
        photos (int): Number of different photos.
        files (int): Number of files. Further files are copies of the photos with a comment, which
            changes their key.
        seed (int): Seed of the photos.

    Returns:
        list: The paths of the files.
    """
    folder.mkdir()
    paths = [folder / f"{number}.jpg" for number in range(files)]
    for number, path in enumerate(tqdm(paths, unit=" pictures", desc="pictures")):
        if number < photos:
            make_photo(np.random.default_rng([seed, number])).save(path, quality=90)
        else:
            encoded = paths[number % photos].read_bytes()
            comment = f"copy {number}".encode()
            length = (len(comment) + 2).to_bytes(2, "big")
            path.write_bytes(encoded[:2] + b"\xff\xfe" + length + comment + encoded[2:])
    return paths


def make_photo(generator: np.random.Generator) -> Image.Image:
    """A sum of smooth noise at several scales, similar to a photo."""
    long = int(generator.integers(500, 1601))
    size = (long, round(long * generator.choice(SHAPES)))
    if generator.random() < 0.5:
        size = size[::-1]
    pixels = np.zeros((size[1], size[0], 3), dtype=np.float32)
    for cells, weight in ((4, 8), (16, 4), (64, 2), (256, 1)):
        noise = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        pixels += weight / 15 * np.asarray(layer, dtype=np.float32)
    return Image.fromarray(pixels.astype(np.uint8))


def make_efficientnet() -> tuple[Extractor, Callable[[list[str]], None]]:
    """The default extractor, and its network in a loop of its own."""
    extractor = EfficientNetLite0(batch_size=BATCH)
    extractor.initialize()
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(load(extractor.to_files()["weights.safetensors"]))
    # The same memory format as in the extractor: only the code around the network may differ.
    network = network.eval().to(memory_format=torch.channels_last)
    return extractor, partial(run_bare, network, *LITE)


def make_resnet(folder: Path) -> tuple[Extractor, Callable[[list[str]], None]]:
    """A ResNet-50 with random weights as an extractor, and in a loop of its own."""
    torch.manual_seed(0)
    network = resnet50().eval()
    save_file(network.state_dict(), folder / "resnet50.safetensors")
    extractor = TorchvisionBackbone(
        str(folder / "resnet50.safetensors"), architecture="resnet50", batch_size=BATCH
    )
    extractor.initialize()
    return extractor, partial(run_bare, network, *IMAGENET)


@torch.inference_mode()
def run_bare(network: Any, mean: Any, std: Any, resampling: Any, paths: list[str]) -> None:
    """Open, decode, resize, batch, and run the network, as a plain script would."""
    mean, std = (
        torch.as_tensor(value, dtype=torch.float32).view(-1, 1, 1) for value in (mean, std)
    )
    for start in range(0, len(paths), BATCH):
        squares = [
            np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE), resampling))
            for path in paths[start : start + BATCH]
        ]
        pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float()
        network((pixels - mean) / std)


def measure_speed(
    paths: list[str], extractor: Any, bare: Callable[[list[str]], None], rounds: int
) -> dict[str, Any]:
    """Pictures per second of the bare loop, of a first and of a second pass into a store."""
    visual = VisualExtractor(regions=extractor, tags=extractor, caption=TagCaption())
    posts = [PostSource(pictures=(path,)) for path in paths]
    bare(paths[: 2 * BATCH])  # some memory is allocated once
    measured: list[tuple[float, float, float]] = []
    for turn in tqdm(range(rounds), unit="round", desc=type(extractor).__name__):
        with tempfile.TemporaryDirectory() as folder, FeatureStore(folder) as store:
            fill = partial(fill_store, visual, posts, store)
            if turn % 2:
                first, alone = rate(paths, fill), rate(paths, partial(bare, paths))
            else:
                alone, first = rate(paths, partial(bare, paths)), rate(paths, fill)
            second = rate(paths, fill)
            if len(store) != len(paths):
                sys.exit(f"{len(store)} of {len(paths)} pictures were stored")
        measured.append((alone, first, second))
    return {
        "bare_per_second": median(alone for alone, _, _ in measured),
        "extract_per_second": median(first for _, first, _ in measured),
        "ratio": spread([first / alone for alone, first, _ in measured]),
        "second_run": spread([second / first for _, first, second in measured]),
    }


def rate(paths: list[str], run: Callable[[], object]) -> float:
    """Pictures per second."""
    start = time.perf_counter()
    run()
    return len(paths) / (time.perf_counter() - start)


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def measure_memory(folder: Path, pictures: int, paths: list[Path]) -> dict[str, Any]:
    """Peak memory of the command over few and over many pictures."""
    (folder / "extract.cfg").write_text(CONFIG)
    peaks = {}
    for name, part in (("few", paths[:pictures]), ("many", paths)):
        write_posts(folder / f"{name}.spacy", part)
        step = [sys.executable, str(Path(__file__).parent / "step.py"), str(folder), name]
        subprocess.run([*step, *extract_command(folder, name, name)], check=True)
        peaks[name] = srsly.read_json(folder / f"{name}.json")["peak_mb"]
    return {"few_mb": peaks["few"], "many_mb": peaks["many"], "ratio": peaks["many"] / peaks["few"]}


def measure_kills(folder: Path, pictures: int, seed: int) -> dict[str, Any]:
    """Kill the command three times over the few pictures, let it end, and compare the stores."""
    generator = random.Random(seed)
    killed_at = []
    with FeatureStore(folder / "killed") as store:
        for _ in range(KILLS):
            moment = len(store) + generator.randint(1, pictures // 5)
            run = subprocess.Popen(extract_command(folder, "few", "killed"))
            while len(store) < moment and run.poll() is None:
                time.sleep(0.01)
            run.kill()
            if run.wait() == 0:
                sys.exit("The command ended before it could be killed")
            killed_at.append(len(store))
        subprocess.run(extract_command(folder, "few", "killed"), check=True)
        with FeatureStore(folder / "few") as undisturbed:
            same = read_content(store) == read_content(undisturbed)
    return {"stored_when_killed": killed_at, "pictures": pictures, "same_content": same}


def read_content(store: FeatureStore) -> dict[tuple[str, str], bytes]:
    """All records, as they are on disk."""
    return {(fingerprint, key): record for key, fingerprint, record in store.scan()}


def write_posts(path: Path, pictures: list[Path]) -> None:
    """Write a corpus with one post for each picture."""
    nlp = spacy.blank("en")
    docs = [make_doc(nlp, "seen today", image=picture.name) for picture in pictures]
    DocBin(store_user_data=True, docs=docs).to_disk(path)


def extract_command(folder: Path, posts: str, store: str) -> list[str]:
    """The command `extract` with its arguments."""
    paths = [str(folder / f"{posts}.spacy"), str(folder / store)]
    options = ["--config", str(folder / "extract.cfg"), "--image-root", str(folder / "pictures")]
    return [sys.executable, "-m", "spacy", "msvse", "extract", *paths, *options]


def describe_machine() -> dict[str, Any]:
    """The machine and the libraries, on which the rates depend."""
    return {
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "workers": WORKERS,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pillow": Image.__version__,
    }


def to_rows(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The rows of the table: measure, figure and aim."""
    rows = []
    for name, speed in report["backbones"].items():
        rates = f"{speed['extract_per_second']:.1f} of {speed['bare_per_second']:.1f} pictures/s"
        rows.append((f"{name}: extract / bare", f"{show(speed['ratio'])}; {rates}", "0.90 or more"))
        rows.append((f"{name}: second / first run", show(speed["second_run"], 0), "50 or more"))
    memory, kills = report["memory"], report["kills"]
    few, many = report["pictures"]["few"], report["pictures"]["many"]
    rows.append(
        (
            f"Peak memory, {many} / {few} pictures",
            f"{memory['ratio']:.2f}; {memory['many_mb']:.0f} of {memory['few_mb']:.0f} MB",
            "1.20 or less",
        )
    )
    killed = ", ".join(map(str, kills["stored_when_killed"]))
    rows.append(
        (
            f"Killed with {killed} of {kills['pictures']} stored, run again",
            "same content" if kills["same_content"] else "other content",
            "same content",
        )
    )
    return rows


def show(values: dict[str, float], digits: int = 2) -> str:
    """Median and extremes in one cell."""
    middle, least, most = (f"{values[name]:.{digits}f}" for name in ("median", "least", "most"))
    return f"{middle} ({least} to {most})"


def to_markdown(report: dict[str, Any], rows: list[tuple[str, str, str]]) -> str:
    """The conditions of the measurement, and the table."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    table = ["| Measure | Figure | Aim |", "|---|---|---|"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    rounds = report["pictures"]["rounds"]
    note = f"Medians of {rounds} interleaved rounds, with minimum and maximum; {machine}."
    return "\n".join(["# Extraction", "", note, "", *table, ""])


if __name__ == "__main__":
    typer.run(main)
