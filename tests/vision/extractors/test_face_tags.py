"""The number of people in a picture, and their faces.

Most tests use random weights, with which the network finds "faces" everywhere. The tests with the
published weights need the package facenet-pytorch.
"""

import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors import weights as weights_module
from spacy_msvse.vision.extractors.detected_crops import DetectedCrops
from spacy_msvse.vision.extractors.face_network import _Cascade, _square
from spacy_msvse.vision.extractors.face_tags import FaceTags

from ..conftest import CountingExtractor, photo

WORDS = ("one person", "two people", "three people", "several people")


def make_state() -> dict[str, torch.Tensor]:
    """Random weights, with which many boxes pass the three networks."""
    torch.manual_seed(0)
    network = _Cascade()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.dim() > 1:
                heads = name.endswith(("4_2.weight", "5_2.weight", "6_2.weight"))
                torch.nn.init.kaiming_normal_(tensor)
                tensor.mul_(0.05 if heads else 1)  # boxes move by a share of their size
            elif "prelu" not in name:
                tensor.zero_()
        network.pnet.conv4_1.bias[1], network.rnet.dense5_1.bias[1] = 5, 1
        network.onet.dense6_1.bias[1] = 1
    return {name: tensor.detach().clone() for name, tensor in network.named_parameters()}


@pytest.fixture(scope="module")
def state():
    return make_state()


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("faces") / "mtcnn.safetensors"
    save_file(state, path)
    return str(path)


def initialised(weights, **settings):
    settings = {"min_score": 0.5, "max_regions": 1000, **settings}
    extractor = FaceTags(weights, **settings)
    extractor.initialize()
    return extractor


@pytest.fixture(scope="module")
def extractor(file):
    return initialised(file)


def find(extractor, picture):
    (features,) = extractor.extract([picture], [{}])
    return features


PICTURES = [
    photo(seed, size) for seed, size in enumerate([(90, 60), (64, 100), (90, 60), (70, 50)])
]


# The features


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: f"{picture.size}")
def test_faces_are_boxes_within_the_picture_the_largest_first(extractor, picture):
    regions = find(extractor, picture)["regions"]
    assert len(regions.boxes) > 1
    assert regions.vectors.shape == (len(regions.boxes), extractor.region_dim)
    assert regions.vectors.dtype == regions.boxes.dtype == np.float32
    assert ((regions.boxes >= 0) & (regions.boxes <= 1)).all()
    sides = regions.boxes[:, 2:] - regions.boxes[:, :2]
    assert (sides > 0).all()
    assert all(one >= other for one, other in pairwise(sides.prod(axis=1).tolist()))
    assert regions.labels == ["face"] * len(regions.boxes)
    assert all(0.5 <= score <= 1 for score in regions.scores)


def test_no_face_lies_in_another(extractor):
    boxes = find(extractor, photo(0, (120, 90)))["regions"].boxes
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for row in range(len(boxes)):
        for other in range(row):
            corners = np.maximum(boxes[row, :2], boxes[other, :2])
            sides = np.minimum(boxes[row, 2:], boxes[other, 2:]) - corners
            assert sides.clip(0).prod() <= 0.701 * min(areas[row], areas[other])


def test_the_tag_is_the_word_for_the_number_of_faces(file):
    words = tuple(f"{number} people" for number in range(1, 1001))
    extractor = initialised(file, words=words)
    counts = set()
    for side in range(20, 50, 3):
        features = find(extractor, photo(1, (side, side)))
        count = len(features["regions"].boxes) if "regions" in features else 0
        assert features["tags"] == ([f"{count} people"] if count else [])
        counts.add(count)
    assert len(counts) > 3


def test_the_last_word_stands_for_all_larger_numbers(extractor, file):
    assert len(find(extractor, PICTURES[0])["regions"].boxes) > 4
    assert find(extractor, PICTURES[0])["tags"] == ["several people"]
    people = initialised(file, words=["people"])
    assert find(people, PICTURES[0])["tags"] == ["people"]


def test_a_picture_without_faces_has_no_tag_and_no_region(file):
    extractor = initialised(file, min_score=1.0)
    assert find(extractor, PICTURES[0]) == {"tags": []}


def test_regions_are_limited_and_the_tag_counts_all_faces(extractor, file):
    everything = find(extractor, PICTURES[0])
    few = find(initialised(file, max_regions=2), PICTURES[0])
    np.testing.assert_array_equal(few["regions"].boxes, everything["regions"].boxes[:2])
    np.testing.assert_array_equal(few["regions"].vectors, everything["regions"].vectors[:2])
    assert few["tags"] == everything["tags"]
    assert find(initialised(file, max_regions=0), PICTURES[0]) == {"tags": everything["tags"]}


def test_a_face_with_a_low_score_is_left_out(extractor, file):
    scores = find(extractor, PICTURES[0])["regions"].scores
    least = float(np.median(scores))
    regions = find(initialised(file, min_score=least), PICTURES[0])["regions"]
    assert 0 < len(regions.scores) < len(scores)
    assert min(regions.scores) >= least


def test_a_smallest_face_excludes_smaller_ones(file):
    picture = photo(0, (100, 100))
    sizes = [find(initialised(file, min_face=side), picture) for side in (12, 50)]
    small, large = (one["regions"].boxes[:, 2] - one["regions"].boxes[:, 0] for one in sizes)
    assert small.min() < 0.2 < 0.4 < large.min()


@pytest.mark.parametrize("batch_size", [3, 16])
def test_pictures_of_a_batch_do_not_influence_each_other(extractor, file, batch_size):
    pictures = [photo(seed, (50 - seed, 40)) for seed in range(4)]
    together = initialised(file, batch_size=batch_size).extract(pictures, [])
    for picture, features in zip(pictures, together, strict=True):
        alone = find(extractor, picture)
        assert features["tags"] == alone["tags"] != []
        np.testing.assert_array_equal(features["regions"].boxes, alone["regions"].boxes)
        np.testing.assert_array_equal(features["regions"].vectors, alone["regions"].vectors)


def test_a_prepared_picture_has_the_same_features(file):
    extractor, picture = initialised(file, max_size=60), photo(2, (200, 140))
    prepared = extractor.prepare(picture)
    assert prepared.size == (60, 42)
    one, other = find(extractor, picture), find(extractor, prepared)
    np.testing.assert_array_equal(one["regions"].boxes, other["regions"].boxes)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3000, 1), (1, 3000), (11, 11), (19, 400)])
def test_tiny_and_thin_pictures_have_no_faces(extractor, size):
    assert find(extractor, Image.new("RGB", size)) == {"tags": []}


def test_the_smallest_picture_that_can_hold_a_face_is_read(extractor):
    assert find(extractor, photo(0, (20, 20)))["tags"] in ([], *([word] for word in WORDS))


def test_a_huge_picture_is_shrunk(extractor):
    prepared = extractor.prepare(Image.new("RGB", (8000, 4000)))
    assert prepared.size == (640, 320)
    assert extractor.prepare(Image.new("RGB", (8000, 1))).size == (640, 1)


def test_a_network_gets_a_limited_number_of_boxes(extractor):
    """Also for noise, with weights that see faces everywhere."""
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    counts = []
    stages = (extractor.network.network.rnet, extractor.network.network.onet)
    hooks = [
        stage.register_forward_pre_hook(lambda _, windows: counts.append(len(windows[0])))
        for stage in stages
    ]
    features = find(extractor, Image.fromarray(noise))
    for hook in hooks:
        hook.remove()
    assert len(counts) == 2
    assert max(counts) == 512
    assert 4 < len(features["regions"].boxes) <= 512


def test_a_face_outside_of_the_picture_is_left_out(state, tmp_path):
    far = {**state, "onet.dense6_2.bias": torch.full((4,), 20.0)}
    save_file(far, tmp_path / "far.safetensors")
    assert find(initialised(str(tmp_path / "far.safetensors")), PICTURES[0]) == {"tags": []}


def test_later_networks_read_squares_around_the_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 4], [5, 5, 6, 9], [1, 1, 3, 3]])
    assert _square(boxes).tolist() == [[0, -3, 10, 7], [3.5, 5, 7.5, 9], [1, 1, 3, 3]]


# The weights


def test_a_package_is_read_and_not_imported(state, extractor, tmp_path, monkeypatch):
    """Its three files have the names of the networks. Those of eyes and mouth are not used."""
    folder = tmp_path / "tiny_faces"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    for name in ("pnet", "rnet", "onet"):
        own = {k.removeprefix(f"{name}."): one for k, one in state.items() if k.startswith(name)}
        if name == "onet":
            own.update({"dense6_3.weight": torch.zeros(10, 256), "dense6_3.bias": torch.zeros(10)})
        torch.save(own, folder / "data" / f"{name}.pt")
    monkeypatch.syspath_prepend(tmp_path)
    found = initialised("tiny-faces")
    assert found.fingerprint == extractor.fingerprint


def test_a_saved_extractor_needs_no_package(extractor, monkeypatch):
    monkeypatch.setattr(weights_module, "find_spec", lambda name: None)
    files = extractor.to_files()
    assert set(files) == {"extractor.json", "weights.safetensors"}
    assert json.loads(files["extractor.json"]) == {"categories": []}
    loaded = FaceTags("elsewhere", min_score=0.5, max_regions=1000)
    loaded.from_files(files)
    assert loaded.fingerprint == extractor.fingerprint
    one, other = find(extractor, PICTURES[0]), find(loaded, PICTURES[0])
    np.testing.assert_array_equal(one["regions"].vectors, other["regions"].vectors)
    np.testing.assert_array_equal(one["regions"].boxes, other["regions"].boxes)


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:-10], lambda d: b"\x80" + d])
def test_damaged_files_are_refused(extractor, damage):
    for name, content in (files := extractor.to_files()).items():
        with pytest.raises(MsvseError, match="E006"):
            FaceTags().from_files({**files, name: damage(content)})


def test_a_missing_package_is_an_error_that_says_how_to_install_it():
    with pytest.raises(MsvseError, match=r"E011.*'no-faces'.*FaceTags .*--no-deps facenet-pytorch"):
        FaceTags("no-faces").initialize()


def test_weights_of_another_network_are_refused(state, tmp_path):
    torch.save({"conv": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save({**state, "pnet.conv1.weight": torch.zeros(9, 3, 3, 3)}, tmp_path / "wide.pt")
    for name in ("other.pt", "wide.pt"):
        with pytest.raises(MsvseError, match=rf"E011.*{name}"):
            FaceTags(str(tmp_path / name)).initialize()


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_a_weight_file_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"pnet.conv1.weight": Malicious()}, tmp_path / "bad.pt")
    with pytest.raises(MsvseError, match=r"E011.*bad\.pt"):
        FaceTags(str(tmp_path / "bad.pt")).initialize()
    assert not (tmp_path / "ran").exists()


def test_loading_leaves_the_random_seed_alone(file):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    initialised(file)
    assert torch.equal(torch.rand(1), expected)


def test_construction_loads_nothing():
    extractor = FaceTags()
    for use in (
        lambda: find(extractor, photo()),
        extractor.to_files,
        lambda: extractor.fingerprint,
    ):
        with pytest.raises(MsvseError, match=r"E012.* FaceTags "):
            use()


def test_the_fingerprint_follows_the_settings_that_change_the_features(extractor, file):
    others = ({"words": ["face"]}, {"min_score": 0.6}, {"min_face": 30}, {"max_size": 320})
    names = {initialised(file, **settings).fingerprint for settings in others}
    assert len(names | {extractor.fingerprint}) == 5
    assert initialised(file, batch_size=2).fingerprint == extractor.fingerprint


def test_a_smallest_face_larger_than_the_picture_is_refused():
    with pytest.raises(MsvseError, match=r"E007.*FaceTags\.min_face is 700.*at most 640"):
        FaceTags(min_face=700)


# Beside other extractors


def test_the_faces_are_crops_of_another_encoder(extractor):
    crops = DetectedCrops(extractor, CountingExtractor())
    picture, faces = PICTURES[0], find(extractor, PICTURES[0])
    found = find(crops, picture)
    assert found["tags"] == faces["tags"]
    np.testing.assert_allclose(found["regions"].boxes[1:], faces["regions"].boxes, atol=1e-6)
    assert found["regions"].labels == ["", *faces["regions"].labels]
    assert found["regions"].vectors.shape == (1 + len(faces["regions"].boxes), 3)


def test_a_pipeline_saves_and_loads_it(file):
    from spacy import registry

    block = {"@misc": "spacy-msvse.FaceTags.v1", "weights": file, "min_score": 0.5}
    visual = VisualExtractor(**registry.resolve({"tags": block, "regions": dict(block)}))
    visual.initialize()
    assert list(visual.distinct) == ["regions"]  # one pass serves both views
    assert visual.region_dim == 256
    loaded = VisualExtractor(**registry.resolve({"tags": block, "regions": dict(block)}))
    loaded.from_files(visual.to_files())
    ((one,), (again,)) = (each.extract([PICTURES[0]]) for each in (visual, loaded))
    assert one["tags"] == again["tags"] == ["several people"]
    np.testing.assert_array_equal(one["regions"].vectors, again["regions"].vectors)


# The published weights


@pytest.fixture(scope="module")
def published():
    if find_spec("facenet_pytorch") is None:
        pytest.skip("facenet-pytorch is not installed")
    extractor = FaceTags()
    extractor.initialize()
    return extractor


@pytest.fixture(scope="module")
def portrait():
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut())


def overlap(box, other) -> float:
    """Intersection over union."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    both = sides.clip(0).prod()
    return both / ((box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - both)


@pytest.mark.parametrize("side", [100, 512, 1500])
def test_a_portrait_has_one_face(published, portrait, side):
    features = find(published, portrait.resize((side, side)))
    assert features["tags"] == ["one person"]
    assert features["regions"].scores[0] > 0.95
    assert overlap(features["regions"].boxes[0], np.array([0.36, 0.12, 0.52, 0.34])) > 0.7


def test_the_faces_of_a_picture_are_counted(published, portrait):
    head, places = portrait.crop((140, 20, 310, 210)), [(10, 10, 1.0), (420, 200, 0.9)]
    places += [(250, 60, 0.6), (300, 280, 0.4)]
    picture = Image.new("RGB", (640, 480), (90, 120, 90))
    for count, (x, y, scale) in enumerate(places, start=1):
        picture.paste(head.resize((int(170 * scale), int(190 * scale))), (x, y))
        features = find(published, picture)
        assert features["tags"] == [WORDS[count - 1]]
        middles = (features["regions"].boxes[:, :2] + features["regions"].boxes[:, 2:]) / 2
        for middle, (x, y, scale) in zip(middles, places[:count], strict=True):
            expected = (x + 84 * scale) / 640, (y + 97 * scale) / 480
            assert middle == pytest.approx(expected, abs=0.05)


def test_pictures_without_people_have_no_faces(published):
    data = pytest.importorskip("skimage.data")
    for name in ("coffee", "chelsea", "rocket", "coins"):
        picture = Image.fromarray(getattr(data, name)()).convert("RGB")
        assert find(published, picture) == {"tags": []}, name
    assert find(published, photo(0, (640, 480))) == {"tags": []}


def test_a_drawn_face_is_found(published):
    picture = Image.new("RGB", (200, 200), (120, 160, 200))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((50, 30, 150, 170), fill=(224, 180, 150))
    draw.chord((46, 20, 154, 90), 180, 360, fill=(60, 40, 20))
    for left in (72, 108):
        draw.ellipse((left, 80, left + 20, 92), fill="white")
        draw.ellipse((left + 7, 82, left + 15, 90), fill=(30, 20, 10))
        draw.line((left - 2, 73, left + 22, 73), fill=(50, 30, 10), width=4)
    draw.line((100, 95, 96, 118, 104, 118), fill=(180, 130, 100), width=3)
    draw.arc((78, 115, 122, 145), 20, 160, fill=(150, 40, 40), width=5)
    extractor = FaceTags(min_score=0.7)
    extractor.from_files(published.to_files())
    assert find(extractor, picture)["tags"] == ["one person"]
