"""Tell a user which words of a prompt the tiny world does not know."""

from __future__ import annotations

import difflib

from worldweave_plugins.tinyworld.prompts import ALIASES, VOCABULARY, unknown_words


def prompt_problems(prompt: str) -> list[str]:
    """Return one line naming every unknown word of *prompt*, or nothing."""
    unknown = unknown_words(prompt)
    if not unknown:
        return []
    words = []
    for word in unknown:
        close = difflib.get_close_matches(word, sorted({*VOCABULARY, *ALIASES}), n=1)
        words.append(f"{word!r} (did you mean {close[0]!r}?)" if close else repr(word))
    return [
        f"tiny-world does not know {', '.join(words)} in the prompt; "
        f"it knows: {' '.join(VOCABULARY)}"
    ]
