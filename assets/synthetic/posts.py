"""Names, sentences, and the posts that combine them. Pictures are not part of this module.

The text of a marked post gives no hint of its name's type: the same text occurs once with each
type. In all other posts the text decides.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from random import Random

from subjects import LABELS

NAMES = {
    "train": (
        "Jordan", "Amazon", "Paris", "Austin", "Chelsea", "Mercury", "Lincoln", "Victoria",
        "Virginia", "Sydney", "Madison", "Dakota", "Orlando", "Savannah", "Santiago", "Cleveland",
        "Santa Monica", "Grand Rapids", "Saint Laurent", "San Jose",
    ),
    "dev": ("Tesla", "Georgia", "Brooklyn", "Houston", "Kingston", "Palo Alto"),
    "test": (
        "Florence", "Phoenix", "Ford", "Carolina", "Denver", "Hudson", "Montana", "Dallas",
        "Notre Dame", "El Dorado",
    ),
}  # fmt: skip

NEUTRAL = (
    "what a day with {name}",
    "finally got to see {name} up close",
    "still thinking about {name}",
    "{name} never disappoints",
    "nothing beats {name} on a Sunday",
    "So this is {name}",
    "here it is at last, {name}",
    "can't stop looking at {name}",
    "{name} this morning",
    "I could talk about {name} for hours",
    "okay {name}, you win",
    "first time with {name} and I get it now",
    "everyone keeps asking about {name}",
    "one more shot of {name} before lunch",
    "my favourite photo of {name} so far",
    "{name} looking good today",
    "Dear {name}, I missed you",
    "no filter, just {name}",
    "guess who snapped {name} again",
    "{name} , three years later",
    "a bit blurry but yes, that is {name}",
    "you either love {name} or you don't",
    "Was not ready for {name}",
    "tell me something nice about {name}",
    "best thing I saw all week: {name}",
    "two words for you: {name} !",
    "posting {name} because why not",
    "Happy Monday from me and {name}",
    "how is {name} even real",
    "throwing it back to {name}",
    "so happy I waited for {name}",
    "look what my phone remembered: {name}",
    "{name} in all its glory, or what is left of it",
    "this is your daily dose of {name}",
    "some people just don't understand {name}",
    "Honestly? {name} was better than I thought",
    "not sure what I expected from {name}",
    "{name} again, sorry not sorry",
    "say hello to {name}",
    "my sister sent me this one of {name}",
)

NEUTRAL_UNSEEN = (
    "somehow I keep coming back to {name}",
    "{name} , as promised",
    "All I wanted this year was {name}",
    "drop a heart if you like {name}",
    "we need to talk about {name}",
    "yesterday was all about {name}",
    "another angle of {name} for those who asked",
    "I see {name} and I smile",
    "caught {name} at just the right moment",
    "is it too early for {name} ?",
    "Big fan of {name} since forever",
    "not my best picture, but {name} deserves it",
)

CONTEXT = {
    "PER": (
        "{name} scored twice tonight and thanked her mum",
        "happy birthday {name}, you are the kindest man I know",
        "{name} told me he is getting married in spring",
        "my cousin {name} just learned to ride a bike",
        "interviewing {name} about her childhood tomorrow",
        "{name} broke his wrist and still smiled at the nurses",
        "the singer {name} forgot her own lyrics",
        "Coach {name} shouted at us all evening",
        "{name} and his wife adopted a puppy",
        "rest in peace {name}, born 1931, a gentle soul",
        "I went to school with {name}, she was always late",
        "Mr {name} teaches maths to my son",
        "{name} wept when they read out her name",
        "young {name} won the spelling contest, his dad is proud",
        "saw {name} jogging with her headphones on, she waved",
        "grandpa {name} sang for the nurses",
        "{name} hugged her brother at the funeral",
        "the actor {name} is growing a beard",
        "Dr {name} is the most patient doctor I ever had",
        "{name} lost his temper, then apologised to his mother",
        "old {name} turned seventy, she danced all night",
        "{name} says his knee hurts",
        "our neighbour {name} found my keys",
        "the writer {name} signed a book for me",
    ),
    "LOC": (
        "flew to {name} last week",
        "it has been raining in {name} for days",
        "driving north from {name}, traffic is awful",
        "we rented a flat near the centre of {name}",
        "the streets of {name} are empty at night",
        "earthquake felt across {name} this morning",
        "Moving to {name} in June, any tips for the weather",
        "the old bridge in {name} is closed to cars",
        "population of {name} doubled in ten years",
        "hiking in the hills outside {name} with the dog",
        "got lost somewhere between the harbour and {name}",
        "born and raised in {name}, never left town",
        "snow over {name} tonight, roads are blocked",
        "our train reaches {name} at noon",
        "the mayor wants more trees in downtown {name}",
        "landed safely in {name}, now looking for the hotel",
        "walking along the river in {name} at dawn",
        "floods in {name} tonight, the highway is closed",
        "a week in {name} with a tent and no plan",
        "taxi from {name} airport cost a fortune",
        "the weather in {name} was lovely",
        "three days south of {name} by the sea",
        "every road near {name} is under water",
        "streets full of people in {name}",
    ),
    "ORG": (
        "{name} hires 200 engineers, shares up 3%",
        "{name} reported a loss for the third quarter",
        "the board of {name} sacked its chief executive",
        "got a job offer from {name}, salary is great",
        "{name} is suing a rival over a patent",
        "customer service at {name} kept me on hold for an hour",
        "workers at {name} go on strike on Friday",
        "regulators fined {name} for late filings",
        "{name} opens its new head office, 900 staff move in",
        "investors are selling {name} stock before the merger",
        "{name} buys a smaller competitor for two billion",
        "internship at {name} starts tomorrow, nervous about HR",
        "{name} cut its dividend and its workforce",
        "the lawyers of {name} announced a settlement",
        "{name} recruits graduates, apply on the company site",
        "record profit at {name}, shares jump",
        "{name} lays off half of its staff",
        "shareholders of {name} are angry about the bonus",
        "{name} signed a contract worth millions",
        "the audit of {name} found missing invoices",
        "government contract goes to {name}",
        "the chief executive of {name} wants a merger",
        "{name} will create 300 jobs",
        "two managers of {name} resigned",
    ),
    "MISC": (
        "reading my copy of {name}, the new novel",
        "the final season of {name} was badly written",
        "just unboxed my {name}, the battery lasts two days",
        "{name} is the best track on the album",
        "downloaded {name} and the app keeps crashing",
        "playing {name} on the console until late",
        "the film {name} is out on DVD",
        "my {name} needs new tyres and an oil change",
        "chapter four of {name} made me cry",
        "Preordered the limited edition {name} in blue",
        "the soundtrack of {name} is on repeat",
        "version 2 of {name} fixes the login bug",
        "rewatching {name}, episode six is the funniest",
        "painted in 1890, {name} hangs above the stairs",
        "selling my used {name}, box and charger included",
        "the trailer of {name} spoils the ending",
        "finished {name}, a novel in three parts",
        "my favourite song is {name}",
        "{name} is the best game on sale this week",
        "my {name} came without a charger",
        "season two of {name} starts tonight",
        "ten hours into {name} and stuck at level four",
        "the screen of my {name} is broken",
        "track two on the record is {name}",
    ),
}

CONTEXT_UNSEEN = {
    "PER": (
        "{name} lost her keys, so her brother drove her home",
        "grandpa {name} turned ninety and danced with his nurse",
        "Dr {name} says my knee will heal, she is so patient",
        "{name} apologised for his tweet and hugged his mother",
        "the actor {name} shaved his beard",
    ),
    "LOC": (
        "landed in {name}, now a taxi to the hotel",
        "the weather in {name} is awful, floods on every road",
        "walking through the streets of {name} at dawn",
        "a week by the river near {name} with a tent",
        "south of {name} the highway is closed",
    ),
    "ORG": (
        "{name} posts record profit, shares jump",
        "{name} lays off a tenth of its staff",
        "the chief executive of {name} resigned after the audit",
        "shareholders of {name} vote on the merger",
        "{name} signed a contract with the government, jobs to follow",
    ),
    "MISC": (
        "finished the novel {name} in one night, what an ending",
        "the trailer for season two of {name} is out",
        "my new {name} came with a broken charger",
        "{name} the game is on sale, ten hours in already",
        "track three, {name}, is my favourite song on the album",
    ),
}

# The slots are labels. The text around a slot fits only its label.
TWO_ENTITIES = (
    "{PER} flew home to {LOC} to see his parents",
    "{ORG} sacked {PER} after she complained",
    "{ORG} closes its offices in {LOC}",
    "{PER} finished reading {MISC}, the new novel, to her son",
    "the film {MISC} was shot on the beaches of {LOC}",
    "{ORG} launches the {MISC} phone in three colours",
    "my uncle {PER} works for {ORG} as an accountant",
    "snow in {LOC}, so {PER} missed her flight",
    "{PER} sings the title song of {MISC} and she nails it",
    "bought a used {MISC} from a garage in {LOC}",
    "shares of {ORG} fall after the recall of the {MISC} car",
    "my aunt {PER} met coach {PER}, they both cried",
    "the road from {LOC} to {LOC} is flooded",
    "{ORG} takes over {ORG} for nine billion",
)

TWO_ENTITIES_UNSEEN = (
    "{PER} left her job at {ORG} after ten years",
    "my brother {PER} drove all night to {LOC}",
    "{ORG} hires 50 engineers in {LOC}",
    "{ORG} releases an update of the {MISC} app",
    "reading the novel {MISC} on the train to {LOC}",
    "the writer {PER} signed my copy of {MISC}",
)

NO_ENTITY = (
    "coffee first, then the rest of the world",
    "is it Friday yet",
    "My cat just knocked over the plant again",
    "can anyone recommend a good dentist",
    "new week, same headache",
    "lost my umbrella, found my patience",
    "Who else forgot to sleep",
    "dinner was burnt but we ate it anyway",
    "two hours of meetings and not one decision",
    "The bus was late and so was I",
    "learning to knit, send help",
    "someone ate my lunch at work",
    "This weather makes me want soup",
    "finally fixed the leaking tap",
    "does the perfect pillow exist",
    "I should really call my grandmother",
    "homework done, brain gone",
    "Running late again, nothing new",
    "the neighbours are singing, badly",
    "five more minutes, said the student",
)

NO_ENTITY_UNSEEN = (
    "my socks never match and I am fine with that",
    "Woke up before the alarm for once",
    "the printer hates me",
    "who needs sleep when there is cake",
    "Long queue, short temper",
    "trying to drink more water today",
    "the laundry is not going to fold itself",
    "all my plants are alive, a small miracle",
)

HASHTAGS = ("#throwback", "#nofilter", "#Today", "#mood", "#finally", "#weekend", "#Photo", "#wow")


@dataclass(frozen=True)
class Span:
    """A named entity in a text."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Post:
    """A post without its picture; `sentence` is the template of its text."""

    text: str
    spans: tuple[Span, ...]
    names: tuple[str, ...]
    sentence: str
    picture_decides: bool


@dataclass(frozen=True)
class Counts:
    """Posts of each kind in a split. `marked` and `context` are numbers per name and type."""

    marked: int
    context: int
    two_entities: int
    no_entity: int


COUNTS = {
    "train": Counts(marked=9, context=8, two_entities=140, no_entity=60),
    "dev": Counts(marked=5, context=3, two_entities=16, no_entity=12),
    "test": Counts(marked=6, context=4, two_entities=24, no_entity=16),
}


def marked_posts(split: str, rng: Random) -> list[list[Post]]:
    """Groups of posts with one text, one post for each type. Only the picture decides."""
    groups = []
    for name in NAMES[split]:
        for sentence in some_sentences(split, NEUTRAL, NEUTRAL_UNSEEN, COUNTS[split].marked, rng):
            front, tail = ornaments(rng)
            groups.append(
                [filled(sentence, [(name, label)], front, tail, True) for label in LABELS]
            )
    return groups


def other_posts(split: str, rng: Random) -> list[Post]:
    """Posts whose text decides, and posts without an entity."""
    counts = COUNTS[split]
    posts = []
    for name in NAMES[split]:
        for label in LABELS:
            known, unseen = CONTEXT[label], CONTEXT_UNSEEN[label]
            for sentence in some_sentences(split, known, unseen, counts.context, rng):
                posts.append(filled(sentence, [(name, label)], *ornaments(rng), False))
    for sentence in some_sentences(
        split, TWO_ENTITIES, TWO_ENTITIES_UNSEEN, counts.two_entities, rng
    ):
        labels = slots(sentence)
        names = rng.sample(NAMES[split], len(labels))
        entities = list(zip(names, labels, strict=True))
        posts.append(filled(sentence, entities, *ornaments(rng), False))
    for sentence in some_sentences(split, NO_ENTITY, NO_ENTITY_UNSEEN, counts.no_entity, rng):
        posts.append(filled(sentence, [], *ornaments(rng), False))
    return posts


def some_sentences(
    split: str, known: tuple[str, ...], unseen: tuple[str, ...], count: int, rng: Random
) -> list[str]:
    """`count` sentences. In the test split, half of them do not occur in training."""
    if split != "test":
        return evenly(known, count, rng)
    return evenly(unseen, count // 2, rng) + evenly(known, count - count // 2, rng)


def evenly(choices: tuple[str, ...], count: int, rng: Random) -> list[str]:
    """`count` draws. No choice is repeated before all have been used."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += rng.sample(choices, len(choices))
    return drawn[:count]


def slots(sentence: str) -> list[str]:
    """The labels of the slots for names in a sentence, in order."""
    return [field for _, field, _, _ in string.Formatter().parse(sentence) if field]


def filled(
    sentence: str, entities: list[tuple[str, str]], front: str, tail: str, picture_decides: bool
) -> Post:
    """The post of a sentence with these names and ornaments."""
    text, spans, remaining = front, [], iter(entities)
    for literal, field, _, _ in string.Formatter().parse(sentence):
        text += literal
        if field:
            name, label = next(remaining)
            spans.append(Span(len(text), len(text) + len(name), label))
            text += name
    names = tuple(name for name, _ in entities)
    return Post(text + tail, tuple(spans), names, sentence, picture_decides)


def ornaments(rng: Random) -> tuple[str, str]:
    """Random text before and after a sentence, independent of the sentence."""
    front = rng.choice([""] * 6 + [f"RT @{handle(rng)}: ", f"@{handle(rng)} "])
    tail = rng.choice(["", "", " !", " ...", " <3", " :)"])
    for _ in range(rng.choice([0, 0, 1, 2])):
        tail += " " + rng.choice(HASHTAGS)
    if rng.random() < 0.15:
        tail += " https://t.co/" + letters(rng, 10)
    return front, tail


def handle(rng: Random) -> str:
    """A random user name."""
    return f"{letters(rng, rng.randint(4, 7)).lower()}_{rng.randint(1, 99)}"


def letters(rng: Random, count: int) -> str:
    """Random letters."""
    return "".join(rng.choice(string.ascii_letters) for _ in range(count))
