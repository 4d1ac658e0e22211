"""What is written in a plot."""

from matplotlib.text import Text

STAND_IN = "STAND-IN DATA"


def legend(drawn):
    """The lines of the legend of axes or of a figure."""
    found = drawn.get_legend() if hasattr(drawn, "get_legend") else drawn.legends[0]
    return [text.get_text() for text in found.get_texts()]


def notes(ax):
    """All text in axes but for the watermark."""
    return " ".join(text.get_text() for text in ax.texts if text.get_text() != STAND_IN).replace("\n", " ")


def everything(figure):
    """All text of a figure."""
    return [text.get_text() for text in figure.findobj(Text)]
