"""The colours of entity types: displaCy's, with text of good contrast."""

from typing import Any

from PIL import ImageColor
from spacy.displacy import EntityRenderer
from spacy.displacy.render import DEFAULT_LABEL_COLORS

#: Colours of this package's pages. displaCy's own pages do not have them: an entry point of
#: displaCy would change the colours of every pipeline.
LABEL_COLOURS = {
    "PER": "#a5d8ff",
    "LOC": "#b2f2bb",
    "ORG": "#ffd8a8",
    "MISC": "#eebefa",
    "OTHER": "#eebefa",
}

#: The luminance of a background on which black and white text have the same contrast, 4.6 to 1.
_MIDDLE_LUMINANCE = 0.179


class Colours(EntityRenderer):
    """displaCy's options `colors` and `ents`, and the colours that entry points register.

    The option comes first, then entry points, `LABEL_COLOURS` and displaCy's colours.

    displaCy's markup is not used: it does not escape labels, and it leaves the colour of the text
    to the page. On a dark page that is light text on a pale background.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        """Read the options.

        Args:
            options (dict): displaCy's options.
        """
        super().__init__(options)
        given = {label.upper() for label in options.get("colors", {})}
        for label, colour in LABEL_COLOURS.items():
            is_default = self.colors.get(label) == DEFAULT_LABEL_COLORS.get(label)
            if is_default and label not in given:
                self.colors[label] = colour

    def shows(self, label: str) -> bool:
        """Whether entities of a type are highlighted.

        Args:
            label (str): The type.

        Returns:
            bool: True if so.
        """
        return self.ents is None or label.upper() in self.ents

    def css(self, label: str) -> str:
        """The colours of a type.

        Args:
            label (str): The type.

        Returns:
            str: CSS declarations. They do not contain the label.
        """
        background = self.colors.get(label.upper(), self.default_color)
        return f"background: {background}; color: {_text_colour(background)}"


def _text_colour(background: str) -> str:
    try:
        red, green, blue = (value / 255 for value in ImageColor.getrgb(background)[:3])
    except ValueError:  # such as a gradient
        return "#000"
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return "#000" if luminance > _MIDDLE_LUMINANCE else "#fff"
