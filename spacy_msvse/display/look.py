"""The colours of entity types: displaCy's, with text that can be read on them."""

from PIL import ImageColor
from spacy.displacy import EntityRenderer

#: Of two backgrounds, the one on which black and white are equally easy to read: 4.6 to 1.
_MIDDLE_LUMINANCE = 0.179


class Look(EntityRenderer):
    """displaCy's options `colors` and `ents`, and the colours that entry points register.

    displaCy's markup itself is not used: it does not escape labels, and it leaves the colour of
    the text to the page, which is light on a pale background where the page is dark.
    """

    def shows(self, label: str) -> bool:
        """Whether entities of a type are to be highlighted.

        label (str): The type.
        RETURNS (bool): True if so.
        """
        return self.ents is None or label.upper() in self.ents

    def css(self, label: str) -> str:
        """The colours of a type.

        label (str): The type.
        RETURNS (str): CSS declarations. They hold nothing of the label itself.
        """
        background = self.colors.get(label.upper(), self.default_color)
        return f"background: {background}; color: {_ink(background)}"


def _ink(background: str) -> str:
    try:
        red, green, blue = (value / 255 for value in ImageColor.getrgb(background)[:3])
    except ValueError:  # a gradient, for one
        return "#000"
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return "#000" if luminance > _MIDDLE_LUMINANCE else "#fff"
