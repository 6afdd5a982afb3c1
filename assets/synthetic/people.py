"""Picture templates for PER. All of them have a face with eyes, a nose and a mouth."""

from __future__ import annotations

from dataclasses import dataclass

from canvas import Colour, Pen, arc_points, mixed
from subjects import template


@dataclass(frozen=True)
class Person:
    """The appearance of one drawn person."""

    skin: Colour
    line: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    style: str
    hat: bool
    glasses: bool
    beard: bool
    smile: float


def random_person(pen: Pen) -> Person:
    """A person with random features and random colours."""
    skin = pen.colour()
    return Person(
        skin=skin,
        line=pen.contrast(skin),
        hair=pen.contrast(skin),
        shirt=pen.colour(),
        trousers=pen.colour(),
        style=pen.rng.choice(["short", "long", "bun", "curly", "bald"]),
        hat=pen.chance(0.15),
        glasses=pen.chance(0.25),
        beard=pen.chance(0.2),
        smile=pen.vary(-0.05, 0.25),
    )


def head(pen: Pen, person: Person) -> None:
    """Draw a head around the origin, with a radius of about one unit."""
    if person.style == "long":
        pen.polygon(
            [(-1.1, 0), *arc_points(0, -0.1, 1.1, 1.1, 180, 360), (1.15, 1.4), (-1.15, 1.4)],
            person.hair,
        )
    if person.style == "curly":
        for x, y in arc_points(0, -0.25, 0.9, 0.9, 160, 380)[::4]:
            pen.ellipse(x, y, 0.38, 0.38, person.hair)
    if person.style == "bun":
        pen.ellipse(0, -1.3, 0.4, 0.35, person.hair)
    for side in (-1, 1):
        pen.ellipse(side * 0.84, 0.05, 0.16, 0.24, person.skin)
    pen.ellipse(0, 0, 0.85, 1.08, person.skin)
    if person.beard:
        pen.polygon(
            [*arc_points(0, 0, 0.85, 1.1, 10, 170), *arc_points(0, 0.3, 0.55, 0.2, 180, 360)],
            person.hair,
        )
    if person.style != "bald":
        pen.polygon(
            [*arc_points(0, -0.05, 0.9, 1.1, 190, 350), (0.45, -0.62), (-0.2, -0.5)], person.hair
        )
    if person.hat:
        pen.polygon([(-0.8, -0.7), (-0.65, -1.5), (0.65, -1.5), (0.8, -0.7)], person.shirt)
        pen.ellipse(0, -0.7, 1.25, 0.16, person.shirt)
    features(pen, person)


def features(pen: Pen, person: Person) -> None:
    """Draw eyes, brows, nose and mouth."""
    white = mixed(person.skin, (255, 255, 255), 0.85)
    dark = mixed(person.line, (0, 0, 0), 0.75)
    mouth_line = pen.contrast(person.hair) if person.beard else person.line
    for side in (-1, 1):
        pen.ellipse(side * 0.36, -0.1, 0.2, 0.13, white)
        pen.ellipse(side * 0.36, -0.1, 0.1, 0.11, dark)
        pen.line(
            [(side * 0.16, -0.36), (side * 0.38, -0.42), (side * 0.6, -0.34)], 0.08, person.line
        )
        if person.glasses:
            pen.line(arc_points(side * 0.37, -0.08, 0.31, 0.27), 0.07, person.line)
    if person.glasses:
        pen.line([(-0.08, -0.1), (0.08, -0.1)], 0.07, person.line)
    shade = pen.shade(person.skin, 0.35)
    pen.line([(0, -0.05), (-0.12, 0.28), (0.06, 0.3)], 0.07, shade)
    curve = person.smile
    pen.polygon(
        [(-0.34, 0.55), (0, 0.5), (0.34, 0.55), (0.2, 0.62 + curve), (-0.2, 0.62 + curve)],
        mouth_line,
    )


def bust(pen: Pen, person: Person) -> None:
    """Draw head and shoulders. The head is around the origin, with a radius of about one unit."""
    pen.polygon(
        [
            (-2.0, 3.4),
            (-1.8, 2.0),
            (-1.2, 1.55),
            (-0.4, 1.35),
            (0.4, 1.35),
            (1.2, 1.55),
            (1.8, 2.0),
            (2.0, 3.4),
        ],
        person.shirt,
    )
    pen.polygon(
        [(-0.4, 0.8), (0.4, 0.8), (0.45, 1.45), (0, 1.8), (-0.45, 1.45)],
        pen.shade(person.skin, 0.15),
    )
    head(pen, person)


def body(pen: Pen, person: Person, arms: tuple[float, float], legs: tuple[float, float]) -> None:
    """Draw a whole person with the head at the origin.

    `arms` and `legs` are the reach of the left and of the right limb. An arm with a reach above 1
    is raised.
    """
    for side, reach in zip((-1, 1), legs, strict=True):
        foot = (side * reach, 4.9)
        pen.line([(side * 0.35, 2.9), (side * (reach + 0.3) / 2, 3.9), foot], 0.6, person.trousers)
        pen.ellipse(foot[0] + 0.2, foot[1], 0.5, 0.22, person.line)
    for side, reach in zip((-1, 1), arms, strict=True):
        height = 2.9 - (reach - 0.8) * 2.4
        hand = (side * (0.9 + min(reach, 1.6) * 0.6), height)
        pen.line([(side * 0.75, 1.5), (side * 1.35, (1.9 + height) / 2), hand], 0.42, person.shirt)
        pen.ellipse(*hand, 0.28, 0.28, person.skin)
    pen.polygon([(-0.9, 1.25), (0.9, 1.25), (0.75, 3.1), (-0.75, 3.1)], person.shirt)
    pen.rectangle(-0.3, 0.8, 0.3, 1.35, person.skin)
    head(pen, person)


def text_bars(pen: Pen, x: float, y: float, width: float, rows: int, ink: Colour) -> None:
    """Draw bars in the place of lines of writing."""
    for row in range(rows):
        top = y + row * 0.09
        pen.rectangle(x, top, x + width * pen.vary(0.6, 1), top + 0.04, ink)


@template("PER", "train")
def bust_portrait(pen: Pen) -> None:
    """Head and shoulders."""
    bust(pen.placed(0.5, 0.42, pen.vary(0.19, 0.25)), random_person(pen))


@template("PER", "train")
def face_close_up(pen: Pen) -> None:
    """A face that fills most of the picture."""
    head(pen.placed(0.5, 0.52, pen.vary(0.32, 0.4)), random_person(pen))


@template("PER", "train")
def full_figure(pen: Pen) -> None:
    """A person standing."""
    body(pen.placed(0.5, 0.26, 0.14), random_person(pen), (0.8, 0.8), (0.5, 0.5))


@template("PER", "train")
def waving(pen: Pen) -> None:
    """A person with one or both arms up."""
    arms = (1.8, pen.rng.choice([0.8, 1.8]))
    body(pen.placed(0.5, 0.3, 0.16), random_person(pen), arms, (0.7, 0.7))


@template("PER", "train")
def two_people(pen: Pen) -> None:
    """Two people side by side."""
    bust(pen.placed(0.28, 0.44, 0.16), random_person(pen))
    bust(pen.placed(0.72, 0.47, 0.16), random_person(pen))


@template("PER", "train")
def identity_card(pen: Pen) -> None:
    """A card with a photograph and lines of writing."""
    card = pen.colour()
    pen.rectangle(0.06, 0.22, 0.94, 0.82, card)
    pen.rectangle(0.1, 0.3, 0.5, 0.78, pen.contrast(card))
    bust(pen.placed(0.3, 0.5, 0.1), random_person(pen))
    text_bars(pen, 0.56, 0.36, 0.32, 4, pen.contrast(card))


@template("PER", "train")
def framed_portrait(pen: Pen) -> None:
    """A picture of a person in a frame."""
    frame = pen.colour()
    pen.rectangle(0.14, 0.06, 0.86, 0.94, frame)
    pen.rectangle(0.22, 0.14, 0.78, 0.86, pen.contrast(frame))
    bust(pen.placed(0.5, 0.46, 0.14), random_person(pen))
    pen.rectangle(0.14, 0.86, 0.86, 0.94, frame)


@template("PER", "train")
def small_group(pen: Pen) -> None:
    """Three people, one in front."""
    for x, y, size in ((0.22, 0.36, 0.12), (0.78, 0.36, 0.12), (0.5, 0.5, 0.15)):
        bust(pen.placed(x, y, size), random_person(pen))


@template("PER", "train")
def speaker(pen: Pen) -> None:
    """A person behind a desk with a microphone."""
    bust(pen.placed(0.5, 0.35, 0.17), random_person(pen))
    desk = pen.colour()
    pen.polygon([(0.18, 0.74), (0.82, 0.74), (0.76, 1.1), (0.24, 1.1)], desk)
    pen.line([(0.4, 0.76), (0.34, 0.6)], 0.02, pen.contrast(desk))
    pen.ellipse(0.33, 0.58, 0.035, 0.045, pen.contrast(desk))


@template("PER", "train")
def at_the_edge(pen: Pen) -> None:
    """A person at one side of the picture."""
    bust(pen.placed(0.26, 0.48, 0.22), random_person(pen))


@template("PER", "train")
def round_frame(pen: Pen) -> None:
    """A face inside a circle."""
    ring = pen.colour()
    pen.ellipse(0.5, 0.5, 0.46, 0.46, ring)
    pen.ellipse(0.5, 0.5, 0.4, 0.4, pen.contrast(ring))
    head(pen.placed(0.5, 0.5, 0.26), random_person(pen))


@template("PER", "train")
def walking(pen: Pen) -> None:
    """A person in mid-step, carrying a bag."""
    body(pen.placed(0.5, 0.28, 0.14, 5), random_person(pen), (0.7, 1.1), (1.3, 0.9))
    bag = pen.colour()
    pen.rectangle(0.68, 0.58, 0.86, 0.76, bag)


@template("PER", "dev")
def seated(pen: Pen) -> None:
    """A person on a bench."""
    wood = pen.colour()
    pen.rectangle(0.08, 0.6, 0.92, 0.66, wood)
    pen.rectangle(0.14, 0.8, 0.2, 1.0, wood)
    pen.rectangle(0.8, 0.8, 0.86, 1.0, wood)
    person = random_person(pen)
    bust(pen.placed(0.5, 0.32, 0.15), person)
    pen.line([(0.36, 0.84), (0.32, 1.05)], 0.11, person.trousers)
    pen.line([(0.64, 0.84), (0.68, 1.05)], 0.11, person.trousers)
    pen.rectangle(0.08, 0.78, 0.92, 0.85, wood)


@template("PER", "dev")
def hexagon_badge(pen: Pen) -> None:
    """A person on a six-sided badge."""
    badge = pen.colour()
    pen.polygon(arc_points(0.5, 0.5, 0.48, 0.48)[::6], badge)
    bust(pen.placed(0.5, 0.42, 0.14), random_person(pen))


@template("PER", "dev")
def tilted_pair(pen: Pen) -> None:
    """Two heads leaning together."""
    head(pen.placed(0.32, 0.48, 0.22, 14), random_person(pen))
    head(pen.placed(0.68, 0.52, 0.22, -14), random_person(pen))


@template("PER", "test")
def parent_and_child(pen: Pen) -> None:
    """A tall and a small person, hand in hand."""
    body(pen.placed(0.36, 0.24, 0.14), random_person(pen), (0.8, 0.9), (0.4, 0.4))
    body(pen.placed(0.74, 0.5, 0.1), random_person(pen), (1.2, 0.8), (0.4, 0.4))


@template("PER", "test")
def stamp(pen: Pen) -> None:
    """A person on a perforated stamp."""
    paper = pen.colour()
    pen.rectangle(0.14, 0.08, 0.86, 0.92, paper)
    hole = pen.contrast(paper)
    for k in range(8):
        step = 0.1 + k * 0.115
        for x, y in ((0.14, step), (0.86, step)):
            pen.ellipse(x, y, 0.03, 0.03, hole)
    bust(pen.placed(0.52, 0.42, 0.15), random_person(pen))
    pen.rectangle(0.14, 0.84, 0.86, 0.93, paper)


@template("PER", "test")
def dancer(pen: Pen) -> None:
    """A person on one leg, arms out."""
    body(pen.placed(0.48, 0.28, 0.15, -12), random_person(pen), (1.4, 1.6), (0.3, 1.7))


@template("PER", "test")
def behind_a_wall(pen: Pen) -> None:
    """A person behind a low wall."""
    person = random_person(pen)
    bust(pen.placed(0.6, 0.42, 0.22), person)
    pen.rectangle(-0.5, 0.74, 1.5, 1.5, pen.colour())
    for x in (0.36, 0.84):
        pen.ellipse(x, 0.75, 0.07, 0.045, person.skin)
