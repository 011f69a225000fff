"""Cleaning that keeps the author's voice: punctuation, case, code, URLs, emphasis and line
structure stay. Removed are line-end quirks, trailing blanks, invisible characters, and the hard
line breaks of text that was wrapped to a page width. It knows nothing of stores or splits.
"""

import re
import unicodedata
from itertools import pairwise

VERSION = "clean-5"

INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
BLANK_LINES = re.compile(r"\n{3,}")
FENCE = re.compile(r"^\s*(```|~~~)")
# Lines whose breaks mean something: lists, quotes, tables, headings, indented code, rules.
STRUCTURED = re.compile(r"^(\s{4}|\t|\s*([-*+>|#]|\d{1,3}[.)]\s|={3,}|\[\d+\]))|  $|\\$")
NARROWEST, WIDEST = 40, 100  # characters of a wrapped line: narrower is verse, wider a paragraph


def clean(text: str) -> str:
    """The author's text without transport artefacts. Idempotent; never drops a visible
    character."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub("", INVISIBLE.sub("", text)).replace("\u00a0", " ")
    text = _unwrap_blocks(text)
    lines = [line.rstrip() for line in text.split("\n")]
    return BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


def search_form(text: str) -> str:
    """The text as it is indexed: NFKC, so that mathematical-bold letters and ligatures match
    ordinary ones."""
    return unicodedata.normalize("NFKC", text)


def visible(text: str) -> str:
    """What a reader sees, without white space: what cleaning must not lose."""
    return "".join(CONTROL.sub("", INVISIBLE.sub("", text)).split())


def _unwrap_blocks(text: str) -> str:
    blocks: list[str] = []
    fenced = False
    for block in re.split(r"\n[ \t]*\n", text):
        fences = sum(bool(FENCE.match(line)) for line in block.split("\n"))
        blocks.append(block if fenced or fences else _unwrap(block))
        fenced ^= fences % 2 == 1
    return "\n\n".join(blocks)


def _unwrap(block: str) -> str:
    """Join the lines of a paragraph that was wrapped to a page width; leave any other block."""
    lines = block.strip("\n").split("\n")
    if len(lines) < 2 or any(STRUCTURED.search(line) for line in lines):
        return block
    width = max(map(len, lines))
    short = sum(not _full(*pair, width) for pair in pairwise(lines))
    # One line in ten may be short: markup that was taken out after the wrap leaves such lines.
    if not NARROWEST <= width <= WIDEST or short > len(lines) // 10:
        return block
    # A wrap after a hyphen needs no blank: "post-" + "training" was "post-training".
    joined = re.sub(r"(?<=\w-)\n\s*(?=\w)", "", "\n".join(line.strip() for line in lines))
    return joined.replace("\n", " ")


def _full(line: str, after: str, width: int) -> bool:
    """Whether the next line's first word would not have fitted on this one: a tool that wraps
    breaks only then, a person who means a line break does so anywhere."""
    blank = 0 if line.endswith("-") else 1
    return len(line) + blank + len(after.split(" ", 1)[0]) > width
