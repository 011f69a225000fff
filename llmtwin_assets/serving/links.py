"""Addresses in an answer: only those of its own sources stay. A model that read a poisoned passage
may write a link that carries data away, or a control token; neither leaves here.

It works on a stream word by word: whatever the pieces are, the joined result is the same.
"""

import re
from collections.abc import Collection

from llmtwin_assets.prompts import neutralise

REMOVED = "[link removed]"

# A word ends at white space or before a letter of a script that uses none between words, so that
# text in such a script streams too.
BREAK = re.compile(r"(?<=\s)|(?=[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff])")
SCHEMES = "https?|ftps?|wss?|file|data|blob|javascript|vbscript|mailto|tel|sms|intent|view-source"
END = r"[^\s<>\"'`]*"
ADDRESS = re.compile(
    rf"(?:[a-z][a-z0-9+.-]*:[/\\]{{2}}|(?<![a-z0-9])(?:{SCHEMES}):(?=\S)|(?<![a-z0-9])www\.(?=\w)"
    rf"|(?<![\w:/\\])[/\\]{{2}}(?=[\w\[-]+[.:\]])){END}",
    re.IGNORECASE,
)
# What follows the text of a Markdown link; "row[0](x)" is not one.
TARGET = re.compile(r"\]\((?P<target>[^\s)]*[/\\.:%&#][^\s)]*)\)?")
TRAILING = ".,;:!?)]}*_~’”…"


class WithoutLinks:
    """Text as it comes in, with foreign addresses replaced and control tokens broken up."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(url for url in allowed if url)
        self._word = ""

    def feed(self, piece: str) -> str:
        """What can be passed on after ``piece``: all but the last, unfinished word."""
        *whole, self._word = BREAK.split(self._word + piece)
        return "".join(self._checked(word) for word in whole)

    def close(self) -> str:
        """What was held back."""
        word, self._word = self._word, ""
        return self._checked(word)

    def _checked(self, word: str) -> str:
        if len(word) < 3:
            return word
        word = neutralise(word)
        if "](" in word:
            word = TARGET.sub(self._target, word)
        return ADDRESS.sub(self._address, word)

    def _target(self, found: re.Match[str]) -> str:
        target = found["target"].strip("<>")
        return found[0] if target in self._allowed else f"] {REMOVED}"

    def _address(self, found: re.Match[str]) -> str:
        bare = address = found[0]
        while bare not in self._allowed and bare[-1:] in TRAILING:
            bare = bare[:-1]
        if bare in self._allowed:
            return bare + address[len(bare) :]
        return REMOVED + address[len(address.rstrip(TRAILING)) :]
