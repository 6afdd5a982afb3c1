"""Full disks and planted links: outputs stay whole, and nothing is written elsewhere."""

import contextlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import spacy
from spacy.tokens import DocBin

from .children import Child, child, cli, coded_exit, command, limit_file_size
from .pipelines import read_folder
from .scene import NAME, answers, expect_right, same, write_rows
from .verdicts import CRASH, HANG, LOSS, WRONG, Case, coded_warnings, expect


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path | None]:
    """A small file system of its own; None if this system permits none."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(options, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def snapshot(path: Path) -> object:
    if path.is_dir():
        return read_folder(path)
    return path.read_bytes() if path.exists() else None


def full_disk(case: Case) -> None:
    """A command whose disk becomes full ends with a coded error and leaves whole outputs."""
    chance, scene = case.chance, case.scene
    posts = write_rows(case.folder / "posts.jsonl", scene.rows * 20)
    gold = case.folder / "gold.spacy"
    docs = scene.docs() * 10
    DocBin(store_user_data=True, docs=docs).to_disk(gold)
    name = chance.choice(
        ("annotate", "convert", "render", "extract", "to_disk", "evaluate", "calibrate", "card")
    )
    mounted = chance.random() < 0.6
    # Enough for a part of the output only, where its size is known.
    size = {"annotate": 16, "convert": 4, "render": 64, "extract": 64, "evaluate": 4}.get(name, 300)
    kilobytes = max(4, chance.randrange(1, size + 1))
    case.say(f"{name} on {'a disk' if mounted else 'files'} of {kilobytes} KiB")
    with (
        small_disk(case.folder / "disk", kilobytes) if mounted else contextlib.nullcontext() as disk
    ):
        place = disk or case.folder / "outputs"
        place.mkdir(exist_ok=True)
        output = place / {"convert": "out.spacy"}.get(name, "out")
        old = None
        if name in ("convert", "render") and chance.random() < 0.5:
            with contextlib.suppress(OSError):
                output.write_bytes(b"old")
                old = b"old"
        arguments = {
            "annotate": ("annotate", scene.pipeline, posts, output, "--image-root", scene.pictures),
            "convert": (
                "convert",
                posts,
                output,
                "--format",
                "jsonl",
                "--allow-no-entities",
                "--image-root",
                scene.pictures,
            ),
            "render": ("render", scene.pipeline, posts, output, "--image-root", scene.pictures),
            "extract": (
                "extract",
                gold,
                output,
                "--config",
                scene.pipeline / "config.cfg",
                "--image-root",
                "/",
            ),
            "evaluate": ("evaluate", scene.pipeline, gold, "--output", output, "--image-root", "/"),
            "calibrate": (
                "calibrate",
                scene.pipeline,
                gold,
                "--output",
                output,
                "--image-root",
                "/",
            ),
            "card": ("card", scene.pipeline, case.folder / "scores.json", "--output", output),
        }
        if name == "card":
            with child(
                "evaluate",
                scene.pipeline,
                gold,
                "--output",
                case.folder / "scores.json",
                "--image-root",
                "/",
                folder=case.folder,
            ) as scored:
                expect(scored.wait() == 0, CRASH, scored.text[-300:])
        prepare = int if disk else limit_file_size(kilobytes * 1024)
        if name == "to_disk":

            def save() -> None:
                scene.nlp.get_pipe(NAME).to_disk(output)

            process = Child(save, case.folder, prepare)
        else:
            process = Child(cli(*arguments[name]), case.folder, prepare)
        status = process.wait()
        text = process.text
        process.end()
        expect(status is not None, HANG, "no end")
        expect(status in (0, 1, 70), CRASH, f"status {status}: {text[-300:]}")
        if status == 70 and "MSVSE-E" in text.strip().splitlines()[-1]:
            status = 1  # the coded error of a function is raised
            text = text.strip().splitlines()[-1]
        coded_exit(status or 0, text)
        after = snapshot(output)
        if status:
            rest = [path.name for path in place.glob(".*.tmp")]
            expect(not rest, LOSS, f"temporary files stay: {rest}")
            if name in ("convert", "render"):
                expect(after == old, WRONG, "the output is neither old nor whole")
            if name in ("to_disk", "calibrate", "card", "evaluate", "annotate"):
                expect(after in (old, None, {}), WRONG, "a part of the output is at its place")


def planted_link(case: Case) -> None:
    """Links with the names of temporary files are not followed."""
    chance, scene = case.chance, case.scene
    secret = case.folder / "secret"
    secret.write_text("secret")
    outside = case.folder / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    place = case.folder / "outputs"
    place.mkdir()
    name = chance.choice(("annotate", "convert", "render", "to_disk", "to_disk"))
    output = place / {"convert": "out.spacy", "to_disk": NAME}.get(name, "out")
    to_folder = name == "to_disk"
    target = outside if to_folder else secret
    pid = os.getpid()
    names = [f".{output.name}.{pid}.{end}" for end in ("tmp", "old")]
    names += [
        f"{output.name}.partial",
        f".{output.name}.tmp",
        f"{output.name}.tmp",
        f"{output.name}.lock",
    ]
    names += [f".{output.name}.lock", f".{output.name}.partial", f"{output.name}.json"]
    names += [f".{output.name}.json.{pid}.tmp"]
    for one in names:
        (place / one).symlink_to(target)
    case.say(f"{name} beside planted links")
    posts = write_rows(case.folder / "posts.jsonl", scene.rows)
    options = ("--image-root", scene.pictures)
    try:
        if to_folder:
            scene.nlp.get_pipe(NAME).to_disk(output)
        elif name == "convert":
            coded_exit(
                *command(
                    "convert", posts, output, "--format", "jsonl", "--allow-no-entities", *options
                )
            )
        else:
            coded_exit(*command(name, scene.pipeline, posts, output, *options))
    finally:
        kept = secret.read_text() == "secret" and [p.name for p in outside.iterdir()] == ["kept"]
        expect(kept, WRONG, f"a link was followed: {sorted(p.name for p in outside.iterdir())}")


def save_over_other(case: Case) -> None:
    """A save over an older pipeline on a full disk leaves one of the two, or an error."""
    scene, chance = case.scene, case.chance
    kilobytes = chance.randrange(300, 900)
    case.say(f"to_disk over another pipeline, {kilobytes} KiB")
    with small_disk(case.folder / "disk", kilobytes) as disk:
        place = (disk or case.folder) / "pipeline"
        shutil.copytree(scene.other, place)
        limit = chance.randrange(20, 200) * 1024
        process = Child(
            lambda: scene.nlp.to_disk(place), case.folder, int if disk else limit_file_size(limit)
        )
        status = process.wait()
        process.end()
        expect(status is not None, HANG, "no end")
        judge_mixture(case, place)


def judge_mixture(case: Case, place: Path) -> None:
    """A pipeline is one of two, or loading it is an error."""
    scene = case.scene
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            nlp = spacy.load(place)
    except Exception:
        return  # spaCy's own files may be cut
    found = answers(nlp.get_pipe(NAME), scene.docs(nlp))
    warned = coded_warnings(given)
    if not same(found, scene.other_answers) and not warned:
        expect_right(found, scene.answers, "a mixture:")
