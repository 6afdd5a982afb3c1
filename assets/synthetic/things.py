"""Picture templates for MISC. All of them are one object on a table, with a price tag."""

from __future__ import annotations

import math

from canvas import Colour, Pen, arc_points
from subjects import template

TABLE = 0.74


def table(pen: Pen) -> None:
    """A table top with two legs, its boards, and the object's shadow."""
    wood = pen.colour()
    dark = pen.shade(wood, 0.45)
    for x in (0.04, 0.88):
        pen.rectangle(x, TABLE + 0.1, x + 0.08, 1.7, dark)
    pen.polygon(
        [(0.06, TABLE - 0.08), (0.94, TABLE - 0.08), (1.04, TABLE + 0.1), (-0.04, TABLE + 0.1)],
        wood,
    )
    pen.rectangle(-0.04, TABLE + 0.1, 1.04, TABLE + 0.16, dark)
    pen.ellipse(0.5, TABLE + 0.01, 0.34, 0.05, dark)


def tag(pen: Pen, x: float, y: float) -> None:
    """A price tag on a string tied at (x, y)."""
    paper = pen.colour()
    ink = pen.contrast(paper)
    pen.line([(x, y), (x + 0.06, y + 0.06)], 0.012, ink)
    pen.polygon(
        [
            (x + 0.04, y + 0.08),
            (x + 0.09, y + 0.04),
            (x + 0.2, y + 0.1),
            (x + 0.16, y + 0.2),
            (x + 0.05, y + 0.15),
        ],
        paper,
    )
    pen.ellipse(x + 0.08, y + 0.085, 0.012, 0.012, ink)
    pen.line([(x + 0.1, y + 0.125), (x + 0.165, y + 0.155)], 0.015, ink)


def bars(pen: Pen, x: float, y: float, wide: float, rows: int, ink: Colour) -> None:
    """Bars in the place of letters."""
    for row in range(rows):
        top = y + row * 0.06
        pen.rectangle(x, top, x + wide * pen.vary(0.6, 1), top + 0.03, ink)


def screen(pen: Pen, x0: float, y0: float, x1: float, y1: float, body: Colour) -> None:
    """A glossy pane in a body."""
    glass = pen.contrast(body)
    pen.rectangle(x0, y0, x1, y1, glass)
    shine = pen.shade(glass, 0.5)
    wide = x1 - x0
    pen.polygon(
        [
            (x0 + wide * 0.15, y0),
            (x0 + wide * 0.45, y0),
            (x0 + wide * 0.1, y1),
            (x0, y1),
            (x0, y0 + (y1 - y0) * 0.5),
        ],
        shine,
    )


def wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    """A wheel with a hub."""
    tyre = pen.colour()
    pen.ellipse(x, y, radius, radius, tyre)
    pen.ellipse(x, y, radius * 0.5, radius * 0.5, pen.contrast(tyre))


@template("MISC", "train")
def book(pen: Pen) -> None:
    """A standing book."""
    table(pen)
    cover = pen.colour()
    pen.polygon([(0.68, 0.16), (0.76, 0.2), (0.76, 0.72), (0.68, TABLE)], pen.contrast(cover))
    pen.rectangle(0.28, 0.16, 0.68, TABLE, cover)
    pen.rectangle(0.28, 0.16, 0.33, TABLE, pen.shade(cover, 0.4))
    bars(pen, 0.38, 0.24, 0.25, 2, pen.contrast(cover))
    pen.ellipse(0.5, 0.52, 0.1, 0.1, pen.contrast(cover))
    tag(pen, 0.68, 0.3)


@template("MISC", "train")
def bottle(pen: Pen) -> None:
    """A bottle with a label."""
    table(pen)
    glass = pen.colour()
    pen.polygon(
        [
            (0.45, 0.14),
            (0.55, 0.14),
            (0.55, 0.3),
            (0.64, 0.42),
            (0.64, TABLE),
            (0.36, TABLE),
            (0.36, 0.42),
            (0.45, 0.3),
        ],
        glass,
    )
    pen.rectangle(0.44, 0.1, 0.56, 0.16, pen.contrast(glass))
    label = pen.contrast(glass)
    pen.rectangle(0.36, 0.48, 0.64, 0.66, label)
    bars(pen, 0.41, 0.52, 0.18, 2, pen.contrast(label))
    pen.line([(0.41, 0.44), (0.41, 0.72)], 0.02, pen.shade(glass, 0.6))
    tag(pen, 0.55, 0.24)


@template("MISC", "train")
def phone(pen: Pen) -> None:
    """A phone in a stand."""
    table(pen)
    case = pen.colour()
    pen.polygon([(0.36, 0.66), (0.68, 0.66), (0.74, TABLE), (0.3, TABLE)], pen.contrast(case))
    pen.rectangle(0.35, 0.12, 0.65, 0.7, case)
    screen(pen, 0.38, 0.18, 0.62, 0.62, case)
    pen.ellipse(0.5, 0.66, 0.022, 0.022, pen.contrast(case))
    tag(pen, 0.65, 0.26)


@template("MISC", "train")
def game_controller(pen: Pen) -> None:
    """A game controller."""
    table(pen)
    shell = pen.colour()
    for side in (-1, 1):
        pen.ellipse(0.5 + side * 0.22, 0.58, 0.12, 0.18, shell)
    pen.rectangle(0.28, 0.42, 0.72, 0.64, shell)
    ink = pen.contrast(shell)
    pen.rectangle(0.27, 0.51, 0.41, 0.55, ink)
    pen.rectangle(0.32, 0.46, 0.36, 0.6, ink)
    for x, y in ((0.66, 0.47), (0.66, 0.59), (0.6, 0.53), (0.72, 0.53)):
        pen.ellipse(x, y, 0.025, 0.025, pen.contrast(shell))
    tag(pen, 0.74, 0.36)


@template("MISC", "train")
def gift_box(pen: Pen) -> None:
    """A box with a ribbon."""
    table(pen)
    paper = pen.colour()
    ribbon = pen.contrast(paper)
    pen.rectangle(0.28, 0.38, 0.72, TABLE, paper)
    pen.rectangle(0.25, 0.32, 0.75, 0.42, pen.shade(paper, 0.25))
    pen.rectangle(0.46, 0.32, 0.54, TABLE, ribbon)
    for side in (-1, 1):
        pen.polygon([(0.5, 0.32), (0.5 + side * 0.16, 0.18), (0.5 + side * 0.2, 0.3)], ribbon)
    tag(pen, 0.68, 0.44)


@template("MISC", "train")
def model_car(pen: Pen) -> None:
    """A toy car."""
    table(pen)
    paint = pen.colour()
    pen.polygon([(0.3, 0.5), (0.38, 0.34), (0.62, 0.34), (0.72, 0.5)], paint)
    pen.polygon([(0.36, 0.49), (0.41, 0.38), (0.49, 0.38), (0.49, 0.49)], pen.contrast(paint))
    pen.polygon([(0.52, 0.49), (0.52, 0.38), (0.6, 0.38), (0.66, 0.49)], pen.contrast(paint))
    pen.rectangle(0.16, 0.49, 0.84, 0.66, paint)
    for x in (0.31, 0.69):
        wheel(pen, x, 0.66, 0.085)
    tag(pen, 0.78, 0.44)


@template("MISC", "train")
def film_reel(pen: Pen) -> None:
    """A reel of film."""
    table(pen)
    metal = pen.colour()
    pen.ellipse(0.5, 0.45, 0.29, 0.29, metal)
    hole = pen.contrast(metal)
    for k in range(5):
        turn = 2 * math.pi * k / 5
        pen.ellipse(0.5 + 0.17 * math.cos(turn), 0.45 + 0.17 * math.sin(turn), 0.07, 0.07, hole)
    pen.ellipse(0.5, 0.45, 0.035, 0.035, hole)
    pen.rectangle(0.5, 0.7, 0.88, TABLE, hole)
    tag(pen, 0.74, 0.3)


@template("MISC", "train")
def mug(pen: Pen) -> None:
    """A mug with a mark."""
    table(pen)
    glaze = pen.colour()
    pen.line(arc_points(0.68, 0.54, 0.11, 0.11), 0.045, glaze)
    pen.rectangle(0.32, 0.36, 0.68, TABLE, glaze)
    pen.ellipse(0.5, 0.36, 0.18, 0.045, pen.contrast(glaze))
    pen.ellipse(0.48, 0.55, 0.08, 0.08, pen.contrast(glaze))
    tag(pen, 0.72, 0.44)


@template("MISC", "train")
def headphones(pen: Pen) -> None:
    """Headphones on their cups."""
    table(pen)
    shell = pen.colour()
    pen.line(arc_points(0.5, 0.48, 0.24, 0.3, 180, 360), 0.05, shell)
    pad = pen.contrast(shell)
    for side in (-1, 1):
        pen.ellipse(0.5 + side * 0.24, 0.58, 0.09, 0.15, shell)
        pen.ellipse(0.5 + side * 0.2, 0.58, 0.06, 0.12, pad)
    tag(pen, 0.74, 0.36)


@template("MISC", "train")
def wristwatch(pen: Pen) -> None:
    """A watch, upright."""
    table(pen)
    strap = pen.colour()
    pen.polygon([(0.42, 0.1), (0.58, 0.1), (0.61, TABLE), (0.39, TABLE)], strap)
    case = pen.contrast(strap)
    pen.ellipse(0.5, 0.42, 0.2, 0.2, case)
    dial = pen.contrast(case)
    pen.ellipse(0.5, 0.42, 0.16, 0.16, dial)
    pen.line([(0.5, 0.42), (0.5, 0.3)], 0.02, pen.contrast(dial))
    pen.line([(0.5, 0.42), (0.59, 0.46)], 0.02, pen.contrast(dial))
    tag(pen, 0.62, 0.5)


@template("MISC", "train")
def laptop(pen: Pen) -> None:
    """An open laptop."""
    table(pen)
    body = pen.colour()
    pen.rectangle(0.26, 0.24, 0.74, 0.62, body)
    screen(pen, 0.29, 0.27, 0.71, 0.58, body)
    keys = pen.contrast(body)
    pen.polygon([(0.26, 0.62), (0.74, 0.62), (0.84, TABLE), (0.16, TABLE)], body)
    pen.polygon([(0.28, 0.64), (0.72, 0.64), (0.76, 0.69), (0.24, 0.69)], keys)
    tag(pen, 0.74, 0.3)


@template("MISC", "train")
def teapot(pen: Pen) -> None:
    """A teapot."""
    table(pen)
    glaze = pen.colour()
    pen.polygon([(0.66, 0.6), (0.86, 0.38), (0.9, 0.42), (0.7, 0.68)], glaze)
    pen.line(arc_points(0.27, 0.54, 0.12, 0.13), 0.04, glaze)
    pen.ellipse(0.5, 0.56, 0.24, 0.19, glaze)
    pen.ellipse(0.5, 0.38, 0.12, 0.03, pen.contrast(glaze))
    pen.ellipse(0.5, 0.33, 0.035, 0.035, pen.contrast(glaze))
    tag(pen, 0.7, 0.5)


@template("MISC", "train")
def camera(pen: Pen) -> None:
    """A camera."""
    table(pen)
    body = pen.colour()
    pen.rectangle(0.2, 0.38, 0.8, TABLE, body)
    pen.rectangle(0.4, 0.3, 0.6, 0.4, body)
    ring = pen.contrast(body)
    pen.ellipse(0.5, 0.56, 0.15, 0.15, ring)
    pen.ellipse(0.5, 0.56, 0.1, 0.1, pen.contrast(ring))
    pen.rectangle(0.24, 0.42, 0.34, 0.48, ring)
    tag(pen, 0.76, 0.42)


@template("MISC", "dev")
def table_lamp(pen: Pen) -> None:
    """A lamp."""
    table(pen)
    shade = pen.colour()
    stem = pen.contrast(shade)
    pen.rectangle(0.47, 0.4, 0.53, 0.72, stem)
    pen.ellipse(0.5, TABLE - 0.02, 0.15, 0.04, stem)
    pen.polygon([(0.4, 0.14), (0.6, 0.14), (0.72, 0.44), (0.28, 0.44)], shade)
    tag(pen, 0.66, 0.36)


@template("MISC", "dev")
def shoe(pen: Pen) -> None:
    """A sports shoe."""
    table(pen)
    cloth = pen.colour()
    pen.polygon(
        [(0.2, 0.36), (0.4, 0.36), (0.5, 0.48), (0.74, 0.56), (0.82, 0.68), (0.18, 0.68)], cloth
    )
    pen.rectangle(0.17, 0.67, 0.83, TABLE, pen.contrast(cloth))
    for k in range(3):
        x = 0.42 + k * 0.07
        pen.line([(x, 0.44 + k * 0.03), (x - 0.07, 0.52 + k * 0.02)], 0.025, pen.contrast(cloth))
    tag(pen, 0.4, 0.36)


@template("MISC", "dev")
def cassette_player(pen: Pen) -> None:
    """A player with two loudspeakers."""
    table(pen)
    body = pen.colour()
    pen.line([(0.28, 0.36), (0.28, 0.26), (0.72, 0.26), (0.72, 0.36)], 0.04, body)
    pen.rectangle(0.16, 0.36, 0.84, TABLE, body)
    for x in (0.3, 0.7):
        wheel(pen, x, 0.56, 0.11)
    pen.rectangle(0.43, 0.46, 0.57, 0.58, pen.contrast(body))
    tag(pen, 0.78, 0.4)


@template("MISC", "test")
def radio(pen: Pen) -> None:
    """A radio with an aerial."""
    table(pen)
    body = pen.colour()
    pen.line([(0.7, 0.36), (0.82, 0.08)], 0.02, pen.contrast(body))
    pen.rectangle(0.2, 0.36, 0.8, TABLE, body)
    wheel(pen, 0.36, 0.56, 0.12)
    screen(pen, 0.54, 0.44, 0.74, 0.54, body)
    for x in (0.58, 0.7):
        pen.ellipse(x, 0.64, 0.035, 0.035, pen.contrast(body))
    tag(pen, 0.76, 0.42)


@template("MISC", "test")
def jar(pen: Pen) -> None:
    """A jar with a lid and a label."""
    table(pen)
    glass = pen.colour()
    pen.rectangle(0.33, 0.34, 0.67, TABLE, glass)
    pen.ellipse(0.5, 0.34, 0.17, 0.06, glass)
    pen.rectangle(0.36, 0.22, 0.64, 0.33, pen.contrast(glass))
    label = pen.contrast(glass)
    pen.ellipse(0.5, 0.55, 0.13, 0.11, label)
    bars(pen, 0.42, 0.52, 0.16, 2, pen.contrast(label))
    tag(pen, 0.64, 0.34)


@template("MISC", "test")
def tablet(pen: Pen) -> None:
    """A tablet leaning in a stand, with a pen."""
    table(pen)
    case = pen.colour()
    pen.polygon([(0.24, 0.26), (0.76, 0.26), (0.8, 0.7), (0.2, 0.7)], case)
    screen(pen, 0.28, 0.31, 0.72, 0.65, case)
    pen.rectangle(0.32, 0.69, 0.68, TABLE, pen.contrast(case))
    pen.line([(0.1, 0.78), (0.32, 0.75)], 0.03, pen.contrast(case))
    tag(pen, 0.76, 0.34)


@template("MISC", "test")
def toy_lorry(pen: Pen) -> None:
    """A toy lorry."""
    table(pen)
    paint = pen.colour()
    pen.rectangle(0.14, 0.34, 0.58, 0.64, paint)
    cab = pen.contrast(paint)
    pen.polygon([(0.6, 0.64), (0.6, 0.42), (0.74, 0.42), (0.84, 0.54), (0.84, 0.64)], cab)
    pen.polygon([(0.66, 0.53), (0.66, 0.46), (0.72, 0.46), (0.78, 0.53)], pen.contrast(cab))
    for x in (0.26, 0.46, 0.72):
        wheel(pen, x, 0.66, 0.075)
    tag(pen, 0.54, 0.36)
