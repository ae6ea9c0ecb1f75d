"""Numbers with what they count, in words."""

from __future__ import annotations


def counted(number: int, word: str) -> str:
    """Return ``"1 video"`` or ``"12 videos"``."""
    return f"{number} {word}{'' if number == 1 else 's'}"
