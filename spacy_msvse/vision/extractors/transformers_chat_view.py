"""Views written by a language model of transformers, on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import Errors, MsvseError
from ...settings import Name
from ..features import Features, PostContent, UnansweredError, make_fingerprint
from .base import BatchSize, Precision
from .chat_prompt import ChatPrompt
from .frozen import Frozen
from .pretrained import PretrainedExtractor, load_model, load_part
from .weights_error import WeightsError


@dataclass(frozen=True)
class TransformersChatView(ChatPrompt, PretrainedExtractor):  # type: ignore[misc]
    """An extractor of views that a language model of transformers writes about a post.

    It takes text-generation models and, for pictures, image-text-to-text models, if they have a
    chat template. The weights are saved with the pipeline, like those of other extractors. For a
    large model, run `describe` once instead, and leave the extractor out of the pipeline.

    Attributes:
        weights (str): A name on the hub, fetched by `initialize`, or a local folder.
        batch_size (int): Number of posts in a batch. Posts with pictures are read one by one.
        precision (str): "float32", "float16" or "bfloat16", also of the weights.

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "Qwen/Qwen2.5-0.5B-Instruct"
    batch_size: BatchSize = 8
    precision: Precision = "float32"

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the weights and of the settings that an answer depends on.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        _ = self.network  # raises if there are no weights
        parts = [*self._parts(), self.precision, self._loaded.digest]
        return make_fingerprint([type(self).__name__, 1, *parts])

    def extract(self, items: Sequence[Any], known: Sequence[Features]) -> list[Features]:
        """Ask for the views of a batch of posts.

        Args:
            items (Sequence): Texts, posts, or results of `prepare`.
            known (Sequence[Features]): Views of each post that are known.

        Returns:
            list: Features of each; without a view that the answer lacks.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        known = known or [{} for _ in items]
        pairs: list[Any] = list(zip(items, known, strict=True))
        return super().extract(pairs, [])

    def _extract(self, network: "ChatNetwork", pairs: Sequence[Any]) -> Iterator[Features]:
        contents: list[tuple[PostContent, Features]] = [
            (self.prepare(item), views) for item, views in pairs
        ]
        conversations = [self.messages(content, views) for content, views in contents]
        for answer in network(conversations, self.max_tokens):
            try:
                yield self.read_answer(answer)
            except UnansweredError:  # it would answer the same the next time
                yield {}

    def _open(self, source: str, saved: Mapping[str, Any]) -> "ChatNetwork":
        from transformers import (
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )

        config = load_part(AutoConfig, source)
        sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        if self.picture and not sees:
            raise WeightsError(source, "the model reads no pictures; set `picture` to false")
        model = load_model(AutoModelForImageTextToText if sees else AutoModelForCausalLM, source)
        processor = load_part(AutoProcessor if sees else AutoTokenizer, source)
        if not getattr(processor, "chat_template", None):
            raise MsvseError(Errors.E231.format(weights=self.weights))
        return ChatNetwork(model, processor, self.precision)


class ChatNetwork(Frozen):
    """A frozen language model with a chat template.

    Args:
        model (PreTrainedModel): The model.
        processor (Any): Its processor if it sees pictures, else its tokenizer.
        precision (str): "float32", "float16" or "bfloat16", also of the weights.
    """

    def __init__(self, model: Any, processor: Any, precision: str) -> None:
        super().__init__(model, precision)
        self.network.to(getattr(torch, precision))
        self.parts = (processor,)
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.sees = processor is not self.tokenizer
        self.tokenizer.padding_side = "left"  # the answer follows the question
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def compute(self, conversations: Sequence[list[dict[str, Any]]], max_tokens: int) -> list[str]:
        """Answer conversations.

        Args:
            conversations (Sequence): Messages of each, as `ChatPrompt.messages` makes them.
            max_tokens (int): Maximum number of tokens of an answer.

        Returns:
            list: Answers.
        """
        pictures = [_pictures(one) for one in conversations]
        if any(pictures) and len(conversations) > 1:
            return [answer for one in conversations for answer in self.compute([one], max_tokens)]
        texts = [self._render(one) for one in conversations]
        given = {"padding": True, "return_tensors": "pt", "add_special_tokens": False}
        if self.sees:
            inputs = self.processor(images=pictures[0] or None, text=texts, **given)
        else:
            inputs = self.tokenizer(texts, **given)
        inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        inputs.pop("token_type_ids", None)
        pieces = self.network.generate(
            **inputs,
            max_new_tokens=max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        new = pieces[:, inputs["input_ids"].shape[1] :]
        answers: list[str] = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return answers

    def _render(self, messages: list[dict[str, Any]]) -> str:
        rendered = []
        for message in messages:
            content = message["content"]
            if self.sees:  # templates of such models expect parts
                parts = (
                    content if isinstance(content, list) else [{"type": "text", "text": content}]
                )
                content = [{k: v for k, v in part.items() if k != "image"} for part in parts]
            rendered.append({**message, "content": content})
        text: str = self.processor.apply_chat_template(
            rendered, tokenize=False, add_generation_prompt=True
        )
        return text


def _pictures(messages: list[dict[str, Any]]) -> list[Any]:
    content = messages[-1]["content"]
    return (
        [part["image"] for part in content if "image" in part] if isinstance(content, list) else []
    )
