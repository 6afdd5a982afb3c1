"""A CRF tagger over a text encoder, with or without textual views after the text.

Its settings give the text baselines BERT-CRF and XLMR-CRF, and the methods that append further
texts to the post: tags (MSB), captions (ITA), knowledge (PGIM).
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn

from ...settings import Weight
from ..base import Network, NetworkConfig, Reads, token_vectors
from ..crf import Lattice
from ..decoder import LabelDecoder, tied_losses, token_loss
from ..encoders.base import Encoder
from ..inputs import Inputs, Loss, Outputs, Targets
from ..views import TextViews


@dataclass(frozen=True)
class TextCrfConfig(NetworkConfig):
    """Settings of a CRF tagger.

    Attributes:
        joint_views (tuple): Textual views that are encoded after the text. Without any, only the
            text is read.
        text_view (bool): Decode the text alone too, and tie both label distributions. Entities are
            read from the joint encoding.
        shared_decoder (bool): One CRF for both encodings, as in ITA, instead of two.
        text_loss_weight (float): Weight of the loss of the text alone.
        tie_loss_weight (float): Weight of the divergence between the marginals of both.
        tie_temperature (float): Temperature of these marginals (ITA: 4 on Twitter-2015).
    """

    joint_views: TextViews = ()
    text_view: bool = False
    shared_decoder: bool = False
    text_loss_weight: Weight = 1.0
    tie_loss_weight: Weight = 0.1
    tie_temperature: Annotated[float, Field(ge=0.01, le=100)] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        has_views = bool(self.joint_views)
        self.require(has_views or not self.text_view, "text_view", "false without joint views")
        self.require(
            self.text_view or not self.shared_decoder, "shared_decoder", "false without text_view"
        )

    @property
    def reads(self) -> Reads:
        """The joint views."""
        return Reads(joint=self.joint_views)


class TextCrf(Network):
    """A CRF tagger over a text encoder; textual views may follow the text.

    ITA: Wang et al., NAACL 2022, 2022.naacl-main.232. PGIM: Li et al., Findings of EMNLP 2023,
    2023.findings-emnlp.184.
    """

    Config = TextCrfConfig
    config: TextCrfConfig

    def __init__(
        self, config: TextCrfConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Build the decoders.

        Args:
            config (TextCrfConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Not used, since no region is read.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        self.decoder = LabelDecoder(encoder.width, len(config.types), config.dropout)
        self.text_decoder: LabelDecoder | None = None
        if config.text_view and not config.shared_decoder:
            self.text_decoder = LabelDecoder(encoder.width, len(config.types), config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """Compute the lattice of the text with its joint views, and of the text alone.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The first as `answer`; with `text_view` the second as "text".
        """
        mask = inputs.token_mask
        if not self.config.text_view:
            return Outputs(self.decoder(token_vectors(self.encoder(inputs.joint), inputs), mask))
        lower = self.encode_lower_layers(inputs, 0)
        text = self.encode_text(inputs, lower)
        joint, _ = self.encode_joint(inputs, lower, text)
        decode_text = self.text_decoder or self.decoder
        return Outputs(
            self.decoder(token_vectors(joint, inputs), mask),
            others={"text": decode_text(token_vectors(text, inputs), mask)},
        )

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """Negative log-likelihood of both encodings, and the divergence of their marginals.

        ITA: L = NLL(joint) + a NLL(text) + b t^2 KL(joint || text); the joint encoding is the
        teacher and gets no gradient from the divergence.

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "joint", and with `text_view` "text" and "tie", each a mean over the tokens
                of a post.
        """
        config, joint = self.config, outputs.answer
        assert isinstance(joint, Lattice)
        text = outputs.others.get("text")
        if not isinstance(text, Lattice):
            loss = self.reduce(token_loss(joint, targets.allowed))
            return Loss(loss, {"joint": loss})
        parts = tied_losses(joint, text, targets.allowed, config.tie_temperature)
        own, other, tie = map(self.reduce, parts)
        total = own + config.text_loss_weight * other + config.tie_loss_weight * tie
        return Loss(total, {"joint": own, "text": other, "tie": tie})
