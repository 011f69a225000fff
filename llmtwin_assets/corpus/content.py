"""Which elements of a page hold its content, when the content is known as lines of text.

The lines say what is content and lose what it was: headings, lists, code. Here the blocks of the
page are found again by their words, and what belongs to them is added. Knows neither who found the
lines nor how they are written down.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

BLOCKS = frozenset(
    "p li h1 h2 h3 h4 h5 h6 pre blockquote td th dt dd figcaption summary div section article "
    "main address center header footer aside nav form fieldset figure body".split()
)
HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
LISTS = frozenset("ul ol dl table".split())
ATOMIC = frozenset(("pre",))  # read whole, whatever is in it
TITLES = 2  # headings before the first paragraph
SHORT = 4  # words: as few may stand anywhere, and count only between what is content
# As much of a sentence in scripts that part no words: Thai, Kana, Han.
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3041-\u30ff\u3400-\u9fff]{8}")
WORDS = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, case-folded."""
    return WORDS.findall(text.casefold())


@dataclass(frozen=True)
class Block:
    """A block's own text, as words, and the inline elements that hold it."""

    element: Any
    inline: tuple[Any, ...]
    words: str

    @property
    def long(self) -> bool:
        """Whether it has enough words to be known by them."""
        return self.words.count(" ") >= SHORT or bool(UNSPACED.search(self.words))


def content(tree: Any, lines: list[str], title: str) -> set[Any]:
    """The elements of the page's content, everything around them included: the blocks whose words
    are among those of ``lines``, and what belongs to them; not those that say the ``title``
    again, as the heading and the way to the page do."""
    found, whole = " " + " ".join(lines) + " ", set(lines)
    every = _blocks(tree)
    blocks = [block for block in every if block.words != title] or every
    located = {block.element for block in blocks if _is_located(block, found, whole)}
    sure = [n for n, block in enumerate(blocks) if block.long and block.element in located]
    if not sure:
        return set()
    first = _first(blocks, sure, whole)
    within = blocks[first : sure[-1] + 1]
    chosen = [block for block in within if block.element in located]
    chosen += _belonging(within, {block.element for block in chosen})
    kept: set[Any] = set()
    for block in chosen:
        kept.add(block.element)
        for inline in block.inline:
            kept.update(inline.iter())
        for around in block.element.iterancestors():
            if around in kept:
                break
            kept.add(around)
    return kept


def _first(blocks: list[Block], sure: list[int], whole: set[str]) -> int:
    """Where the content begins, of the blocks that are ``sure``: with the first one that is no
    heading, and a title and subtitle right before it. Headings further up are the page's; more of
    them than a title has head sections of which nothing else was found."""
    headings = list(takewhile(lambda n: blocks[n].element.tag in HEADINGS, sure))
    if len(headings) > TITLES or len(headings) == len(sure):
        return headings[0]
    first = sure[len(headings)]
    while first and blocks[first - 1].element.tag in HEADINGS and blocks[first - 1].words in whole:
        first -= 1
    return first


def _is_located(block: Block, found: str, whole: set[str]) -> bool:
    """Whether a block is one of the ``whole`` lines or, with enough words to be known by, some of
    what was ``found``. A heading has a line of its own; in another's it repeats the text."""
    if block.words in whole:
        return True
    return block.long and block.element.tag not in HEADINGS and f" {block.words} " in found


def _belonging(blocks: list[Block], chosen: set[Any]) -> list[Block]:
    """Blocks that were not found and belong to those that were: code, captions and tables beside
    them, the other items of their lists, headings before them."""
    lists = _mostly_content(blocks, chosen)
    parents = {element.getparent() for element in chosen}
    belonging = []
    for number, block in enumerate(blocks):
        if block.element in chosen:
            continue
        tag, around = block.element.tag, set(list(block.element.iterancestors())[:4])
        after = blocks[number + 1].element if number + 1 < len(blocks) else None
        if (
            (tag in ("pre", "figcaption", "td", "th") and parents & around)
            or (tag in ("li", "dt", "dd", "td", "th", "p") and lists & around)
            or (tag in HEADINGS and after in chosen and block.element.getparent() in parents)
        ):
            belonging.append(block)
    return belonging


def _mostly_content(blocks: list[Block], chosen: set[Any]) -> set[Any]:
    """Lists and tables of which at least half of the blocks with enough words were found: of a list
    of links to other articles, now and then one line stands in the text too."""
    found: Counter[Any] = Counter()
    total: Counter[Any] = Counter()
    for block in blocks:
        if block.long:
            around = [e for e in block.element.iterancestors() if e.tag in LISTS]
            total.update(around)
            if block.element in chosen:
                found.update(around)
    return {element for element, count in found.items() if 2 * count >= total[element]}


def _blocks(tree: Any) -> list[Block]:
    """The blocks that hold text themselves, in order; none of forms."""
    never = {inside for form in tree.iter("form") for inside in form.iter()}
    every = list(tree.iter(*BLOCKS))
    holders = _holders(every)
    found = []
    for element in every:
        if element in never:
            continue
        texts, inline = [element.text or ""], []
        for child in element:
            if child.tag in ATOMIC or child not in holders:
                texts.append(_inline(child))
                inline.append(child)
            else:
                texts.append(" ")
            texts.append(child.tail or "")
        text = "".join(texts)
        words = "" if not text or text.isspace() else " ".join(words_of(text))
        if words:
            found.append(Block(element, tuple(inline), words))
    return found


def _holders(blocks: list[Any]) -> set[Any]:
    """The blocks, and all elements that have one in them."""
    holders: set[Any] = set()
    for block in blocks:
        around = block
        while around is not None and around not in holders:
            holders.add(around)
            around = around.getparent()
    return holders


def _inline(element: Any) -> str:
    """The text in an inline element. Letters of one word may stand in several elements (a drop
    cap); a line break parts words."""
    if not isinstance(element.tag, str):
        return ""
    if not len(element):  # as most are
        return " " if element.tag == "br" else element.text or ""
    breaks = next(element.iter("br"), None) is not None
    return f" {' '.join(element.itertext())} " if breaks else "".join(element.itertext())
