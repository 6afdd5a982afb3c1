"""Hostile values of the attributes of a post, through `make_doc` and the pipeline."""

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError

from .. import tiny
from .extractors import MODES, TROUBLE
from .scene import NAME, answer, answers, expect_right, finite, same
from .verdicts import CRASH, LOSS, WRONG, Case, coded, coded_warnings, expect


def any_text(chance: random.Random) -> str:
    """A text that is unusual."""
    texts: tuple[Callable[[], str], ...] = (
        lambda: "",
        lambda: " ",
        lambda: "\0",
        lambda: "jordan\0florence",
        lambda: "\ud800",
        lambda: "saw \udfff today",
        lambda: "jordan " * chance.choice((1, 100, 3000)),
        lambda: "x" * chance.choice((10, 5000, 60_000)),
        lambda: "\u202ejordan\u202c",
        lambda: "e\u0301" * 500,
        lambda: "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 20,
        lambda: "<script>alert(1)</script>",
        lambda: "http://a.b/" + "c" * 2000,
        lambda: "\n\t\r\u2028\u0085",
        lambda: "[PAD] [CLS] [SEP] [MASK] [UNK]",
        lambda: "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randrange(40))),
        lambda: "\ufffe\uffff",
        lambda: "\u0663 \ufdfd \uff41 \u3000",
    )
    return chance.choice(texts)()


def any_number(chance: random.Random) -> Any:
    numbers = (0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 10**400, 0.5, math.nan, math.inf, -math.inf)
    return chance.choice((*numbers, 1e300, 1e-320, True, 1j))


def any_value(chance: random.Random, depth: int = 0) -> Any:
    """A value of any type."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: any_text(chance),
        lambda: any_number(chance),
        lambda: chance.randbytes(chance.randrange(20)),
        lambda: np.asarray([any_vector(chance)[0][:1]]),
        object,
        lambda: int,
    ]
    if depth < 4:
        kinds += [
            lambda: [any_value(chance, depth + 1) for _ in range(chance.randrange(4))],
            lambda: tuple(any_value(chance, depth + 1) for _ in range(chance.randrange(4))),
            lambda: {any_text(chance): any_value(chance, depth + 1) for _ in range(2)},
            lambda: {chance.randrange(9): any_value(chance, depth + 1)},
            lambda: {any_text(chance)},
        ]
    return chance.choice(kinds)()


def any_vector(chance: random.Random, width: int = 3) -> Any:
    """Region vectors of the right shape with at least one odd number."""
    odd = (math.nan, math.inf, -math.inf, 1e300, 3e38, 1e20, 70000.0, 1e-40, -0.0, 2.0**60)
    rows = [[chance.random() for _ in range(width)] for _ in range(chance.randrange(1, 4))]
    rows[0][chance.randrange(width)] = chance.choice(odd)
    return rows


def any_array(chance: random.Random) -> Any:
    """Region vectors of any shape and type."""
    with np.errstate(all="ignore"):
        shape = chance.choice(((1, 3), (0, 3), (3,), (1, 4), (2, 2, 3), (1, 0), (), (500, 3)))
        dtype = chance.choice(
            ("float16", "float32", "float64", "int8", "uint64", "bool", "U3", "O", "complex64")
        )
        return np.ones(shape).astype(dtype)


def hostile_arguments(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Name of an argument of `make_doc`, and all arguments."""
    makers: dict[str, Callable[[], Any]] = {
        "image": lambda: chance.choice(
            (any_value(chance), any_text(chance), "data:image/png;base64," + any_text(chance))
        ),
        "images": lambda: chance.choice(
            (any_value(chance), [any_value(chance), any_text(chance)], [any_text(chance)] * 6)
        ),
        "tags": lambda: chance.choice((any_value(chance), [any_text(chance), any_value(chance)])),
        "caption": lambda: chance.choice((any_value(chance), any_text(chance))),
        "texts": lambda: chance.choice((any_value(chance), {any_text(chance): any_value(chance)})),
        "regions": lambda: chance.choice(
            (
                any_value(chance),
                [("a", *[any_number(chance) for _ in range(5)])],
                [("a", *[any_number(chance) for _ in range(6)])],
                [(any_value(chance), 0.5, 0, 0, 1, 1)],
            )
        ),
        "features": lambda: chance.choice(
            (
                any_value(chance),
                any_vector(chance),
                any_vector(chance),
                any_array(chance),
                np.asarray(any_vector(chance)),
                np.asarray(any_vector(chance), dtype="float64"),
                [any_vector(chance), any_array(chance), any_value(chance)],
                [any_array(chance)] * 6,
                [any_text(chance), any_value(chance)],
            )
        ),
        "text_or_words": lambda: chance.choice(
            (any_value(chance), any_text(chance), [any_text(chance) for _ in range(3)])
        ),
        "spaces": lambda: chance.choice((any_value(chance), [True], [any_value(chance)] * 3)),
    }
    name = chance.choice(("features", *makers))
    arguments = {"text_or_words": ["saw", "jordan", "today"]} if name == "spaces" else {}
    return name, {"text_or_words": "saw jordan today", **arguments, name: makers[name]()}


def hostile_values(case: Case) -> None:
    """A value is refused with a coded error, or the post is annotated and loses nothing."""
    name, arguments = hostile_arguments(case.chance)
    nlp, component = case.scene.nlp, case.scene.nlp.get_pipe(NAME)
    case.say(f"{name} = {arguments[name]!r}")
    with np.errstate(all="ignore"):
        doc = make_doc(nlp, arguments.pop("text_or_words"), **arguments)
    check_post(case, doc)
    good = case.scene.docs()[:1]
    expect_right(answers(component, good), case.scene.answers[:1], "another post:")


def check_post(case: Case, doc: Doc) -> None:
    """Annotate a Doc, and judge its status, its numbers and whether it can be saved."""
    nlp, component = case.scene.nlp, case.scene.nlp.get_pipe(NAME)
    alone = doc.copy()
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        doc = component(doc)
    warned = coded_warnings(given)
    status, problems = doc._.image_status or {}, tiny.reasons(doc._.image_problems)
    several = len(doc._.images) > 1 or isinstance(doc._.image_features, list)
    for view, state in status.items():
        expected = (state == "unreadable") == (view in problems)
        expect(expected or (several and state != "absent"), LOSS, f"{view}: {status}, {problems}")
    expect(not problems or warned, LOSS, f"no warning names {problems}")
    expect(finite(doc._.visual_entities or {}), WRONG, f"numbers that are not finite: {status}")
    for entity in doc.ents:
        expect(
            0 <= (entity._.confidence or 0) <= 1.0001, WRONG, f"confidence {entity._.confidence}"
        )
    if len(doc) and "used" in status.values():
        marginals = component.label_marginals([alone])[0]
        expect(np.isfinite(marginals).all(), WRONG, f"marginals that are not finite: {status}")
    saved = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    again = next(iter(DocBin().from_bytes(saved).get_docs(nlp.vocab)))
    expect(same([answer(again)], [answer(doc)]), WRONG, "a DocBin changes the entities")


# An extractor that makes trouble, and training


def pipeline_with_trouble(case: Case) -> Any:
    """An initialised pipeline whose extractor can make trouble, and an example of each type."""
    nlp = spacy.blank("xx")
    hostile = {"@misc": "tests.HostileExtractor.v1"}
    nlp.add_pipe(
        "msvse_ner",
        config={
            "model": {
                "@architectures": "spacy-msvse.MSVSE.v1",
                "encoder": case.scene.encoder,
                "prefix_length": 2,
                "prefix_width": 16,
            },
            "vision": {
                "@misc": "spacy-msvse.VisualExtractor.v1",
                "regions": hostile,
                "tags": hostile,
                "caption": {"@misc": "spacy-msvse.TagCaption.v1"},
            },
            "min_view_share": 0.0,
        },
    )
    examples = []
    for number, label in enumerate(tiny.COLOURS):
        doc = make_doc(nlp, "saw jordan today", image=tiny.picture(label, seed=number))
        examples.append(Example.from_dict(doc, {"entities": [(4, 10, label)]}))
    return nlp, examples


def hostile_extractor(case: Case) -> None:
    """An extractor whose result cannot be used makes views unreadable, and loses no entity."""
    modes = [*MODES, "fails", "fewer results"]
    mode = modes[case.number % len(modes)]
    training = (case.number // len(modes)) % 2 == 1
    case.say(f"extractor: {mode}, {'training' if training else 'prediction'}")
    nlp, examples = pipeline_with_trouble(case)
    optimizer = nlp.initialize(lambda: examples)
    component = nlp.get_pipe(NAME)
    if training:
        train_in_trouble(case, nlp, examples, optimizer, mode)
        return
    for _ in range(12):
        nlp.update(examples, sgd=optimizer)
    docs = [example.predicted.copy() for example in examples]
    right = answers(component, docs)
    TROUBLE.mode = mode
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        found = [one.copy() for one in docs]
        try:
            list(component.pipe(found))
        except MsvseError:
            return
        except Exception as error:
            # Trouble with every item is an error of the extractor, whose author sees it.
            if mode in ("fails", "fewer results"):
                return
            raise error
    for doc in found:
        status = doc._.image_status
        expect(status, LOSS, "no status")
        expect(finite(doc._.visual_entities or {}), WRONG, f"numbers that are not finite: {status}")
        states = set(status.values())
        expect("unreadable" not in states or given, LOSS, f"no warning: {status}")
        if "used" in states:
            TROUBLE.mode = mode
            marginals = component.label_marginals([docs[found.index(doc)].copy()])[0]
            expect(np.isfinite(marginals).all(), WRONG, f"marginals that are not finite: {status}")
    expect_right([answer(doc) for doc in found[1:]], right[1:], "another post:")


def train_in_trouble(case: Case, nlp: Any, examples: Any, optimizer: Any, mode: str) -> None:
    """Training goes on without the batch, or ends with an error; no weight becomes NaN."""
    network = nlp.get_pipe(NAME).require_network()
    TROUBLE.mode = mode
    try:
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)
    except Exception as error:
        if not coded(error) and mode not in ("fails", "fewer results"):
            raise
    for name, values in network.state_dict().items():
        expect(np.isfinite(values.float().numpy()).all(), WRONG, f"{name} is not finite any more")
    TROUBLE.mode = None


def vectors_in_files(case: Case) -> None:
    """Vectors that a file holds, so that no assignment has checked them, in training too."""
    training = case.number % 2 == 1
    vectors = np.asarray(any_vector(case.chance), dtype=case.chance.choice(("float32", "float64")))
    case.say(
        f"vectors of a file: {vectors.tolist()} {vectors.dtype}, {'training' if training else ''}"
    )
    nlp, examples = pipeline_with_trouble(case)
    optimizer = nlp.initialize(lambda: examples)
    component = nlp.get_pipe(NAME)
    key = ("._.", "image_features", None, None)
    with np.errstate(all="ignore"):
        if not training:
            doc = examples[0].predicted.copy()
            doc.user_data[key] = vectors
            try:
                done = component(doc)
            except MsvseError as error:
                expect(coded(error), CRASH, error)
                return
            states = done._.image_status
            expect(finite(done._.visual_entities or {}), WRONG, f"not finite: {states}")
            if states.get("regions") == "used":
                again = examples[0].predicted.copy()
                again.user_data[key] = vectors
                marginals = component.label_marginals([again])[0]
                expect(np.isfinite(marginals).all(), WRONG, f"marginals not finite: {states}")
            return
        examples[0].predicted.user_data[key] = vectors
        train_in_trouble(case, nlp, examples, optimizer, "vectors")
