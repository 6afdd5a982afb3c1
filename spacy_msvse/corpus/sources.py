"""Posts and extractors for a feature store."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import spacy
from spacy.util import load_config, registry

from ..component.defaults import DEFAULT_CONFIG
from ..component.reader import MAX_PICTURES, post_source, stored_keys
from ..component.settings import MAX_PICTURES_SETTING
from ..errors import Errors, MsvseError, Warnings
from ..vision.extraction import PostSource, find_keys
from ..vision.extractor import VisualExtractor
from ..vision.store import FeatureStore
from .reader import read_docs


def load_extractor(config_path: Path) -> VisualExtractor:
    """Make the extractors that a training config names, or the default ones.

    Args:
        config_path (Path): The config, or a file with only a section [vision].

    Returns:
        VisualExtractor: The extractors of its section [vision], or else of its first component
            that has any, without weights.

    Raises:
        MsvseError: If no component uses extractors (MSVSE-E066), or if an extractor does not fill
            its view (MSVSE-E010) or has a setting out of range (MSVSE-E007).
    """
    return make_extractor(load_vision(config_path))


def load_vision(config_path: Path) -> dict[str, Any]:
    """Read the section [vision] of a training config.

    Args:
        config_path (Path): The config, or a file with only a section [vision].

    Returns:
        dict: The section, or else that of its first component that uses extractors.

    Raises:
        MsvseError: If no component uses extractors (MSVSE-E066).
    """
    config = load_config(config_path)
    sections = [config["vision"]] if "vision" in config else []
    for component in config.get("components", {}).values():
        if component.get("factory") == "msvse_ner":
            sections.append(component.get("vision", DEFAULT_CONFIG["vision"]))
    # Paths and other variables do not matter here, so only this block is resolved.
    for vision in sections:
        if vision is not None:
            found: dict[str, Any] = vision
            return found
    raise MsvseError(Errors.E066.format(path=config_path))


def make_extractor(vision: dict[str, Any]) -> VisualExtractor:
    """Make the extractors that a section [vision] names.

    Args:
        vision (dict): The section.

    Returns:
        VisualExtractor: The extractors, without weights.

    Raises:
        MsvseError: If an extractor does not fill its view (MSVSE-E010), or if a setting is out of
            range (MSVSE-E007).
    """
    extractor: VisualExtractor = registry.resolve({"vision": vision})["vision"]
    return extractor


def load_max_pictures(config_path: Path | None) -> int:
    """Read how many pictures of a post the component of a training config reads.

    Args:
        config_path (Path): The config, or a file with only a section [vision]; None for none.

    Returns:
        int: The setting of its first component with extractors, or the default one.

    Raises:
        MsvseError: If the value cannot be used (MSVSE-E007).
    """
    config = {} if config_path is None else load_config(config_path)
    for name, component in config.get("components", {}).items():
        given = component.get("factory") == "msvse_ner" and component.get("max_pictures")
        if given:
            return int(MAX_PICTURES_SETTING.check("max_pictures", given, f"components.{name}"))
    return MAX_PICTURES


def read_sources(
    data_path: Path,
    refused: list[tuple[str, str]],
    *,
    max_pictures: int = MAX_PICTURES,
    progress: bool = False,
) -> Iterator[PostSource]:
    """Read the posts of a corpus for an extraction.

    Args:
        data_path (Path): A .spacy file, or a folder of such files.
        refused (list): Number and reason are added for each post that holds a value which cannot
            be used. Such a post is left out.
        max_pictures (int): How many pictures of a post are read, the first ones.
        progress (bool): Whether to show a progress bar for each file.

    Yields:
        PostSource: The posts.

    Raises:
        MsvseError: If there are no posts to read (MSVSE-E033, MSVSE-E042, MSVSE-E130).
    """
    docs = read_docs(data_path, spacy.blank("xx"), progress=progress)
    with_more = 0
    for number, doc in enumerate(docs, start=1):
        try:
            source = post_source(doc, max_pictures=max_pictures)
        except MsvseError as error:
            refused.append((f"post {number}", str(error)))
        else:
            with_more += len(doc._.images) > max_pictures
            yield source
    if with_more:
        warnings.warn(Warnings.W062.format(count=with_more, limit=max_pictures), stacklevel=2)


def find_corpus_keys(
    data_paths: Iterable[Path], image_root: str | Path | None, *, progress: bool = False
) -> tuple[set[str], list[str]]:
    """Find the keys under which a store keeps the features of corpora.

    Args:
        data_paths (Iterable[Path]): .spacy files, or folders of such files.
        image_root (Path): Folder of the pictures; None allows any path.
        progress (bool): Whether to show a progress bar for each file.

    Returns:
        tuple: The keys, also those by which posts name stored features; and a message for each
            post whose picture or other value cannot be read.

    Raises:
        MsvseError: If there are no posts to read (MSVSE-E033, MSVSE-E042, MSVSE-E130).
    """
    keys: set[str] = set()
    refused: list[str] = []

    def read() -> Iterator[PostSource]:
        for path in data_paths:
            docs = read_docs(path, spacy.blank("xx"), progress=progress)
            for number, doc in enumerate(docs, start=1):
                keys.update(key for key in stored_keys(doc) if isinstance(key, str))
                try:
                    # A pipeline may read any number of the pictures.
                    yield post_source(doc, max_pictures=max(1, len(doc._.images)))
                except MsvseError as error:
                    refused.append(f"{path}, post {number}: {error}")

    found, problems = find_keys(read(), image_root)
    return keys | found, [*problems, *refused]


def find_fingerprints(
    store_path: Path, prefixes: Iterable[str], config_path: Path | None = None
) -> set[str] | None:
    """Find extractors in a store.

    Args:
        store_path (Path): Folder of the store.
        prefixes (Iterable[str]): Beginnings of fingerprints.
        config_path (Path): Config with further extractors.

    Returns:
        set: Whole fingerprints; None if there are no prefixes and no config.

    Raises:
        MsvseError: If the store has no record of one of them (MSVSE-E062): a typing error would
            otherwise delete the records of all others. If there is no store (MSVSE-E033), it is
            damaged (MSVSE-E060) or cannot be opened (MSVSE-E065). If the config has no extractors
            that can be used (MSVSE-E010, MSVSE-E007, MSVSE-E066), or weights cannot be loaded
            (MSVSE-E011).
    """
    wanted = list(prefixes)
    if config_path is not None:
        extractor = load_extractor(config_path)
        extractor.initialize()
        wanted += extractor.fingerprints
    if not wanted:
        return None
    with FeatureStore(store_path, readonly=True) as store:
        known = {fingerprint for _, fingerprint, _ in store.scan()}
    found = set()
    for prefix in wanted:
        matching = {fingerprint for fingerprint in known if fingerprint.startswith(prefix)}
        if not matching:
            raise MsvseError(Errors.E062.format(path=store_path, fingerprint=prefix))
        found |= matching
    return found
