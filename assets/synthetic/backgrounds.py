"""Background patterns, and abstract pictures without information about a name.

Backgrounds do not depend on the type of the subject. Each split has its own patterns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from canvas import Colour, Pen, any_colour, mixed
from PIL import Image, ImageFilter

Pattern = Callable[[Pen, Colour, Colour], None]

BACKGROUNDS: dict[str, dict[str, Pattern]] = {"train": {}, "dev": {}, "test": {}}
TEXTURES: dict[str, dict[str, Callable[[Pen], None]]] = {"train": {}, "dev": {}, "test": {}}


def background(split: str) -> Callable[[Pattern], Pattern]:
    """Register a background pattern for one split."""

    def register(pattern: Pattern) -> Pattern:
        BACKGROUNDS[split][pattern.__name__] = pattern
        return pattern

    return register


def texture(split: str) -> Callable[[Callable[[Pen], None]], Callable[[Pen], None]]:
    """Register an abstract picture for one split."""

    def register(pattern: Callable[[Pen], None]) -> Callable[[Pen], None]:
        TEXTURES[split][pattern.__name__] = pattern
        return pattern

    return register


def draw_background(pen: Pen, pattern: Pattern) -> None:
    """Cover the picture with a two-colour pattern of low contrast and a few stray shapes."""
    ground = pen.colour()
    quiet = mixed(ground, pen.colour(), pen.vary(0.25, 0.6))
    pen.rectangle(-0.1, -0.1, 1.1, 1.1, ground)
    pattern(pen.placed(0.5, 0.5, pen.vary(0.9, 1.2), pen.vary(-20, 20)), ground, quiet)
    if pen.chance(0.6):
        floor(pen)
    stray_shapes(pen, pen.rng.randint(0, 4))


def floor(pen: Pen) -> None:
    """Draw a strip along the bottom, so that a strip is no sign of a landscape or a street."""
    tilted = pen.placed(0.5, pen.vary(0.65, 0.95), 1, pen.vary(-7, 7))
    tilted.rectangle(-1, 0, 1, 1, pen.colour())


def draw_border(pen: Pen) -> None:
    """Draw a border over the edges of the picture, so that the corners do not reveal the type."""
    width, fill = pen.vary(0.02, 0.07), pen.colour()
    pen.rectangle(0, 0, 1, width, fill)
    pen.rectangle(0, 1 - width, 1, 1, fill)
    pen.rectangle(0, 0, width, 1, fill)
    pen.rectangle(1 - width, 0, 1, 1, fill)


def stray_shapes(pen: Pen, count: int) -> None:
    """Draw small shapes at random places. They have no meaning."""
    for _ in range(count):
        spot = pen.placed(
            pen.rng.random(), pen.rng.random(), pen.vary(0.03, 0.09), pen.vary(0, 360)
        )
        corners = pen.rng.choice([3, 4, 5, 24])
        stretch = pen.vary(0.5, 1.0)
        turn = 2 * math.pi / corners
        spot.polygon(
            [(math.cos(turn * k), stretch * math.sin(turn * k)) for k in range(corners)],
            pen.colour(),
        )


# Backgrounds: drawn around the origin, from about -1 to 1.


@background("train")
def plain(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """One colour."""


@background("train")
def stripes(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Broad upright stripes."""
    step = pen.vary(0.15, 0.35)
    for k in range(-8, 8):
        pen.rectangle(k * step, -1, (k + 0.5) * step, 1, quiet)


@background("train")
def checks(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """A chessboard."""
    step = pen.vary(0.15, 0.3)
    for row in range(-6, 6):
        for column in range(-6, 6):
            if (row + column) % 2:
                x, y = column * step, row * step
                pen.rectangle(x, y, x + step, y + step, quiet)


@background("train")
def dots(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Round dots in rows."""
    step = pen.vary(0.15, 0.28)
    for row in range(-6, 7):
        for column in range(-6, 7):
            pen.ellipse((column + row % 2 / 2) * step, row * step, step / 4, step / 4, quiet)


@background("train")
def halves(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Two colours that meet in one straight line."""
    tilted = pen.placed(0, 0, 1, pen.vary(0, 360))
    tilted.rectangle(pen.vary(-0.3, 0.3), -2, 2, 2, quiet)


@background("train")
def rays(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Rays out of one point."""
    x, y = pen.vary(-0.5, 0.5), pen.vary(-0.5, 0.5)
    count = pen.rng.randint(6, 12)
    for k in range(count):
        turn, width = 2 * math.pi * k / count, math.pi / count
        first = (x + 2 * math.cos(turn), y + 2 * math.sin(turn))
        second = (x + 2 * math.cos(turn + width), y + 2 * math.sin(turn + width))
        pen.polygon([(x, y), first, second], quiet)


@background("train")
def patches(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """A few large overlapping circles."""
    for _ in range(6):
        size = pen.vary(0.15, 0.35)
        shade = mixed(ground, quiet, pen.vary(0.3, 1))
        pen.ellipse(pen.vary(-0.7, 0.7), pen.vary(-0.7, 0.7), size, size, shade)


@background("train")
def shades(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """A gradient in bands, in any direction."""
    tilted = pen.placed(0, 0, 1, pen.vary(0, 360))
    for k in range(24):
        tilted.rectangle(-2, -1 + k / 12, 2, 2, mixed(ground, quiet, k / 23))


@background("train")
def lattice(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Crossing thin lines."""
    step = pen.vary(0.2, 0.35)
    for k in range(-5, 6):
        pen.line([(k * step, -1), (k * step, 1)], 0.025, quiet)
        pen.line([(-1, k * step), (1, k * step)], 0.025, quiet)


@background("dev")
def triangles(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Rows of triangles."""
    step = pen.vary(0.2, 0.35)
    for row in range(-5, 5):
        for column in range(-5, 5):
            x, y = column * step, row * step
            pen.polygon([(x, y), (x + step, y), (x + step / 2, y + step)], quiet)


@background("dev")
def slats(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Slanting bars of uneven width."""
    tilted = pen.placed(0, 0, 1, pen.rng.choice([35, 55, 125]))
    x = -1.2
    while x < 1.2:
        width = pen.vary(0.05, 0.3)
        tilted.rectangle(x, -2, x + width, 2, quiet)
        x += width + pen.vary(0.05, 0.3)


@background("dev")
def corner(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Quarter rings around one corner."""
    for k in range(7, 0, -1):
        pen.ellipse(-0.6, -0.6, k * 0.25, k * 0.25, quiet if k % 2 else ground)


@background("test")
def rings(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Rings around one point."""
    x, y = pen.vary(-0.4, 0.4), pen.vary(-0.4, 0.4)
    for k in range(8, 0, -1):
        pen.ellipse(x, y, k * 0.16, k * 0.16, quiet if k % 2 else ground)


@background("test")
def crosses(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Plus signs in rows."""
    step = pen.vary(0.25, 0.4)
    for row in range(-4, 5):
        for column in range(-4, 5):
            x, y = column * step, row * step
            long, short = step * 0.36, step * 0.11
            pen.rectangle(x - long, y - short, x + long, y + short, quiet)
            pen.rectangle(x - short, y - long, x + short, y + long, quiet)


@background("test")
def quarters(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Four fields in three shades."""
    pen.rectangle(-2, -2, 0, 0, quiet)
    pen.rectangle(0, 0, 2, 2, mixed(ground, quiet, 0.5))


@background("test")
def zigzag(pen: Pen, ground: Colour, quiet: Colour) -> None:
    """Broad zigzag lines."""
    step = pen.vary(0.22, 0.4)
    for row in range(-4, 5):
        points = [(k * step / 2, row * step + (k % 2) * step / 2) for k in range(-9, 10)]
        pen.line(points, 0.06, quiet)


# Abstract pictures.


@texture("train")
def blurred_patches(pen: Pen) -> None:
    """Soft round stains."""
    pen.rectangle(0, 0, 1, 1, pen.colour())
    for _ in range(pen.rng.randint(4, 9)):
        size = pen.vary(0.08, 0.3)
        pen.ellipse(pen.rng.random(), pen.rng.random(), size, size, pen.colour())
    blur(pen, pen.vary(0.03, 0.06))


@texture("train")
def slope(pen: Pen) -> None:
    """A plain gradient between two colours."""
    start, end = pen.colour(), pen.colour()
    tilted = pen.placed(0.5, 0.5, 1, pen.vary(0, 360))
    for k in range(64):
        tilted.rectangle(-1, -0.75 + k / 43, 1, 1, mixed(start, end, k / 63))


@texture("train")
def coarse_noise(pen: Pen) -> None:
    """Random squares, softly joined."""
    noise(pen, side=pen.rng.randint(6, 14), smooth=True)


@texture("train")
def bare_stripes(pen: Pen) -> None:
    """Only stripes."""
    bare_pattern(pen, stripes)


@texture("train")
def bare_dots(pen: Pen) -> None:
    """Only dots."""
    bare_pattern(pen, dots)


@texture("train")
def bare_patches(pen: Pen) -> None:
    """Only overlapping circles."""
    bare_pattern(pen, patches)


@texture("train")
def bare_lattice(pen: Pen) -> None:
    """Only crossing lines."""
    bare_pattern(pen, lattice)


@texture("train")
def bare_rays(pen: Pen) -> None:
    """Only rays."""
    bare_pattern(pen, rays)


@texture("train")
def bare_checks(pen: Pen) -> None:
    """Only a chessboard."""
    bare_pattern(pen, checks)


@texture("train")
def bare_fields(pen: Pen) -> None:
    """Only two fields."""
    bare_pattern(pen, halves)


@texture("train")
def scattered_shapes(pen: Pen) -> None:
    """Many stray shapes."""
    pen.rectangle(0, 0, 1, 1, pen.colour())
    stray_shapes(pen, pen.rng.randint(12, 30))


@texture("train")
def ovals(pen: Pen) -> None:
    """Flat ovals inside each other."""
    middle = pen.placed(pen.vary(0.2, 0.8), pen.vary(0.2, 0.8), 1, pen.vary(0, 360))
    ground, other = pen.colour(), pen.colour()
    pen.rectangle(0, 0, 1, 1, ground)
    for k in range(7, 0, -1):
        middle.ellipse(0, 0, k * 0.2, k * 0.09, other if k % 2 else ground)


@texture("dev")
def bare_slats(pen: Pen) -> None:
    """Only slanting bars."""
    bare_pattern(pen, slats)


@texture("dev")
def bare_triangles(pen: Pen) -> None:
    """Only triangles."""
    bare_pattern(pen, triangles)


@texture("dev")
def blurred_bars(pen: Pen) -> None:
    """Soft bars."""
    pen.rectangle(0, 0, 1, 1, pen.colour())
    tilted = pen.placed(0.5, 0.5, 1, pen.vary(0, 360))
    for _ in range(5):
        x = pen.vary(-0.6, 0.6)
        tilted.rectangle(x, -1, x + pen.vary(0.05, 0.2), 1, pen.colour())
    blur(pen, pen.vary(0.02, 0.05))


@texture("test")
def bare_rings(pen: Pen) -> None:
    """Only rings."""
    bare_pattern(pen, rings)


@texture("test")
def bare_crosses(pen: Pen) -> None:
    """Only plus signs."""
    bare_pattern(pen, crosses)


@texture("test")
def mosaic(pen: Pen) -> None:
    """Hard-edged random squares."""
    noise(pen, side=pen.rng.randint(4, 8), smooth=False)


@texture("test")
def glow(pen: Pen) -> None:
    """One soft spot of light."""
    start, end = pen.colour(), pen.colour()
    x, y = pen.rng.random(), pen.rng.random()
    pen.rectangle(0, 0, 1, 1, start)
    for k in range(48):
        radius = 1 - k / 48
        pen.ellipse(x, y, radius, radius, mixed(start, end, k / 47))


def bare_pattern(pen: Pen, pattern: Pattern) -> None:
    """A background in two strong colours, with a few stray shapes."""
    ground = pen.colour()
    pen.rectangle(0, 0, 1, 1, ground)
    size, turn = pen.vary(0.9, 1.2), pen.vary(0, 360)
    pattern(pen.placed(0.5, 0.5, size, turn), ground, pen.colour())
    stray_shapes(pen, pen.rng.randint(0, 5))


def noise(pen: Pen, side: int, smooth: bool) -> None:
    """Squares of random mixtures of two colours over the whole picture."""
    generator = np.random.default_rng(pen.rng.getrandbits(32))
    shares = generator.random((side, side, 1))
    ends = np.array([any_colour(pen.rng), any_colour(pen.rng)], dtype=float)
    pixels = np.rint(ends[0] + (ends[1] - ends[0]) * shares).astype(np.uint8)
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    pen.image.paste(Image.fromarray(pixels).resize(pen.image.size, how))


def blur(pen: Pen, share: float) -> None:
    """Blur the whole picture. `share` is the radius as a share of the picture's side."""
    softened = pen.image.filter(ImageFilter.GaussianBlur(share * pen.image.size[0]))
    pen.image.paste(softened)
