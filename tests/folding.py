"""What LIKE finds and what CASEI and ACCENTI overlook, in plain Python. It shares no code with the engine that it judges."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable


def without(text: str, folds: tuple[str, ...]) -> str:
    """What is left of the text when accents, and then case, are overlooked."""
    if "ACCENTI" in folds:
        bare = [each for each in unicodedata.normalize("NFD", text) if not unicodedata.category(each).startswith("M")]
        text = unicodedata.normalize("NFC", "".join(bare))
    if "CASEI" in folds:
        text = "".join("i" if each in "I\u0130\u0131" else alone(alone(each, str.upper), str.lower) for each in text).replace("ß", "ss")
    return text


def alone(character: str, change: Callable[[str], str]) -> str:
    changed = change(character)
    return changed if len(changed) == 1 else character


def like(text: str, pattern: str) -> bool:
    """Which beginnings of the text fit the beginning of the pattern that was read so far."""
    reached = {0}
    marks = iter(pattern)
    for mark in marks:
        if mark == "%":
            reached = set(range(min(reached, default=len(text) + 1), len(text) + 1))
        else:
            wanted = next(marks) if mark == "\\" else mark
            reached = {at + 1 for at in reached if at < len(text) and (mark == "_" or text[at] == wanted)}
    return len(text) in reached
