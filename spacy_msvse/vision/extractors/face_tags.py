"""The number of people in a picture as a tag, and their faces as regions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from PIL.Image import Image
from pydantic import Field

from ...settings import Name, Names, Share
from ..features import Features, RegionFeatures
from .base import BatchSize, Most, NetworkExtractor

#: The label of a region.
LABEL = "face"


@dataclass(frozen=True)
class FaceTags(NetworkExtractor):
    """An extractor of tags and regions: the number of people, and their faces, by MTCNN, frozen.

    The tag gives the number of faces. The classes of ImageNet have no people, so this tag is
    mostly used beside theirs, by `JoinedTags`. The default words start with a number and need no
    article, so they read well in a list of tags and in the default caption: "a picture of two
    people, suit and stage". A text encoder knows them from ordinary text.

    The regions are the faces, the largest first, with the label "face". A picture without faces has
    no regions. Their vectors are the last hidden layer of the network; `DetectedCrops` with this
    extractor as the detector has those of another network. A person whose face is not visible is
    not found.

    Attributes:
        weights (str): The installed package with the weights, or a .pt, .pth or .safetensors file
            with the state of facenet-pytorch's MTCNN. Only `initialize` reads it. The package is
            not imported. It names old versions of torch as its dependencies, so install it by
            `pip install --no-deps facenet-pytorch`.
        batch_size (int): Number of pictures of a batch. The network reads them one by one.
        words (tuple): The tags for one face, for two faces and so on. The last one also stands for
            all larger numbers.
        min_score (float): Minimum probability of a face. Most faces in photos have more than 0.95,
            most false ones less than 0.9.
        max_regions (int): Maximum number of regions. The tag counts all faces.
        min_face (int): Side of the smallest face, in pixels of the shrunk picture. Half of it takes
            up to four times as long.
        max_size (int): The longer side of a picture in pixels, inside the network. A larger picture
            is shrunk.

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "facenet-pytorch"
    batch_size: BatchSize = 16
    words: Annotated[
        Names, Field(min_length=1, max_length=1000, description="a list of distinct texts")
    ] = ("one person", "two people", "three people", "several people")
    min_score: Share = 0.9
    max_regions: Most = 16
    min_face: Annotated[int, Field(ge=12, le=2048)] = 20
    max_size: Annotated[int, Field(ge=12, le=2048)] = 640

    fills = ("tags", "regions")
    region_dim = 256
    install = "pip install --no-deps facenet-pytorch"

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = f"at most {self.max_size}, the setting `max_size`"
        self.require(self.min_face <= self.max_size, "min_face", expected)

    def _find(self) -> None:
        from .weights import find_weight_files, read_weights

        files = {path.stem: read_weights(path) for path in find_weight_files(self.weights)}
        if len(files) == 1:
            (weights,) = files.values()
        else:  # one file for each network
            weights = {f"{name}.{key}": one for name in files for key, one in files[name].items()}
        self._load(weights, [])

    def _build(self, weights: dict[str, Any]) -> Any:
        from .face_network import FaceNetwork

        return FaceNetwork(
            weights, min_score=self.min_score, min_face=self.min_face, max_size=self.max_size
        )

    def _extract(self, network: Any, pictures: Sequence[Image]) -> Iterator[Features]:
        for picture in pictures:
            faces = network(network.to_pixels(picture))
            count = len(faces.scores)
            found: Features = {
                "tags": [self.words[min(count, len(self.words)) - 1]] if count else []
            }
            kept = min(count, self.max_regions)
            if kept:
                found["regions"] = RegionFeatures(
                    faces.vectors[:kept],
                    faces.boxes[:kept],
                    labels=[LABEL] * kept,
                    scores=faces.scores[:kept],
                )
            yield found
