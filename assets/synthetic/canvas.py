"""Drawing tools: a pen with movable coordinates, and random colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

PICTURE_SIDE = 128
SUPERSAMPLING = 3
CURVE_STEPS = 36


def any_colour(rng: Random) -> Colour:
    """A random colour of any hue. Bright and dark ones are equally likely."""
    colour = hue_colour(rng.random(), rng.uniform(0.2, 0.95), rng.uniform(0.2, 1.0))
    return colour if rng.random() < 0.5 else negative(colour)


def negative(colour: Colour) -> Colour:
    """The colour of a photographic negative."""
    red, green, blue = colour
    return 255 - red, 255 - green, 255 - blue


def hue_colour(hue: float, saturation: float, value: float) -> Colour:
    """The RGB colour, 0 to 255, of a hue, a saturation and a value between 0 and 1."""

    def channel(offset: float) -> int:
        position = (offset + hue * 6) % 6
        drop = max(0.0, min(position, 4 - position, 1.0))
        return round(255 * value * (1 - saturation * drop))

    return channel(5), channel(3), channel(1)


def brightness(colour: Colour) -> float:
    """The perceived brightness of the colour, 0 to 255."""
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """A mixture of two colours; `share` is the share of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Placement:
    """An affine map from a drawing's own coordinates to those of the picture."""

    xx: float = 1.0
    xy: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    x: float = 0.0
    y: float = 0.0

    def apply(self, point: Point) -> Point:
        """The point of the picture that belongs to a point of the drawing."""
        across, down = point
        return (
            self.xx * across + self.xy * down + self.x,
            self.yx * across + self.yy * down + self.y,
        )

    def inner(self, x: float, y: float, scale: float, degrees: float, flip: bool) -> Placement:
        """The placement of a drawing inside this one, with its origin at (x, y)."""
        turn = math.radians(degrees)
        cosine, sine = scale * math.cos(turn), scale * math.sin(turn)
        mirror = -1.0 if flip else 1.0
        across = (cosine * mirror, sine * mirror)
        down = (-sine, cosine)
        origin_x, origin_y = self.apply((x, y))
        return Placement(
            xx=self.xx * across[0] + self.xy * across[1],
            xy=self.xx * down[0] + self.xy * down[1],
            yx=self.yx * across[0] + self.yy * across[1],
            yy=self.yx * down[0] + self.yy * down[1],
            x=origin_x,
            y=origin_y,
        )

    @property
    def scale(self) -> float:
        """The length of one unit of the drawing on the picture."""
        return math.hypot(self.xx, self.yx)


class Pen:
    """A pen that draws shapes. Coordinates run from 0 to 1 over the picture, y downwards."""

    def __init__(
        self,
        image: Image.Image,
        rng: Random,
        placement: Placement | None = None,
        edge: Colour | None = None,
    ) -> None:
        self.image = image
        self.rng = rng
        self.placement = placement or Placement()
        self.edge = edge
        self._draw = ImageDraw.Draw(image)

    def placed(
        self, x: float, y: float, scale: float = 1.0, degrees: float = 0.0, flip: bool = False
    ) -> Pen:
        """A pen for a drawing inside this one, with its origin at (x, y) of this one."""
        inner = self.placement.inner(x, y, scale, degrees, flip)
        return Pen(self.image, self.rng, inner, self.edge)

    def colour(self) -> Colour:
        """A random colour."""
        return any_colour(self.rng)

    def contrast(self, *others: Colour) -> Colour:
        """A random colour that is clearly brighter or darker than each of `others`."""
        best, best_gap = any_colour(self.rng), -1.0
        for _ in range(60):
            candidate = any_colour(self.rng)
            gap = min(abs(brightness(candidate) - brightness(other)) for other in others)
            if gap > 60:
                return candidate
            if gap > best_gap:
                best, best_gap = candidate, gap
        return best

    def shade(self, colour: Colour, share: float) -> Colour:
        """A darker or paler version of a colour, at random: shadows must not reveal a type."""
        return mixed(colour, self.rng.choice([(0, 0, 0), (255, 255, 255)]), share)

    def chance(self, share: float) -> bool:
        """True with the probability `share`."""
        return self.rng.random() < share

    def vary(self, low: float, high: float) -> float:
        """A random number between two numbers."""
        return self.rng.uniform(low, high)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """Draw a filled polygon, with an outline if this picture has outlines."""
        pixels = self._pixels(points)
        self._draw.polygon(pixels, fill=fill)
        if self.edge is not None:
            self._draw.line([*pixels, pixels[0]], fill=self.edge, width=SUPERSAMPLING)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """Draw a filled rectangle between two corners."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def ellipse(
        self,
        x: float,
        y: float,
        across: float,
        down: float,
        fill: Colour,
        start: float = 0,
        end: float = 360,
    ) -> None:
        """Draw a filled ellipse, given by centre and radii, or its segment between two angles."""
        self.polygon(arc_points(x, y, across, down, start, end), fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a line through the points; `width` is in the pen's own units."""
        side = self.image.size[0]
        thickness = max(1, round(width * self.placement.scale * side))
        self._draw.line(self._pixels(points), fill=fill, width=thickness, joint="curve")

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        side = self.image.size[0]
        placed = (self.placement.apply(point) for point in points)
        return [(x * side, y * side) for x, y in placed]


def arc_points(
    x: float, y: float, across: float, down: float, start: float = 0, end: float = 360
) -> list[Point]:
    """Points along an ellipse. Angles are in degrees, clockwise from the right."""
    steps = [start + (end - start) * step / CURVE_STEPS for step in range(CURVE_STEPS + 1)]
    return [
        (x + across * math.cos(math.radians(a)), y + down * math.sin(math.radians(a)))
        for a in steps
    ]


def blank_image() -> Image.Image:
    """An empty picture in the size for drawing."""
    side = PICTURE_SIDE * SUPERSAMPLING
    return Image.new("RGB", (side, side))


def finished(image: Image.Image) -> Image.Image:
    """The drawing in its final size, with smooth edges."""
    return image.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
