"""Picture templates for LOC. All of them are a landscape to the horizon, under the background."""

from __future__ import annotations

import math

from canvas import Colour, Pen, Point, mixed
from subjects import template

LEFT, RIGHT, BOTTOM = -0.6, 1.6, 1.7


def hills(pen: Pen, level: float, swing: float, fill: Colour) -> None:
    """A rounded ridge from side to side."""
    phase, waves = pen.vary(0, 6.28), pen.vary(3, 7)
    xs = [LEFT + (RIGHT - LEFT) * k / 40 for k in range(41)]
    crest = [(x, level + swing * math.sin(waves * x + phase)) for x in xs]
    pen.polygon([*crest, (RIGHT, BOTTOM), (LEFT, BOTTOM)], fill)


def peaks(pen: Pen, level: float, height: float, fill: Colour, capped: bool = False) -> None:
    """A jagged ridge from side to side, with snow on its peaks if `capped`."""
    x = LEFT
    crest: list[Point] = [(LEFT, level)]
    tops: list[Point] = []
    while x < RIGHT:
        width = pen.vary(0.14, 0.26)
        top = (x + width, level - height * pen.vary(0.6, 1))
        crest += [top, (x + 2 * width, level - height * pen.vary(0, 0.25))]
        tops.append(top)
        x += 2 * width
    pen.polygon([*crest, (x, BOTTOM), (LEFT, BOTTOM)], fill)
    snow = pen.contrast(fill)
    for x, top_y in tops if capped else []:
        low = top_y + height * 0.28
        pen.polygon(
            [
                (x, top_y),
                (x + 0.055, low),
                (x + 0.02, low - 0.03),
                (x, low),
                (x - 0.03, low - 0.02),
                (x - 0.055, low),
            ],
            snow,
        )


def water(pen: Pen, level: float, bottom: float = BOTTOM) -> None:
    """A flat surface with short ripples."""
    fill = pen.colour()
    pen.rectangle(LEFT, level, RIGHT, bottom, fill)
    ripple = mixed(fill, pen.contrast(fill), 0.6)
    for _ in range(10):
        x, y = pen.vary(-0.1, 1), pen.vary(level + 0.03, min(bottom, 1.05))
        pen.line([(x, y), (x + pen.vary(0.06, 0.16), y)], 0.012, ripple)


def sun(pen: Pen, low: float = 0.25) -> None:
    """A disc in the sky."""
    pen.ellipse(pen.vary(0.15, 0.85), pen.vary(0.1, low), 0.08, 0.08, pen.colour())


def cloud(pen: Pen) -> None:
    """A flat-bottomed cloud."""
    x, y, fill = pen.vary(0.1, 0.8), pen.vary(0.08, 0.22), pen.colour()
    for across, up, size in ((0, 0, 0.05), (0.07, 0.025, 0.07), (0.15, 0, 0.05)):
        pen.ellipse(x + across, y - up, size, size * 0.8, fill)


def sky(pen: Pen) -> None:
    """Sun, clouds, both or neither."""
    if pen.chance(0.6):
        sun(pen)
    for _ in range(pen.rng.randint(0, 2)):
        cloud(pen)


def fir(pen: Pen, x: float, y: float, size: float, fill: Colour) -> None:
    """A pointed tree standing at (x, y)."""
    pen.rectangle(x - size * 0.06, y - size * 0.2, x + size * 0.06, y, pen.shade(fill, 0.5))
    for layer in range(3):
        low, half = y - size * (0.15 + layer * 0.25), size * (0.32 - layer * 0.07)
        pen.polygon([(x - half, low), (x + half, low), (x, low - size * 0.42)], fill)


def leafy(pen: Pen, x: float, y: float, size: float, fill: Colour) -> None:
    """A round tree standing at (x, y)."""
    pen.rectangle(x - size * 0.07, y - size * 0.5, x + size * 0.07, y, pen.shade(fill, 0.5))
    for across, up in ((-0.18, 0.5), (0.18, 0.5), (0, 0.75)):
        pen.ellipse(x + across * size, y - up * size, size * 0.27, size * 0.25, fill)


def palm(pen: Pen, x: float, y: float, size: float) -> None:
    """A palm standing at (x, y)."""
    top = (x + size * 0.2, y - size)
    pen.line([(x, y), (x + size * 0.05, y - size * 0.5), top], size * 0.1, pen.colour())
    leaf = pen.colour()
    for turn in (-170, -140, -100, -60, -20, 15):
        reach = math.radians(turn)
        tip = (
            top[0] + size * 0.5 * math.cos(reach),
            top[1] + size * (0.4 * math.sin(reach) + 0.15),
        )
        bend = ((top[0] + tip[0]) / 2, (top[1] + tip[1]) / 2 - size * 0.16)
        pen.polygon([top, bend, tip, ((bend[0] + top[0]) / 2, bend[1] + size * 0.12)], leaf)


def cottage(pen: Pen, x: float, y: float, size: float) -> None:
    """A little house standing at (x, y)."""
    wall = pen.colour()
    pen.rectangle(x - size / 2, y - size * 0.6, x + size / 2, y, wall)
    pen.polygon(
        [
            (x - size * 0.62, y - size * 0.58),
            (x, y - size * 1.1),
            (x + size * 0.62, y - size * 0.58),
        ],
        pen.contrast(wall),
    )


def road(pen: Pen, level: float) -> None:
    """A road that narrows up to the horizon."""
    fill, bend = pen.colour(), pen.vary(-0.15, 0.15)
    vanishing = 0.5 + pen.vary(-0.15, 0.15)
    pen.polygon(
        [
            (vanishing - 0.012, level),
            (vanishing + 0.012, level),
            (0.56 + bend, (level + 1) / 2),
            (0.82, 1.3),
            (0.1, 1.3),
            (0.42 + bend, (level + 1) / 2),
        ],
        fill,
    )
    stripe = pen.contrast(fill)
    for low in (0.3, 0.55, 0.85):
        y = level + (1.1 - level) * low
        x = vanishing + (0.48 - vanishing + bend * 0.4) * low
        pen.line([(x, y), (x, y + 0.07 * low + 0.02)], 0.03 * low, stripe)


def river(pen: Pen, level: float) -> None:
    """A river that winds down from the horizon."""
    left, right = [], []
    middle, swing = pen.vary(0.35, 0.65), pen.rng.choice([-1, 1]) * pen.vary(0.08, 0.16)
    for k in range(25):
        depth = k / 24
        x = middle + swing * math.sin(depth * 7) * (0.4 + depth)
        half, y = 0.012 + 0.15 * depth**1.5, level + (1.4 - level) * depth
        left.append((x - half, y))
        right.append((x + half, y))
    pen.polygon([*left, *reversed(right)], pen.colour())


def sailboat(pen: Pen, x: float, y: float, size: float) -> None:
    """A boat with two sails, afloat at (x, y)."""
    pen.polygon(
        [
            (x - size * 0.5, y - size * 0.15),
            (x + size * 0.5, y - size * 0.15),
            (x + size * 0.3, y),
            (x - size * 0.3, y),
        ],
        pen.colour(),
    )
    sail = pen.colour()
    pen.polygon([(x, y - size * 0.2), (x, y - size * 1.1), (x + size * 0.45, y - size * 0.2)], sail)
    pen.polygon(
        [
            (x - 0.04 * size, y - size * 0.2),
            (x - 0.04 * size, y - size),
            (x - size * 0.35, y - size * 0.2),
        ],
        sail,
    )


@template("LOC", "train")
def mountains(pen: Pen) -> None:
    """Two jagged ridges over a plain."""
    sky(pen)
    back = pen.colour()
    peaks(pen, 0.6, 0.35, back, capped=True)
    front = pen.contrast(back)
    peaks(pen, 0.75, 0.25, front)
    hills(pen, 0.84, 0.03, pen.contrast(front))


@template("LOC", "train")
def rolling_hills(pen: Pen) -> None:
    """Rounded hills with trees."""
    sky(pen)
    fill = pen.colour()
    for level in (0.5, 0.64, 0.8):
        hills(pen, level, 0.06, fill)
        fill = pen.contrast(fill)
    for _ in range(4):
        leafy(pen, pen.vary(0.05, 0.95), pen.vary(0.8, 0.95), 0.16, fill)


@template("LOC", "train")
def island(pen: Pen) -> None:
    """A palm island in the sea."""
    sky(pen)
    water(pen, 0.62)
    middle = pen.vary(0.4, 0.6)
    pen.ellipse(middle, 0.78, 0.36, 0.15, pen.colour(), 180, 360)
    palm(pen, middle - 0.06, 0.68, 0.36)
    palm(pen, middle + 0.1, 0.7, 0.26)


@template("LOC", "train")
def road_into_hills(pen: Pen) -> None:
    """A road up to a ridge."""
    sky(pen)
    back = pen.colour()
    peaks(pen, 0.52, 0.25, back)
    plain_colour = pen.contrast(back)
    pen.rectangle(LEFT, 0.5, RIGHT, BOTTOM, plain_colour)
    road(pen, 0.5)


@template("LOC", "train")
def lake(pen: Pen) -> None:
    """A lake under a ridge, with firs on the near shore."""
    sky(pen)
    ridge = pen.colour()
    peaks(pen, 0.55, 0.3, ridge, capped=pen.chance(0.5))
    water(pen, 0.56)
    shore = pen.colour()
    hills(pen, 0.92, 0.03, shore)
    tree = pen.contrast(shore)
    for x in (0.1, 0.22, 0.85):
        fir(pen, x, 0.94, pen.vary(0.25, 0.4), tree)


@template("LOC", "train")
def desert(pen: Pen) -> None:
    """Dunes with cactuses."""
    sky(pen)
    sand = pen.colour()
    hills(pen, 0.58, 0.05, sand)
    near = pen.contrast(sand)
    hills(pen, 0.74, 0.05, near)
    plant = pen.contrast(near)
    for x in (pen.vary(0.1, 0.4), pen.vary(0.6, 0.9)):
        pen.line([(x, 0.9), (x, 0.5)], 0.06, plant)
        pen.line([(x, 0.72), (x - 0.09, 0.7), (x - 0.09, 0.6)], 0.04, plant)
        pen.line([(x, 0.76), (x + 0.09, 0.73), (x + 0.09, 0.64)], 0.04, plant)


@template("LOC", "train")
def village(pen: Pen) -> None:
    """Small houses on hills."""
    sky(pen)
    back = pen.colour()
    hills(pen, 0.5, 0.07, back)
    for x in (0.15, 0.4, 0.62, 0.86):
        cottage(pen, x + pen.vary(-0.04, 0.04), pen.vary(0.68, 0.74), 0.14)
    front = pen.contrast(back)
    hills(pen, 0.74, 0.04, front)
    for x in (0.08, 0.52, 0.92):
        leafy(pen, x, 0.9, 0.18, pen.contrast(front))


@template("LOC", "train")
def forest(pen: Pen) -> None:
    """Rows of firs before a ridge."""
    sky(pen)
    back = pen.colour()
    peaks(pen, 0.5, 0.25, back)
    ground = pen.contrast(back)
    hills(pen, 0.62, 0.03, ground)
    for row in range(2):
        tree = pen.contrast(ground)
        for k in range(7):
            fir(
                pen, k * 0.17 + pen.vary(-0.06, 0.06), 0.75 + row * 0.18, pen.vary(0.22, 0.32), tree
            )


@template("LOC", "train")
def valley(pen: Pen) -> None:
    """A river between hills."""
    sky(pen)
    back = pen.colour()
    hills(pen, 0.46, 0.07, back)
    front = pen.contrast(back)
    pen.rectangle(LEFT, 0.55, RIGHT, BOTTOM, front)
    river(pen, 0.55)
    for x in (0.06, 0.18, 0.84, 0.95):
        leafy(pen, x, pen.vary(0.7, 0.9), 0.16, pen.contrast(front))


@template("LOC", "train")
def volcano(pen: Pen) -> None:
    """One great mountain behind a shore."""
    x, fill = pen.vary(0.35, 0.65), pen.colour()
    pen.polygon([(x - 0.6, 0.75), (x - 0.1, 0.25), (x + 0.1, 0.25), (x + 0.6, 0.75)], fill)
    pen.polygon(
        [
            (x - 0.1, 0.25),
            (x + 0.1, 0.25),
            (x + 0.18, 0.35),
            (x + 0.05, 0.33),
            (x - 0.02, 0.42),
            (x - 0.08, 0.32),
            (x - 0.18, 0.34),
        ],
        pen.contrast(fill),
    )
    hills(pen, 0.7, 0.03, pen.contrast(fill))
    water(pen, 0.84)


@template("LOC", "train")
def coast(pen: Pen) -> None:
    """A cliff with a lighthouse over the sea."""
    sky(pen)
    water(pen, 0.6)
    rock = pen.colour()
    pen.polygon(
        [
            (-0.6, 0.45),
            (0.3, 0.46),
            (0.42, 0.6),
            (0.4, 0.72),
            (0.52, 0.85),
            (0.5, BOTTOM),
            (-0.6, BOTTOM),
        ],
        rock,
    )
    tower = pen.contrast(rock)
    pen.polygon([(0.13, 0.47), (0.16, 0.2), (0.24, 0.2), (0.27, 0.47)], tower)
    pen.rectangle(0.15, 0.28, 0.25, 0.34, pen.contrast(tower))
    pen.polygon([(0.14, 0.2), (0.2, 0.12), (0.26, 0.2)], rock)


@template("LOC", "train")
def signpost(pen: Pen) -> None:
    """A signpost by a track, in front of hills."""
    sky(pen)
    back = pen.colour()
    hills(pen, 0.5, 0.06, back)
    peaks(pen, 0.6, 0.15, pen.contrast(back))
    ground = pen.colour()
    pen.rectangle(LEFT, 0.62, RIGHT, BOTTOM, ground)
    road(pen, 0.62)
    post = pen.contrast(ground)
    pen.rectangle(0.74, 0.32, 0.78, 0.95, post)
    pen.polygon([(0.6, 0.36), (0.88, 0.36), (0.95, 0.42), (0.88, 0.48), (0.6, 0.48)], post)


@template("LOC", "dev")
def canyon(pen: Pen) -> None:
    """A river between flat-topped rocks."""
    sky(pen)
    ground = pen.colour()
    pen.rectangle(LEFT, 0.6, RIGHT, BOTTOM, ground)
    rock = pen.contrast(ground)
    for x, width in ((0.0, 0.4), (0.5, 0.2), (0.95, 0.35)):
        top = pen.vary(0.3, 0.42)
        pen.polygon(
            [
                (x - width / 2, top),
                (x + width / 2, top),
                (x + width * 0.6, 0.66),
                (x - width * 0.6, 0.66),
            ],
            rock,
        )
    river(pen, 0.62)


@template("LOC", "dev")
def beach(pen: Pen) -> None:
    """Sea, sand and a palm at the side."""
    sun(pen, 0.4)
    hills(pen, 0.52, 0.03, pen.colour())
    water(pen, 0.56)
    hills(pen, 0.84, 0.04, pen.colour())
    palm(pen, pen.vary(0.12, 0.3), 0.92, 0.5)


@template("LOC", "dev")
def twin_summits(pen: Pen) -> None:
    """Two tall mountains and a wood."""
    sky(pen)
    for x, top in ((0.25, 0.25), (0.72, 0.18)):
        fill = pen.colour()
        pen.polygon([(x - 0.5, 0.8), (x, top), (x + 0.5, 0.8)], fill)
        pen.polygon([(x - 0.1, top + 0.12), (x, top), (x + 0.1, top + 0.12)], pen.contrast(fill))
    ground = pen.colour()
    hills(pen, 0.76, 0.03, ground)
    tree = pen.contrast(ground)
    for k in range(5):
        fir(pen, 0.1 + k * 0.2, 0.88, 0.24, tree)


@template("LOC", "test")
def bay_with_boats(pen: Pen) -> None:
    """Sailing boats under a far ridge."""
    sky(pen)
    peaks(pen, 0.56, 0.22, pen.colour())
    water(pen, 0.56)
    for x in (pen.vary(0.15, 0.35), pen.vary(0.6, 0.85)):
        sailboat(pen, x, pen.vary(0.7, 0.85), 0.2)


@template("LOC", "test")
def terraces(pen: Pen) -> None:
    """A slope in steps, with a mountain behind."""
    sky(pen)
    back = pen.colour()
    peaks(pen, 0.5, 0.28, back, capped=True)
    fill = pen.contrast(back)
    for step in range(5):
        hills(pen, 0.52 + step * 0.1, 0.025, fill)
        fill = mixed(fill, pen.contrast(fill), 0.5)
    for x in (0.2, 0.8):
        leafy(pen, x, 0.8, 0.17, pen.contrast(fill))


@template("LOC", "test")
def waterfall(pen: Pen) -> None:
    """Water down a rock between firs."""
    sky(pen)
    rock = pen.colour()
    peaks(pen, 0.45, 0.2, rock)
    fall = pen.contrast(rock)
    pen.polygon([(0.44, 0.42), (0.56, 0.42), (0.6, 0.8), (0.4, 0.8)], fall)
    ground = pen.contrast(rock)
    hills(pen, 0.8, 0.03, ground)
    pen.ellipse(0.5, 0.86, 0.3, 0.07, fall)
    tree = pen.contrast(ground)
    for x in (0.05, 0.2, 0.8, 0.94):
        fir(pen, x, 0.86, pen.vary(0.25, 0.4), tree)


@template("LOC", "test")
def farmland(pen: Pen) -> None:
    """A farm and ploughed fields under hills."""
    sky(pen)
    back = pen.colour()
    peaks(pen, 0.46, 0.2, back)
    meadow = pen.contrast(back)
    hills(pen, 0.52, 0.04, meadow)
    cottage(pen, pen.vary(0.2, 0.4), 0.66, 0.16)
    leafy(pen, pen.vary(0.55, 0.68), 0.68, 0.18, pen.contrast(meadow))
    leafy(pen, pen.vary(0.74, 0.9), 0.7, 0.24, pen.contrast(meadow))
    field = pen.contrast(meadow)
    hills(pen, 0.76, 0.02, field)
    furrow = mixed(field, pen.contrast(field), 0.5)
    for k in range(-3, 4):
        pen.line([(0.5 + k * 0.16, 0.82), (0.5 + k * 0.34, 1.4)], 0.03, furrow)
