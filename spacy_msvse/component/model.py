"""The Thinc model around the network, and its registered architecture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thinc.api import Model

from ..network.config import NetworkConfig
from ..network.inputs import MsvseOutputs
from ..network.msvse import build_network
from ..network.pretrained import load_pretrained
from .batch import Collator, SpanGetter
from .posts import Post
from .shim import NetworkShim

MsvseModel = Model[Sequence[Post], MsvseOutputs]


def create_msvse_model(
    encoder: str,
    get_spans: SpanGetter,
    learning_rate_factors: dict[str, float],
    prefix_views: list[str],
    joint_views: list[str],
    attention: bool = True,
    gate: bool = True,
    prefixes: bool = True,
    visual_classifier: bool = True,
    multitask: bool = True,
    view_layers: int = 0,
    shared_depth: float = 0.0,
    prefix_length: int = 4,
    prefix_width: int = 256,
    text_loss_weight: float = 1.0,
    tie_loss_weight: float = 0.1,
    visual_loss_weight: float = 0.1,
    loss_divisor: float = 16.0,
    joint_decoding_weight: float = 0.0,
    max_view_words: int = 64,
    normalize_urls: bool = False,
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    lora: dict[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    layer_decay: float = 1.0,
    precision: str = "float32",
    grad_scaler_config: dict[str, Any] | None = None,
) -> MsvseModel:
    """Create the model, registered as `spacy-msvse.MSVSE.v1`. It has no network before it is
    initialised or loaded.

    encoder (str): A packaged encoder, a local folder or a name on the hub.
    get_spans (Callable): A span getter of spacy-transformers, for texts that are too long.
    learning_rate_factors (dict): Part of a parameter's name (`encoder`, `crf`, ...) to the factor
        on its learning rate.
    max_view_words (int): How many words of a textual view are read.
    normalize_urls (bool): Read every URL of a text as one known word. Not of the paper.
    tokenizer_config (dict): Settings of the encoder's tokenizer, as in spacy-transformers.
    transformer_config (dict): Settings of the encoder's configuration, likewise.
    layer_decay (float): A further factor on the learning rate of every encoder layer below the
        last.
    precision (str): "float32", "bfloat16" or "float16": what the network computes in.
    grad_scaler_config (dict): Settings of `torch.amp.GradScaler`, which "float16" needs.
    For all other settings see `NetworkConfig`.
    RETURNS (Model): A model from posts to the network's outputs; its backward pass takes the loss.
    RAISES (ValueError): For a setting out of range (MSVSE-E007).
    """
    settings = {
        "prefix_views": prefix_views,
        "joint_views": joint_views,
        "attention": attention,
        "gate": gate,
        "prefixes": prefixes,
        "visual_classifier": visual_classifier,
        "multitask": multitask,
        "view_layers": view_layers,
        "shared_depth": shared_depth,
        "prefix_length": prefix_length,
        "prefix_width": prefix_width,
        "text_loss_weight": text_loss_weight,
        "tie_loss_weight": tie_loss_weight,
        "visual_loss_weight": visual_loss_weight,
        "loss_divisor": loss_divisor,
        "joint_decoding_weight": joint_decoding_weight,
        "lora": lora,
        "gradient_checkpointing": gradient_checkpointing,
    }
    # Checked here, so that a wrong setting is refused when the pipeline is made.
    NetworkConfig.from_dict({"types": (), **settings})
    shim = NetworkShim(
        learning_rate_factors,
        layer_decay=layer_decay,
        precision=precision,
        grad_scaler_config=grad_scaler_config,
    )
    return Model(
        "msvse",
        forward,
        init=init,
        shims=[shim],
        attrs={
            "encoder": encoder,
            "tokenizer_config": tokenizer_config or {},
            "transformer_config": transformer_config or {},
            "get_spans": get_spans,
            "settings": settings,
            "max_view_words": max_view_words,
            "normalize_urls": normalize_urls,
            "dropout_rate": 0.1,
            "types": [],
            "region_dim": 1,
        },
    )


def get_shim(model: MsvseModel) -> NetworkShim:
    """The model's shim, which holds network and tokenizer."""
    shim = model.shims[0]
    assert isinstance(shim, NetworkShim)
    return shim


def network_config(model: MsvseModel) -> NetworkConfig:
    """The settings of the model's network: those it was built with, or will be."""
    network = get_shim(model).network
    if network is not None:
        return network.config
    attrs = model.attrs
    return NetworkConfig.from_dict(
        {"types": attrs["types"], "region_dim": attrs["region_dim"], **attrs["settings"]}
    )


def init(model: MsvseModel, X: Any = None, Y: Any = None) -> None:
    """Load the encoder and build the network for `attrs["types"]` and `attrs["region_dim"]`."""
    attrs = model.attrs
    encoder, tokenizer = load_pretrained(
        attrs["encoder"], attrs["tokenizer_config"], attrs["transformer_config"]
    )
    shim = get_shim(model)
    network = build_network(network_config(model), encoder, shim.backbone)
    shim.set_network(network, tokenizer)


def forward(
    model: MsvseModel, posts: Sequence[Post], is_train: bool
) -> tuple[MsvseOutputs, Callable]:
    """Collate posts and run the network."""
    shim = get_shim(model)
    network = shim.network
    assert network is not None
    if is_train:
        network.set_dropout(model.attrs["dropout_rate"])
    collate = Collator(
        shim.tokenizer,
        model.attrs["get_spans"],
        network.config,
        max_length=network.encoder.max_length,
        max_view_words=model.attrs["max_view_words"],
        normalize_urls=model.attrs["normalize_urls"],
    )
    return shim(collate(posts), is_train)


def untrained_views(model: MsvseModel, minimum: float) -> dict[str, float]:
    """The views that too few training posts carried. Nothing is said of a network that has seen
    too few posts to tell.

    model (Model): The model.
    minimum (float): The least share of posts.
    RETURNS (dict): View to its share.
    """
    network = get_shim(model).network
    shares: Mapping[str, float] = {}
    if network is not None and int(network.posts_seen) * minimum >= 1:
        shares = network.view_shares()
    return {view: share for view, share in shares.items() if share < minimum}
