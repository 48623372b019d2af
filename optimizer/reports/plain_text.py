"""Names of files, classes and studies come from anywhere; a terminal obeys what is in them."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Returns a text with all but signs, spaces and line ends written as ``\x1b`` or ``\u202e``.

    Those are terminal sequences, marks that turn the direction of what follows, and what a name
    that is no UTF-8 becomes.

    Examples:
        >>> print(printable("clip\x1b[2J.mp4"))
        clip\x1b[2J.mp4
    """
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def picture_text(text: str) -> str:
    r"""Returns a printable text that matplotlib does not take for a formula.

    Examples:
        >>> print(picture_text("a$b$"))
        a\$b\$
    """
    return printable(text).replace("$", r"\$")


def counted(number: int, what: str) -> str:
    """Returns ``1 frame`` or ``2 frames``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
