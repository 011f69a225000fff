"""The rhythm of a text: how long its sentences and clauses are, and how it is punctuated. No word
is looked at, so topic plays no part. Paragraphs are not counted: how long an answer may be decides
more about them than its writer does. Counts only; what they are compared with is not known here.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from llmtwin_assets.features.words import OTHER

WORD = re.compile(rf"[{OTHER}]|[^\W{OTHER}]+(?:['’]\w+)*")
KEPT = 1_000  # texts whose counts are kept: the measures of a report read the same ones five times
MOST = 4.0  # spreads between writers by which one habit can differ
END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+[”’」』）]*")
SHORT, LONG = 12, 40  # words of a sentence
PER_WORD = {
    "commas": re.compile(r"[,，、،]"),
    "semicolons": re.compile(r"[;；؛]"),
    "colons": re.compile(r"[:：]"),
    "dashes": re.compile(r"—|–|--"),
    "parentheses": re.compile(r"[(\[（【]"),
    "quotation marks": re.compile(r"[\"“«「『]"),
    "question marks": re.compile(r"[?？؟]"),
    "exclamation marks": re.compile(r"[!！]"),
    "items of lists": re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE),
}
CLAUSE = re.compile(r"[,;:—–()，、；：（）،؛]|--")


@lru_cache(maxsize=KEPT)
def rhythm(text: str) -> Mapping[str, tuple[float, float]]:
    """Habit -> (numerator, denominator). The last sentence counts only if it ends."""
    words = len(WORD.findall(text))
    lengths = [len(WORD.findall(sentence)) for sentence in sentences(text)]
    clauses = len(CLAUSE.findall(text)) + len(lengths)
    found: dict[str, tuple[float, float]] = {
        name: (len(pattern.findall(text)), words) for name, pattern in PER_WORD.items()
    }
    return found | {
        "words per sentence": (sum(lengths), len(lengths)),
        "words per clause": (words, clauses),
        "short sentences": (sum(length < SHORT for length in lengths), len(lengths)),
        "long sentences": (sum(length >= LONG for length in lengths), len(lengths)),
    }


def sentences(text: str) -> list[str]:
    """The sentences of ``text`` that end, by their marks and line breaks between paragraphs."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        start = 0
        for mark in END.finditer(paragraph):
            found.append(paragraph[start : mark.end()])
            start = mark.end()
    return [sentence for sentence in found if WORD.search(sentence)]
