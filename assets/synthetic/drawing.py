"""Draws one picture: a background with a subject, or an abstract pattern."""

from __future__ import annotations

from random import Random

# The four subject modules fill the table of templates when imported.
import organisations
import people
import places
import things
from backgrounds import BACKGROUNDS, TEXTURES, draw_background, draw_border
from canvas import Pen, any_colour, blank_image, finished
from PIL import Image
from subjects import TEMPLATES

BORDER_SHARE = 0.3
SUBJECT_MODULES = (people, places, organisations, things)


def draw_subject(
    split: str, label: str, template: str, background: str, rng: Random
) -> Image.Image:
    """A picture of one type: a subject near the middle, in front of a background."""
    image = blank_image()
    edge = any_colour(rng) if rng.random() < 0.4 else None
    pen = Pen(image, rng, edge=edge)
    draw_background(Pen(image, rng), BACKGROUNDS[split][background])
    TEMPLATES[label, split][template](moved(pen))
    if pen.chance(BORDER_SHARE):
        draw_border(Pen(image, rng))
    return finished(image)


def draw_texture(split: str, texture: str, rng: Random) -> Image.Image:
    """A picture without information about any name."""
    image = blank_image()
    pen = Pen(image, rng)
    TEXTURES[split][texture](pen)
    if pen.chance(BORDER_SHARE):
        draw_border(pen)
    return finished(image)


def moved(pen: Pen) -> Pen:
    """A pen that scales, shifts and turns the drawing a little, and mirrors every second one."""
    scale = pen.vary(0.8, 1.1)
    flip = pen.chance(0.5)
    turned = pen.placed(
        0.5 + pen.vary(-0.07, 0.07), 0.5 + pen.vary(-0.06, 0.06), scale, pen.vary(-7, 7), flip
    )
    return turned.placed(-0.5, -0.5)
