"""The question to a language model about a post, and the parser of its answer."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import from_json

from ...settings import Names, Settings
from ..features import Features, PostContent, UnansweredError, View

#: What is asked for each view. Other views need a prompt of their own.
QUESTIONS = {
    "knowledge": (
        "Name the people, organizations, places and other named things in it, and say in a few "
        "words what each of them is. Begin with the names. Then say what the post is about."
    ),
    "caption": "Describe the picture in one sentence.",
    "tags": "List the main things in the picture, as single words with commas between them.",
}

#: The words that are asked for, in the default prompts.
_LENGTH = "Use at most {words} words in all, and no headings."

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_THOUGHTS = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)
_LISTED = re.compile(r"[,;\n]")
_BULLET = re.compile(r"^\s*(?:[-*•#]|\d+[.)])\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_LongText = Annotated[str, Field(min_length=1, max_length=100_000)]


def _check_examples(examples: tuple[Any, ...]) -> tuple[dict[str, str], ...]:
    for example in examples:
        if not isinstance(example, Mapping) or "answer" not in example:
            raise ValueError
        if not all(isinstance(part, str) for pair in example.items() for part in pair):
            raise ValueError
    return tuple(dict(example) for example in examples)


Examples = Annotated[
    tuple[Any, ...],
    AfterValidator(_check_examples),
    Field(
        description="a list of sections of texts, each with an `answer`, such as text and answer"
    ),
]


@dataclass(frozen=True)
class ChatPrompt(Settings):
    """Base of the extractors that ask a language model about a post.

    Attributes:
        views (tuple): The views that an answer fills. Of several views, the answer is a JSON object
            with these keys.
        prompt (str): The question. `{text}` is the text of the post, `{words}` is `max_words`,
            `{caption}`, `{tags}` and other names are views that are known, or nothing. None for a
            default question about each view.
        picture (bool): Whether the pictures of the post are sent.
        picture_side (int): Side of a square. A larger picture is shrunk to fit into it.
        examples (tuple): Worked examples, each with `answer`, and with `text` or the other values
            of the prompt.
        max_words (int): Maximum number of words of a view. A longer answer is cut.
        max_tokens (int): Maximum number of tokens of an answer.
    """

    views: Annotated[Names, Field(min_length=1)] = ("knowledge",)
    prompt: _LongText | None = None
    picture: bool = False
    picture_side: Annotated[int, Field(ge=16, le=8192)] = 768
    examples: Examples = ()
    max_words: Annotated[int, Field(ge=1, le=4096)] = 128
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 512

    region_dim = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("regions" not in self.views, "views", "textual views, without regions")
        asked = set(self.views) <= QUESTIONS.keys()
        expected = f"a text, unless all views are of {', '.join(QUESTIONS)}"
        self.require(self.prompt is not None or asked, "prompt", expected)
        filled = self._placeholders & set(self.views)
        self.require(not filled, "prompt", f"without {{{', '.join(sorted(filled))}}}, to be filled")
        reads = self.picture or self._placeholders - {"words"}
        self.require(bool(reads), "prompt", "a text with {text}, or `picture` must be true")

    @property
    def fills(self) -> tuple[str, ...]:
        """The views that an answer fills."""
        return self.views

    @property
    def reads(self) -> Literal["text", "post"]:
        """The kind of an item: a text, or a post if the question has pictures or other views."""
        return "post" if self.picture or self.reads_views else "text"

    @property
    def reads_views(self) -> bool:
        """Whether views that are known already are part of the question."""
        return bool(self._placeholders - {"text", "words"})

    @property
    def _placeholders(self) -> set[str]:
        return set(_PLACEHOLDER.findall(self._template))

    @property
    def _template(self) -> str:
        if self.prompt is not None:
            return self.prompt
        about = "a post of a social network, with its picture" if self.picture else "a post"
        lines = [f"This is {about}:", "", "{text}", ""]
        if len(self.views) == 1:
            return "\n".join([*lines, QUESTIONS[self.views[0]], _LENGTH])
        lines += [f"{view}: {QUESTIONS[view]}" for view in self.views]
        keys = ", ".join(f'"{view}"' for view in self.views)
        lines.append(f"Answer with one JSON object with the keys {keys}. Each value is a text.")
        return "\n".join([*lines, _LENGTH])

    def _parts(self) -> list[Any]:
        """The settings that an answer depends on."""
        pictures = self.picture_side if self.picture else 0
        examples = [dict(example) for example in self.examples]
        limits = [self.max_words, self.max_tokens]
        return [list(self.views), self._template, pictures, examples, *limits]

    def prepare(self, item: str | PostContent) -> PostContent:
        """Shrink the pictures that are sent.

        Args:
            item (str or PostContent): A text or a post.

        Returns:
            PostContent: The text, and copies of the pictures; none if they are not sent.
        """
        if isinstance(item, str):
            return PostContent(item)
        small = []
        for picture in item.pictures if self.picture else ():
            copy = picture.copy()
            copy.thumbnail((self.picture_side, self.picture_side))
            small.append(copy)
        return PostContent(item.text, tuple(small))

    def question(self, values: Mapping[str, Any]) -> str:
        """Fill the prompt.

        Args:
            values (Mapping): The text of the post as "text", and known views.

        Returns:
            str: The question. A view that is not known is an empty text.
        """

        def fill(match: re.Match[str]) -> str:
            value = self.max_words if match[1] == "words" else values.get(match[1], "")
            return ", ".join(value) if isinstance(value, list | tuple) else str(value)

        # Once, so that braces in a post are only text.
        return _PLACEHOLDER.sub(fill, self._template)

    def messages(self, content: PostContent, known: Features) -> list[dict[str, Any]]:
        """Make the messages of a conversation that ends with the question about a post.

        Args:
            content (PostContent): The result of `prepare`.
            known (Features): Views that are known.

        Returns:
            list: Messages with "role" and "content"; texts, or a list of a text and the pictures as
                {"type": "image", "image": picture}.
        """
        found: list[dict[str, Any]] = []
        for example in self.examples:
            found.append({"role": "user", "content": self.question(example)})
            found.append({"role": "assistant", "content": example["answer"]})
        texts = {view: value for view, value in known.items() if isinstance(value, str | list)}
        question: Any = self.question({**texts, "text": content.text})
        if content.pictures:
            images = [{"type": "image", "image": picture} for picture in content.pictures]
            question = [*images, {"type": "text", "text": question}]
        return [*found, {"role": "user", "content": question}]

    def read_answer(self, answer: str) -> Features:
        """Read the views from an answer.

        Args:
            answer (str): The answer. Thoughts in <think> are left out.

        Returns:
            Features: The views; those that the answer lacks are missing.

        Raises:
            UnansweredError: If there is nothing to read (MSVSE-E222).
        """
        answer = _THOUGHTS.sub("", answer).strip()
        if len(self.views) == 1:
            values: Any = {self.views[0]: answer}
        else:
            start, end = answer.find("{"), answer.rfind("}") + 1
            try:
                values = from_json(answer[start:end])
            except ValueError:
                raise UnansweredError("the answer is no JSON object") from None
        found = {view: self._clean(view, values.get(view)) for view in self.views}
        features: Features = {view: value for view, value in found.items() if value}
        if not features:
            raise UnansweredError("the answer has none of the views")
        return features

    def _clean(self, view: str, value: Any) -> View | None:
        if view == "tags":
            words = value if isinstance(value, list) else _LISTED.split(str(value or ""))
            tags = (_BULLET.sub("", word).strip(" .\"'") for word in words if isinstance(word, str))
            return list(dict.fromkeys(filter(None, map(_one_line, tags))))[: self.max_words]
        if isinstance(value, list):
            value = ", ".join(word for word in value if isinstance(word, str))
        if not isinstance(value, str):
            return None
        return " ".join(_one_line(value).split()[: self.max_words])


def data_uri(picture: Any) -> str:
    """Encode a picture as a JPEG in a data: URI.

    Args:
        picture (Image): An RGB picture.

    Returns:
        str: The URI.
    """
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"


def _one_line(text: str) -> str:
    return _CONTROL.sub("", " ".join(text.split()))
