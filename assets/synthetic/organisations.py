"""Picture templates for ORG. All of them are a building with windows in rows and a sign."""

from __future__ import annotations

import math

from canvas import Colour, Pen, arc_points, mixed
from subjects import template

GROUND = 0.88


def pavement(pen: Pen) -> None:
    """The street in front."""
    fill = pen.colour()
    pen.rectangle(-0.6, GROUND, 1.6, 1.7, fill)
    pen.rectangle(-0.6, GROUND, 1.6, GROUND + 0.025, mixed(fill, pen.contrast(fill), 0.5))


def windows(
    pen: Pen, box: tuple[float, float, float, float], columns: int, rows: int, fill: Colour
) -> None:
    """Equal panes in rows, inside a box given by two corners."""
    x0, y0, x1, y1 = box
    wide, high = (x1 - x0) / columns, (y1 - y0) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = x0 + wide * column, y0 + high * row
            pen.rectangle(x + wide * 0.2, y + high * 0.2, x + wide * 0.8, y + high * 0.8, fill)


def block(
    pen: Pen, box: tuple[float, float, float, float], columns: int, rows: int
) -> tuple[Colour, Colour]:
    """Draw a flat-roofed building with many windows; return the colours of wall and windows."""
    x0, y0, x1, y1 = box
    wall = pen.colour()
    glass = pen.contrast(wall)
    pen.rectangle(x0, y0, x1, y1, wall)
    pen.rectangle(x0 - 0.015, y0 - 0.025, x1 + 0.015, y0 + 0.01, pen.shade(wall, 0.3))
    windows(pen, (x0 + 0.02, y0 + 0.03, x1 - 0.02, y1 - 0.02), columns, rows, glass)
    return wall, glass


def logo(pen: Pen, x: float, y: float, size: float, fill: Colour) -> None:
    """A company's logo: one simple shape in another."""
    corners = pen.rng.choice([3, 4, 5, 6, 30])
    turn = pen.vary(0, 6.28)
    for share, colour in ((1.0, fill), (0.5, pen.contrast(fill))):
        pen.polygon(
            [
                (
                    x + size * share * math.cos(turn + 2 * math.pi * k / corners),
                    y + size * share * math.sin(turn + 2 * math.pi * k / corners),
                )
                for k in range(corners)
            ],
            colour,
        )


def sign(pen: Pen, x0: float, y0: float, x1: float, y1: float) -> None:
    """A sign with a logo, and bars in the place of letters."""
    board = pen.colour()
    ink = pen.contrast(board)
    pen.rectangle(x0, y0, x1, y1, board)
    high = y1 - y0
    logo(pen, x0 + high * 0.6, (y0 + y1) / 2, high * 0.36, ink)
    x = x0 + high * 1.2
    while x + high * 0.3 < x1 - high * 0.1:
        letter_width = high * pen.vary(0.22, 0.4)
        letter(pen, x, y0 + high * 0.25, letter_width, high * 0.5, ink)
        x += letter_width + high * 0.14


def letter(pen: Pen, x: float, y: float, wide: float, high: float, ink: Colour) -> None:
    """One or two strokes, similar to a letter."""
    pen.rectangle(x, y, x + wide * 0.35, y + high, ink)
    shift = pen.rng.choice([0, 0.4, 0.75])
    pen.rectangle(x, y + high * shift, x + wide, y + high * (shift + 0.25), ink)


def door(pen: Pen, x: float, high: float, wide: float, wall: Colour) -> None:
    """A double door on the ground; `x` is its middle."""
    fill = pen.contrast(wall)
    pen.rectangle(x - wide / 2, GROUND - high, x + wide / 2, GROUND, fill)
    pen.line([(x, GROUND - high), (x, GROUND)], 0.012, wall)


def awning(pen: Pen, x0: float, x1: float, y: float) -> None:
    """A striped awning."""
    fill = pen.colour()
    other, count = pen.contrast(fill), 6
    step = (x1 - x0) / count
    for k in range(count):
        left = x0 + k * step
        pen.polygon(
            [
                (left, y),
                (left + step, y),
                (left + step, y + 0.08),
                *arc_points(left + step / 2, y + 0.08, step / 2, 0.03, 0, 180),
            ],
            other if k % 2 else fill,
        )


def chimney(pen: Pen, x: float, top: float, bottom: float) -> None:
    """A chimney with smoke."""
    fill = pen.colour()
    pen.polygon([(x - 0.035, top), (x + 0.035, top), (x + 0.05, bottom), (x - 0.05, bottom)], fill)
    smoke = pen.colour()
    for k in range(3):
        pen.ellipse(x + k * 0.05, top - 0.04 - k * 0.05, 0.035 + k * 0.012, 0.03, smoke)


@template("ORG", "train")
def office_tower(pen: Pen) -> None:
    """A tall office with a sign on its roof."""
    pavement(pen)
    wall, _ = block(pen, (0.28, 0.2, 0.72, GROUND), pen.rng.randint(4, 5), pen.rng.randint(6, 8))
    sign(pen, 0.24, 0.07, 0.76, 0.19)
    door(pen, 0.5, 0.12, 0.14, wall)


@template("ORG", "train")
def shop_front(pen: Pen) -> None:
    """A shop with an awning and flats above."""
    pavement(pen)
    wall, glass = block(pen, (0.14, 0.12, 0.86, GROUND), 5, 4)
    pen.rectangle(0.14, 0.5, 0.86, GROUND, wall)
    pen.rectangle(0.2, 0.66, 0.52, 0.82, glass)
    door(pen, 0.7, 0.22, 0.16, wall)
    sign(pen, 0.14, 0.42, 0.86, 0.55)
    awning(pen, 0.14, 0.86, 0.56)


@template("ORG", "train")
def factory(pen: Pen) -> None:
    """A saw-toothed roof with chimneys."""
    pavement(pen)
    for x in (0.7, 0.83):
        chimney(pen, x, 0.22, 0.6)
    wall, _ = block(pen, (0.08, 0.52, 0.92, GROUND), 7, 3)
    roof = mixed(wall, pen.contrast(wall), 0.6)
    for k in range(4):
        left = 0.08 + k * 0.14
        pen.polygon([(left, 0.52), (left, 0.38), (left + 0.14, 0.52)], roof)
    sign(pen, 0.2, 0.53, 0.68, 0.64)


@template("ORG", "train")
def bank(pen: Pen) -> None:
    """Columns under a gable, with rows of windows."""
    pavement(pen)
    wall, glass = block(pen, (0.12, 0.36, 0.88, GROUND), 6, 4)
    pen.polygon([(0.08, 0.36), (0.5, 0.14), (0.92, 0.36)], wall)
    logo(pen, 0.5, 0.28, 0.06, glass)
    column = pen.contrast(glass)
    for k in range(5):
        x = 0.16 + k * 0.17
        pen.rectangle(x - 0.025, 0.48, x + 0.025, GROUND, column)
    sign(pen, 0.12, 0.37, 0.88, 0.48)


@template("ORG", "train")
def two_towers(pen: Pen) -> None:
    """Two towers, a sign on the taller."""
    pavement(pen)
    block(pen, (0.14, 0.18, 0.48, GROUND), 4, 8)
    block(pen, (0.54, 0.36, 0.86, GROUND), 4, 6)
    sign(pen, 0.16, 0.2, 0.46, 0.3)


@template("ORG", "train")
def wide_headquarters(pen: Pen) -> None:
    """A long low building with a big board."""
    pavement(pen)
    wall, _ = block(pen, (0.04, 0.46, 0.96, GROUND), 8, 4)
    sign(pen, 0.24, 0.3, 0.76, 0.46)
    door(pen, 0.5, 0.14, 0.16, wall)


@template("ORG", "train")
def stepped_tower(pen: Pen) -> None:
    """Three blocks, each narrower than the one below."""
    pavement(pen)
    block(pen, (0.38, 0.1, 0.62, 0.4), 3, 4)
    block(pen, (0.27, 0.34, 0.73, 0.64), 5, 3)
    wall, _ = block(pen, (0.16, 0.6, 0.84, GROUND), 7, 3)
    sign(pen, 0.28, 0.55, 0.72, 0.65)
    door(pen, 0.5, 0.1, 0.12, wall)


@template("ORG", "train")
def warehouse(pen: Pen) -> None:
    """A gabled hall with a gate and a strip of windows."""
    pavement(pen)
    wall = pen.colour()
    pen.polygon([(0.08, GROUND), (0.08, 0.42), (0.5, 0.2), (0.92, 0.42), (0.92, GROUND)], wall)
    windows(pen, (0.12, 0.5, 0.88, 0.66), 8, 2, pen.contrast(wall))
    sign(pen, 0.24, 0.36, 0.76, 0.48)
    gate = pen.contrast(wall)
    pen.rectangle(0.34, 0.68, 0.66, GROUND, gate)
    for k in range(4):
        pen.line([(0.34, 0.71 + k * 0.045), (0.66, 0.71 + k * 0.045)], 0.01, wall)


@template("ORG", "train")
def sign_close_up(pen: Pen) -> None:
    """A big sign on a façade that fills the picture."""
    wall = pen.colour()
    pen.rectangle(-0.6, -0.6, 1.6, 1.6, wall)
    windows(pen, (-0.2, -0.1, 1.2, 1.1), 8, 7, pen.contrast(wall))
    sign(pen, 0.06, 0.36, 0.94, 0.6)


@template("ORG", "train")
def flagged_office(pen: Pen) -> None:
    """An office with flags in front."""
    pavement(pen)
    wall, _ = block(pen, (0.1, 0.26, 0.7, GROUND), 6, 6)
    sign(pen, 0.16, 0.28, 0.64, 0.38)
    door(pen, 0.4, 0.14, 0.14, wall)
    for x in (0.78, 0.9):
        pen.line([(x, GROUND), (x, 0.3)], 0.015, pen.contrast(wall))
        pen.rectangle(x, 0.3, x + 0.12, 0.38, pen.colour())


@template("ORG", "train")
def round_crest(pen: Pen) -> None:
    """A façade with a great round badge over the door."""
    pavement(pen)
    wall, glass = block(pen, (0.12, 0.16, 0.88, GROUND), 6, 6)
    door(pen, 0.5, 0.16, 0.2, wall)
    pen.ellipse(0.5, 0.4, 0.18, 0.18, wall)
    logo(pen, 0.5, 0.4, 0.13, glass)


@template("ORG", "train")
def corner_house(pen: Pen) -> None:
    """A building seen from its corner."""
    pavement(pen)
    wall = pen.colour()
    glass, side = pen.contrast(wall), pen.shade(wall, 0.35)
    pen.polygon([(0.5, 0.14), (0.95, 0.26), (0.95, GROUND), (0.5, GROUND)], side)
    pen.rectangle(0.12, 0.14, 0.5, GROUND, wall)
    windows(pen, (0.14, 0.28, 0.48, 0.74), 4, 5, glass)
    for k in range(3):
        for row in range(5):
            x, y = 0.55 + k * 0.13, 0.3 + row * 0.1 + k * 0.012
            pen.polygon([(x, y), (x + 0.08, y + 0.01), (x + 0.08, y + 0.07), (x, y + 0.06)], glass)
    sign(pen, 0.12, 0.16, 0.5, 0.27)
    door(pen, 0.3, 0.12, 0.14, wall)


@template("ORG", "dev")
def hotel(pen: Pen) -> None:
    """A broad slab with an upright sign at its side."""
    pavement(pen)
    wall, glass = block(pen, (0.12, 0.16, 0.74, GROUND), 6, 7)
    door(pen, 0.42, 0.11, 0.18, wall)
    pen.rectangle(0.76, 0.2, 0.88, 0.7, glass)
    for k in range(4):
        logo(pen, 0.82, 0.27 + k * 0.12, 0.045, wall)


@template("ORG", "dev")
def mall(pen: Pen) -> None:
    """Two wings and a gabled entrance."""
    pavement(pen)
    block(pen, (0.02, 0.5, 0.36, GROUND), 4, 3)
    block(pen, (0.64, 0.5, 0.98, GROUND), 4, 3)
    wall = pen.colour()
    pen.polygon([(0.32, GROUND), (0.32, 0.4), (0.5, 0.24), (0.68, 0.4), (0.68, GROUND)], wall)
    sign(pen, 0.34, 0.42, 0.66, 0.52)
    windows(pen, (0.34, 0.54, 0.66, 0.72), 4, 2, pen.contrast(wall))
    door(pen, 0.5, 0.14, 0.18, wall)


@template("ORG", "dev")
def glass_block(pen: Pen) -> None:
    """A tall narrow office with a board in front."""
    pavement(pen)
    block(pen, (0.4, 0.08, 0.74, GROUND), 4, 9)
    sign(pen, 0.1, 0.66, 0.5, 0.8)
    pen.line([(0.16, 0.8), (0.16, GROUND)], 0.02, pen.colour())
    pen.line([(0.44, 0.8), (0.44, GROUND)], 0.02, pen.colour())


@template("ORG", "test")
def campus(pen: Pen) -> None:
    """Two blocks joined by a bridge."""
    pavement(pen)
    bridge = pen.colour()
    pen.rectangle(0.3, 0.46, 0.7, 0.6, bridge)
    windows(pen, (0.36, 0.47, 0.64, 0.59), 4, 1, pen.contrast(bridge))
    block(pen, (0.06, 0.28, 0.38, GROUND), 4, 6)
    block(pen, (0.62, 0.34, 0.94, GROUND), 4, 6)
    sign(pen, 0.62, 0.22, 0.94, 0.33)


@template("ORG", "test")
def arcade(pen: Pen) -> None:
    """Three shops under one long sign."""
    pavement(pen)
    wall, glass = block(pen, (0.06, 0.2, 0.94, GROUND), 7, 4)
    pen.rectangle(0.06, 0.56, 0.94, GROUND, wall)
    sign(pen, 0.06, 0.46, 0.94, 0.58)
    for k in range(3):
        left = 0.1 + k * 0.28
        pen.polygon(
            [
                (left, GROUND),
                (left, 0.7),
                *arc_points(left + 0.12, 0.7, 0.12, 0.08, 180, 360),
                (left + 0.24, GROUND),
            ],
            glass,
        )
        pen.line([(left + 0.12, 0.62), (left + 0.12, GROUND)], 0.014, wall)


@template("ORG", "test")
def brewery(pen: Pen) -> None:
    """A works with two tanks beside it."""
    pavement(pen)
    for x in (0.7, 0.87):
        tank = pen.colour()
        pen.rectangle(x - 0.075, 0.46, x + 0.075, GROUND, tank)
        pen.ellipse(x, 0.46, 0.075, 0.06, tank)
    wall, _ = block(pen, (0.06, 0.32, 0.6, GROUND), 5, 5)
    chimney(pen, 0.16, 0.16, 0.32)
    sign(pen, 0.1, 0.34, 0.56, 0.44)
    door(pen, 0.33, 0.14, 0.16, wall)


@template("ORG", "test")
def domed_institute(pen: Pen) -> None:
    """A broad house with a dome and a sign over its door."""
    pavement(pen)
    pen.ellipse(0.5, 0.34, 0.2, 0.2, pen.colour(), 180, 360)
    wall, _ = block(pen, (0.1, 0.34, 0.9, GROUND), 7, 5)
    sign(pen, 0.26, 0.6, 0.74, 0.7)
    door(pen, 0.5, 0.16, 0.16, wall)
