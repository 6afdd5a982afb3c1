"""TransformersChatView with tiny random models of transformers."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extraction import PostSource, extract_posts
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.transformers_chat_view import TransformersChatView
from spacy_msvse.vision.features import PostContent
from spacy_msvse.vision.store import FeatureStore

from ..conftest import encode, photo
from ..models import SEES, SIZES, randomize

WORDS = ["[PAD]", "[UNK]", "</s>", "<image>", "user", "assistant", ":", "saw", "jordan", "amazon"]
WORDS += ["red", "blue", "green", "of", "in", "at"]

TEXT_TEMPLATE = (
    "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
PART_TEMPLATE = (
    "{% for m in messages %}{{ m.role }} : {% for c in m.content %}"
    "{% if c.type == 'image' %}<image> {% else %}{{ c.text }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


def make_tokenizer(template):
    words = Tokenizer(WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        additional_special_tokens=["<image>"],
        model_input_names=["input_ids", "attention_mask"],
        **special,
    )
    tokenizer.chat_template = template
    return tokenizer


def language_config():
    sizes = {**SIZES, "vocab_size": len(WORDS), "max_position_embeddings": 128}
    return LlamaConfig(**sizes, pad_token_id=0, eos_token_id=2, bos_token_id=None)


def only_words(model):
    """No special token in an answer, so that it depends on the question."""
    randomize(model)
    with torch.no_grad():
        model.lm_head.weight[:7] = 0
        for name, parameter in model.named_parameters():
            if name.endswith("patch_embedding.weight"):  # the picture decides
                parameter *= 30
    return model


@pytest.fixture(scope="module")
def writer(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("writer")
    torch.manual_seed(0)
    only_words(LlamaForCausalLM(language_config())).save_pretrained(folder)
    make_tokenizer(TEXT_TEMPLATE).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def seer(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("seer")
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**SEES, projection_dim=24),
        text_config=language_config(),
        image_token_index=WORDS.index("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    only_words(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        make_tokenizer(PART_TEMPLATE),
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=PART_TEMPLATE,
    ).save_pretrained(folder)
    return str(folder)


def initialised(source, **settings):
    extractor = TransformersChatView(weights=source, **{"max_tokens": 4, **settings})
    extractor.initialize()
    return extractor


def knowledge(extractor, *texts, pictures=()):
    items = [PostContent(text, pictures) if pictures else text for text in texts]
    return [found["knowledge"] for found in extractor.extract(items, [])]


def test_an_answer_is_that_of_the_model(writer):
    from transformers import AutoTokenizer

    extractor = initialised(writer, prompt="of {text}")
    (found,) = knowledge(extractor, "saw jordan")
    model = LlamaForCausalLM.from_pretrained(writer).eval()
    tokenizer = AutoTokenizer.from_pretrained(writer)
    pieces = tokenizer("user : of saw jordan assistant :", return_tensors="pt").input_ids
    expected = model.generate(pieces, max_new_tokens=4, do_sample=False)
    assert found == tokenizer.decode(expected[0, pieces.shape[1] :], skip_special_tokens=True)
    assert len(found.split()) == 4


def test_answers_depend_on_the_post_and_not_on_its_batch(writer):
    extractor = initialised(writer, prompt="of {text}", batch_size=3)
    texts = ["saw jordan", "amazon", "in red at green blue"]
    together = knowledge(extractor, *texts)
    assert together == [knowledge(extractor, text)[0] for text in texts]
    assert len(set(together)) > 1


def test_a_worked_example_is_read(writer):
    example = {"text": "amazon", "answer": "blue in red"}
    plain, taught = (
        knowledge(initialised(writer, prompt="{text}", examples=given), "saw jordan")
        for given in ([], [example])
    )
    assert plain != taught


def test_the_picture_is_read(seer):
    extractor = initialised(seer, prompt="of {text}", picture=True)
    seeds = (1, 1, *range(2, 10))
    first, again, *others = (
        knowledge(extractor, "saw jordan", "amazon", pictures=(photo(seed),)) for seed in seeds
    )
    assert first == again
    # A model with random weights may answer alike for two pictures, but not for nine.
    assert any(other != first for other in others)
    assert extractor.reads == "post"
    # Such a model also reads texts alone.
    assert knowledge(initialised(seer, prompt="of {text}"), "saw jordan")


@pytest.mark.parametrize("kind", ["writer", "seer"])
def test_a_saved_extractor_answers_alike(request, kind):
    source = request.getfixturevalue(kind)
    settings = {"prompt": "of {text}", "picture": kind == "seer"}
    extractor = initialised(source, **settings)
    pictures = (photo(1),) if kind == "seer" else ()
    expected = knowledge(extractor, "saw jordan", pictures=pictures)
    restored = TransformersChatView(weights="elsewhere", **{"max_tokens": 4, **settings})
    restored.from_files(extractor.to_files())
    assert knowledge(restored, "saw jordan", pictures=pictures) == expected
    assert restored.fingerprint == extractor.fingerprint


def test_answers_are_kept_in_a_store(writer, tmp_path):
    visual = VisualExtractor(knowledge=initialised(writer, prompt="of {text}"))
    with FeatureStore(tmp_path) as store:
        posts = [PostSource("saw jordan"), PostSource("saw jordan", (encode(photo(1)),))]
        found = [one.features["knowledge"] for one in extract_posts(visual, posts, store=store)]
        assert found[0] == found[1]
        assert len(store) == 1


def test_the_fingerprint_depends_on_the_question(writer):
    names = {initialised(writer, prompt=text).fingerprint for text in ("{text}", "of {text}")}
    names.add(initialised(writer, prompt="{text}", max_words=3).fingerprint)
    assert len(names) == 3


def test_a_model_that_sees_nothing_is_refused_for_pictures(writer):
    with pytest.raises(MsvseError, match=r"MSVSE-E011.*reads no pictures"):
        initialised(writer, picture=True)


def test_a_model_without_a_chat_template_is_refused(writer, tmp_path):
    LlamaForCausalLM.from_pretrained(writer).save_pretrained(tmp_path)
    make_tokenizer(None).save_pretrained(tmp_path)
    with pytest.raises(MsvseError, match="MSVSE-E231"):
        initialised(str(tmp_path))


def test_code_in_the_folder_is_not_run(writer, tmp_path):
    marker = tmp_path / "was-run"
    LlamaForCausalLM.from_pretrained(writer).save_pretrained(tmp_path)
    make_tokenizer(TEXT_TEMPLATE).save_pretrained(tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Evil: ...\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config.update(
        model_type="evil",
        auto_map=dict.fromkeys(("AutoConfig", "AutoModelForCausalLM"), "evil.Evil"),
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(MsvseError, match="MSVSE-E011"):
        initialised(str(tmp_path))
    assert not Path(marker).exists()
