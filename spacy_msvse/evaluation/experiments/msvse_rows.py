"""The ablation rows of MSVSE."""

from collections.abc import Mapping
from typing import Any

#: Matrix to row to settings of the component by their dotted names. The matrices are those of the
#: paper's Tables 2 to 6.
ROWS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "structure": {
        "without_attention": {"model.attention": False},
        "without_gate": {"model.gate": False},
        "without_attention_and_gate": {"model.attention": False, "model.gate": False},
        "without_multitask": {"model.multitask": False, "model.joint_decoding_weight": 0.0},
        "without_visual_classifier": {"model.visual_classifier": False},
        "without_prefixes": {"model.prefixes": False},
    },
    "deviations": {
        "third_of_layers_shared": {"model.shared_depth": 0.34},
        "half_of_layers_shared": {"model.shared_depth": 0.5},
        "paper": {"model.shared_depth": 0.0, "model.normalize_urls": False},
    },
    "reconstruction": {
        "view_layers_2": {"model.view_layers": 2},
        "prefix_length_8": {"model.prefix_length": 8},
        "text_loss_weight_1": {"model.text_loss_weight": 1.0},
        "tie_loss_weight_1": {"model.tie_loss_weight": 1.0},
        "visual_loss_weight_1": {"model.visual_loss_weight": 1.0},
        "joint_decoding_half": {"model.joint_decoding_weight": 0.5},
    },
    "joint_views": {
        "joint_text": {"model.joint_views": []},
        "joint_text_tags": {"model.joint_views": ["tags"]},
        "joint_text_tags_caption": {"model.joint_views": ["tags", "caption"]},
        "joint_text_caption": {"model.joint_views": ["caption"]},
    },
    "prefix_views": {
        "prefixes_regions": {"model.prefix_views": ["regions"]},
        "prefixes_regions_tags": {"model.prefix_views": ["regions", "tags"]},
        "prefixes_regions_caption": {"model.prefix_views": ["regions", "caption"]},
        "prefixes_all": {"model.prefix_views": ["regions", "tags", "caption"]},
    },
    "single_views": {
        "regions_only": {"model.prefix_views": ["regions"], "model.joint_views": []},
        "tags_only": {"model.prefix_views": ["tags"], "model.joint_views": ["tags"]},
        "caption_only": {"model.prefix_views": ["caption"], "model.joint_views": ["caption"]},
        "without_prefixes": {"model.prefixes": False},
    },
}
