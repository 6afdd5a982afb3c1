"""Small random models, saved as their libraries would save them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torchvision.models import get_model
from transformers import (
    BitImageProcessor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

CLASSES = ("person", "car", "dog", "cup", "kite")
WORDS = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", *CLASSES, "a", "photo", "of", "."]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SEES: dict[str, Any] = {**SIZES, "image_size": 32, "patch_size": 8}
READS: dict[str, Any] = {
    **SIZES,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 24,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def save_vision_model(folder: Path, kind: str, seed: int = 0) -> str:
    """Save a model, its image processor and, if it has to do with text, a tokenizer."""
    square = {"height": 32, "width": 32}
    cropped = {"size": {"shortest_edge": 36}, "crop_size": square}
    torch.manual_seed(seed)
    if kind == "clip":
        settings = {"vision_config": {**SEES, "projection_dim": 24}, "text_config": READS}
        model = CLIPModel(CLIPConfig(projection_dim=24, **settings))
        processor = CLIPImageProcessor(**cropped)
    elif kind == "siglip":
        text = {**READS, "projection_size": 32}
        model = SiglipModel(SiglipConfig(vision_config=SEES, text_config=text))
        processor = SiglipImageProcessor(size=square)
    elif kind in ("owlvit", "owlv2"):
        settings = {"vision_config": SEES, "text_config": READS, "projection_dim": 32}
        model = (
            OwlViTForObjectDetection(OwlViTConfig(**settings))
            if kind == "owlvit"
            else Owlv2ForObjectDetection(Owlv2Config(**settings))
        )
        processor = (OwlViTImageProcessor if kind == "owlvit" else Owlv2ImageProcessor)(size=square)
    elif kind == "vit":
        model = ViTForImageClassification(ViTConfig(**SEES))
        processor = ViTImageProcessor(size=square)
    elif kind == "dinov2":
        model = Dinov2Model(Dinov2Config(**{**SEES, "image_size": 56}))
        processor = BitImageProcessor(**cropped)
    else:
        text = {**READS, "sep_token_id": 3, "encoder_hidden_size": 32}
        model = BlipForConditionalGeneration(BlipConfig(vision_config=SEES, text_config=text))
        processor = BlipImageProcessor(size=square)
    randomize(model)
    if kind == "blip":
        # Only words, chosen by the picture and not by a bias.
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
            elif name.endswith(("patch_embedding.weight", "crossattention.output.dense.weight")):
                parameter.data *= 30
        model.text_decoder.cls.predictions.bias.data[:4] = -1000
    elif kind.startswith("owl"):
        # Each query has another box, and no box covers the whole picture.
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or name.startswith("class_head.logit"):
                parameter.data.zero_()
            elif name.startswith("box_head"):
                parameter.data *= 0.3
            elif name.endswith("token_embedding.weight"):
                parameter.data *= 30
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if kind in ("clip", "siglip", "blip", "owlvit", "owlv2"):
        save_tokenizer(folder)
    return str(folder)


def randomize(model: torch.nn.Module) -> None:
    """Make every weight matter: many start as zeros."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 0:
                noise = torch.randn_like(parameter)
                parameter.copy_(noise * 0.5 if parameter.dim() > 1 else 1 + noise)


def save_tokenizer(folder: Path) -> None:
    words = Tokenizer(WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    # CLIP reads a text at its end.
    words.post_processor = TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)


def save_torchvision_model(path: Path, architecture: str, seed: int = 0) -> str:
    """Save the state of one of torchvision's networks, with `CLASSES`."""
    torch.manual_seed(seed)
    detects = "rcnn" in architecture
    settings: dict[str, Any] = {"weights_backbone": None} if detects else {}
    model = get_model(architecture, weights=None, num_classes=len(CLASSES) + detects, **settings)
    settle(model, model.backbone if detects else model)
    if detects:
        stir(model)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


def settle(model: torch.nn.Module, backbone: torch.nn.Module) -> None:
    """Fit the statistics of a random backbone; without them its output is zero."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        backbone.train()(torch.randn(4, 3, 64, 64))


def stir(detector: torch.nn.Module) -> None:
    """Let the scores of a random detector depend on the picture."""
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.startswith(("backbone.fpn", "roi_heads.box_head")) and parameter.dim() > 1:
                torch.nn.init.kaiming_normal_(parameter)
        torch.nn.init.normal_(detector.roi_heads.box_predictor.cls_score.weight, std=0.02)
