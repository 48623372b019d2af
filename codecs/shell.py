"""Commands to paste into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def shell_join(words: Iterable[str]) -> str:
    r"""Returns a command of one line that a shell reads as these words, whatever is in them.

    Line ends, terminal codes, signs that turn the direction of a text and bytes that are no UTF-8
    are written as numbers (``$'\012'``; bash, zsh, ksh, POSIX of 2024), so that they neither end
    the command nor reach the terminal.

    Examples:
        >>> print(shell_join(["ffmpeg", "-i", "my clip.mp4", "a\nb"]))
        ffmpeg -i 'my clip.mp4' $'a\012b'
    """
    return " ".join(shlex.quote(word) if word.isprintable() else _numbered(word) for word in words)


def _numbered(word: str) -> str:
    signs = []
    for sign in word:
        if sign in "\\'":
            signs.append(f"\\{sign}")
        elif sign.isprintable():
            signs.append(sign)
        else:
            # Three octal digits end by themselves; \x would also take a digit that comes next.
            signs += [f"\\{byte:03o}" for byte in sign.encode("utf-8", "surrogateescape")]
    return f"$'{''.join(signs)}'"
