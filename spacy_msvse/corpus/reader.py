"""Read `.spacy` files: training examples with pictures on both sides, and gold Docs."""

import random
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus as DocBinCorpus
from spacy.training import Example
from tqdm import tqdm

from ..doc import get_picture_attributes, set_picture_attributes
from ..doc_bin import read_doc_bin, read_docs_of
from ..errors import Errors, MsvseError, Warnings
from ..settings import AnyPath, checked, without_types
from .files import check_corpus
from .post import WORDS_GIVEN

Augmenter = Callable[[Language, Example], Iterator[Example]]

#: A number of tokens or posts; 0 for no limit.
Limit = Annotated[int, Field(ge=0, le=10**9)]


@without_types
def create_corpus(
    path: str | Path | None,
    image_root: str | Path | None = None,
    gold_preproc: bool = False,
    max_length: int = 0,
    limit: int = 0,
    augmenter: Augmenter | None = None,
    shuffle: bool = False,
) -> "Corpus":
    """Create a reader of `.spacy` files that keeps the pictures of posts.

    Args:
        path (str / Path): The file or the folder to read.
        image_root (str / Path): The folder of the pictures, or the URL of a remote one; nothing
            outside it is read. Defaults to None, which does not change the paths of pictures.
        gold_preproc (bool): Whether to use gold-standard sentences and tokens.
        max_length (int): The length in tokens from which posts are split into sentences. Defaults
            to 0, no limit.
        limit (int): How many posts to read. Defaults to 0, no limit.
        augmenter (Callable): Makes further examples from each example.
        shuffle (bool): Whether to shuffle the posts.

    Returns:
        Corpus: The reader. Call it with a pipeline.

    Raises:
        MsvseError: If there is no path (MSVSE-E037), nothing at the path (MSVSE-E033), no `.spacy`
            file (MSVSE-E042), a pointer of Git LFS (MSVSE-E130), or a setting out of range
            (MSVSE-E007).
    """
    if path is None:
        raise MsvseError(Errors.E037)
    corpus = Corpus(
        path,
        image_root=image_root,
        gold_preproc=gold_preproc,
        max_length=max_length,
        limit=limit,
        augmenter=augmenter,
        shuffle=shuffle,
    )
    check_corpus(path)
    return corpus


class Corpus(DocBinCorpus):
    """Read `.spacy` files like `spacy.training.Corpus`, and keep the pictures.

    spaCy's own class loses them on the predicted side, and on both sides if it splits or augments.

    Args:
        path (str / Path): The file or the folder to read.
        image_root (str / Path): The folder of the pictures, or None.
        limit (int): Number of posts to read; 0 for no limit.
        gold_preproc (bool): Whether to use gold-standard sentences and tokens.
        max_length (int): Length in tokens from which posts are split into sentences; 0: no limit.
        augmenter (Callable): Makes further examples from each example.
        shuffle (bool): Whether to shuffle the posts.
    """

    @checked("corpora.*")
    def __init__(
        self,
        path: AnyPath,
        *,
        image_root: AnyPath | None = None,
        limit: Limit = 0,
        gold_preproc: bool = False,
        max_length: Limit = 0,
        augmenter: Augmenter | None = None,
        shuffle: bool = False,
    ) -> None:
        super().__init__(
            path,
            limit=limit,
            gold_preproc=gold_preproc,
            max_length=max_length,
            augmenter=augmenter,
            shuffle=shuffle,
        )
        self.image_root = image_root
        self._warned_of_length = False

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Yield the examples.

        Args:
            nlp (Language): The pipeline that will read them.

        Yields:
            Example: The examples.

        Raises:
            MsvseError: If a picture lies outside `image_root` or is a URL (MSVSE-E021, E022), or
                there is nothing at the path (MSVSE-E033), no file that can be read (MSVSE-E042), or
                a pointer of Git LFS (MSVSE-E130).
        """
        references = self._read_references(nlp)
        if self.shuffle:
            shuffled = list(references)
            random.shuffle(shuffled)
            references = iter(shuffled)
        shortened = 0
        for reference in references:
            self._prepare_pictures(reference)
            if reference.user_data.get(WORDS_GIVEN):
                # spaCy then takes the words as they are. The file has the blanks between them.
                reference.has_unknown_spaces = True
            picture = get_picture_attributes(reference)
            parts = self._split(reference)
            shortened += sum(map(len, parts)) < len(reference)
            make_examples = (
                self.make_examples_gold_preproc if self.gold_preproc else self.make_examples
            )
            for example in make_examples(nlp, parts):
                for augmented in self.augmenter(nlp, example):
                    set_picture_attributes(augmented.predicted, picture)
                    set_picture_attributes(augmented.reference, picture)
                    yield augmented
        if shortened and not self._warned_of_length:
            self._warned_of_length = True
            warnings.warn(
                Warnings.W006.format(count=shortened, path=self.path, max_length=self.max_length),
                stacklevel=2,
            )

    def _read_references(self, nlp: Language) -> Iterator[Doc]:
        references = (doc for doc in read_docs(self.path, nlp) if len(doc))
        return islice(references, self.limit) if self.limit >= 1 else references

    def _prepare_pictures(self, reference: Doc) -> None:
        images = reference._.images
        if self.image_root is None or not isinstance(images, list):
            return
        if any(isinstance(image, str) for image in images):
            from ..vision.picture import locate_pictures

            reference._.images = locate_pictures(images, self.image_root)

    def _split(self, reference: Doc) -> list[Doc]:
        """Split a post that is too long into its sentences, and leave out too long ones."""
        if self.gold_preproc or self.max_length == 0 or len(reference) < self.max_length:
            return [reference]
        if not reference.has_annotation("SENT_START"):
            return []
        sentences = [sent.as_doc() for sent in reference.sents if len(sent) < self.max_length]
        for sentence in sentences:
            # `as_doc` loses it; without it, given words would be tokenized again.
            sentence.has_unknown_spaces = reference.has_unknown_spaces
        return sentences


def read_docs(path: str | Path, nlp: Language, *, progress: bool = False) -> Iterator[Doc]:
    """Read gold Docs one by one.

    Args:
        path (Path): A `.spacy` file or a folder of such files.
        nlp (Language): Gives the vocabulary.
        progress (bool): Whether to show a progress bar for each file.

    Yields:
        Doc: The Docs.

    Raises:
        MsvseError: If there is nothing at the path (MSVSE-E033), no file that can be read
            (MSVSE-E042), or a pointer of Git LFS (MSVSE-E130).
    """
    for file in check_corpus(path):
        doc_bin = read_doc_bin(file)
        docs = read_docs_of(doc_bin, nlp.vocab, file)
        yield from tqdm(
            docs, total=len(doc_bin), desc=Path(file).name, unit=" posts", disable=not progress
        )
