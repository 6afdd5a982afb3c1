"""Pictures per second of each extractor, and its size.

python benchmarks/extractors.py OUTPUT.json   (ten minutes on one core, 6 GB)

The networks have the sizes of the published ones and random weights, which take the same time.
`FaceTags` is measured if facenet-pytorch is installed: its time depends on what the weights find.
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from wasabi import msg

ROUNDS = 3
PHOTO = (640, 480)


def main(output: Annotated[Path, typer.Argument(help="JSON file to write")]) -> None:
    """Measure every extractor in turn, on one thread; write a file and print a table."""
    torch.set_num_threads(1)
    rows = []
    for name, count, make in cases():
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            rows.append({"extractor": name, **measure(make(Path(folder)), count)})
        print(json.dumps(rows[-1]), file=sys.stderr)
    report = {"platform": platform.platform(), "torch": torch.__version__, "extractors": rows}
    output.write_text(json.dumps(report, indent=2))
    table = [
        (row["extractor"], f"{row['pictures_per_second']:.2f}", f"{row['mb']:.0f}") for row in rows
    ]
    msg.table(table, header=("extractor", "pictures/s", "MB"), divider=True)


def cases() -> Iterator[tuple[str, int, Callable[[Path], Any]]]:
    """Name, number of pictures in a batch, and a function that makes the extractor in a folder."""
    from spacy_msvse.component.precision import computes_bfloat16
    from spacy_msvse.vision.extractors.face_tags import FaceTags
    from spacy_msvse.vision.extractors.rapid_ocr import RapidOcr

    precisions = {"": "float32"}
    if computes_bfloat16(torch.device("cpu")):
        precisions[", bfloat16"] = "bfloat16"
    for suffix, precision in precisions.items():
        make = partial(make_efficientnet, precision=precision)
        yield f"EfficientNetLite0{suffix}", 16, make
    if find_spec("facenet_pytorch") is not None:
        yield "FaceTags", 16, lambda folder: FaceTags()
    yield "RapidOcr", 8, lambda folder: RapidOcr()
    for architecture in ("resnet50", "resnet152"):
        for suffix, precision in precisions.items():
            make = partial(make_backbone, architecture=architecture, precision=precision)
            yield f"{architecture}{suffix}", 16, make
    for architecture, count in (
        ("fasterrcnn_mobilenet_v3_large_320_fpn", 8),
        ("fasterrcnn_resnet50_fpn_v2", 2),
    ):
        yield architecture, count, lambda folder, name=architecture: make_detector(folder, name)
    for name in ("CLIP ViT-B/32", "DINOv2-small", "SigLIP-base"):
        yield name, 16, lambda folder, name=name: make_encoder(folder, name)
    yield "OWL-ViT B/32", 4, make_zero_shot_detector
    yield "BLIP-base", 4, make_captioner


def measure(extractor: Any, count: int) -> dict[str, float]:
    """Pictures per second of processor time, the median of some rounds, and the size in MB."""
    generator = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        noise = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        pictures.append(noise.resize(PHOTO, Image.Resampling.BICUBIC))
    extractor.initialize()
    extractor.extract(pictures[:1], [])
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        extractor.extract(pictures, [])
        seconds.append(time.process_time() - began)
    network = getattr(extractor, "network", None)
    tensors = [] if network is None else [*network.parameters(), *network.buffers()]
    return {
        "pictures_per_second": count / statistics.median(seconds),
        "mb": sum(tensor.nbytes for tensor in tensors) / 1e6,
    }


def make_efficientnet(folder: Path, precision: str) -> Any:
    """The offline extractor, from its package."""
    from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0

    return EfficientNetLite0(precision=precision)


def make_backbone(folder: Path, architecture: str, **settings: Any) -> Any:
    """A classifier of torchvision."""
    from spacy_msvse.vision.extractors.torchvision_backbone import TorchvisionBackbone

    weights = save_torchvision(folder, architecture)
    return TorchvisionBackbone(weights, architecture=architecture, **settings)


def make_detector(folder: Path, architecture: str) -> Any:
    """A detector of torchvision. With random weights the threshold is 0."""
    from spacy_msvse.vision.extractors.torchvision_detector import TorchvisionDetector

    weights = save_torchvision(folder, architecture, weights_backbone=None)
    return TorchvisionDetector(weights, architecture=architecture, min_score=0.0)


def save_torchvision(folder: Path, architecture: str, **settings: Any) -> str:
    """Save random weights."""
    from safetensors.torch import save_file
    from torchvision.models import get_model

    network = get_model(architecture, weights=None, **settings)
    path = folder / "weights.safetensors"
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, path)
    return str(path)


def make_encoder(folder: Path, name: str) -> Any:
    """A vision encoder of transformers, on 224 x 224 pixels."""
    import transformers

    from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder

    square = {"height": 224, "width": 224}
    if name.startswith("CLIP"):
        config: Any = transformers.CLIPVisionConfig(patch_size=32)
        model: Any = transformers.CLIPVisionModel(config)
        processor: Any = transformers.CLIPImageProcessor()
    elif name.startswith("DINOv2"):
        config = transformers.Dinov2Config(
            hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14
        )
        model = transformers.Dinov2Model(config)
        processor = transformers.BitImageProcessor(crop_size=square)
    else:
        model = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(image_size=224))
        processor = transformers.SiglipImageProcessor(size=square)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return TransformersEncoder(str(folder))


def make_captioner(folder: Path) -> Any:
    """BLIP with a random vocabulary and no end token, so that all captions have maximum length."""
    import transformers

    from spacy_msvse.vision.extractors.transformers_caption import TransformersCaption

    model = transformers.BlipForConditionalGeneration(transformers.BlipConfig())
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    transformers.BlipImageProcessor().save_pretrained(folder)
    save_tokenizer(folder, model.config.text_config.vocab_size)
    return TransformersCaption(str(folder))


def make_zero_shot_detector(folder: Path) -> Any:
    """OWL-ViT with a random vocabulary and its four usual queries."""
    import transformers

    from spacy_msvse.vision.extractors.zero_shot_detector import ZeroShotDetector

    model = transformers.OwlViTForObjectDetection(transformers.OwlViTConfig())
    model.save_pretrained(folder)
    transformers.OwlViTImageProcessor().save_pretrained(folder)
    save_tokenizer(folder, model.config.text_config.vocab_size)
    return ZeroShotDetector(str(folder))


def save_tokenizer(folder: Path, size: int) -> None:
    """Save a tokenizer with a vocabulary of made-up words."""
    import transformers

    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{number}" for number in range(size - len(special))]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]))
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    typer.run(main)
