"""From a web page to an article: its content as Markdown, and the facts about it.

Where the content is, trafilatura finds; what is there is read from the page itself, because
headings, lists, quotes and code to the last space matter, and text is not enough. Knows no site.
"""

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from llmtwin_assets.corpus import html_text
from llmtwin_assets.corpus.page_facts import Facts, facts_of
from llmtwin_assets.corpus.tidy import tidied

VERSION = "extract-2"
BLOCKS = frozenset(
    "p li h1 h2 h3 h4 h5 h6 pre blockquote td th dt dd figcaption summary div section article "
    "main address center header footer aside nav form fieldset figure body".split()
)
MOST_ELEMENTS = 100_000
HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
LISTS = frozenset("ul ol dl table".split())
ATOMIC = frozenset(("pre",))  # read whole, whatever is in it
NEVER = frozenset("nav footer button form dialog".split())
SHORT = 4  # words: as few may stand anywhere, and count only between what is content
WORDS = re.compile(r"\w+")
META_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w-]{2,40})""", re.I)
XML_CHARSET = re.compile(rb"""^\s*<\?xml[^>]{0,100}encoding\s*=\s*["']([\w-]{2,40})""")
XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


@dataclass(frozen=True)
class Page:
    """A page taken apart. ``text`` is empty where no content was found."""

    text: str
    facts: Facts
    words: int  # in the text
    scripted: bool  # it seems to need a browser to show its content


def extract(body: bytes, url: str, charset: str | None = None) -> Page:
    """The page in the body of an answer. Raises ``UnreadableHtmlError``, also for one with more in
    it than a text has."""
    source = decode_html(body, charset)
    tree = html_text.parse(source)
    if sum(1 for _ in tree.iter()) > MOST_ELEMENTS:
        raise html_text.UnreadableHtmlError(
            "a page", f"it has more than {MOST_ELEMENTS} elements", "Leave it out"
        )
    facts = facts_of(tree, url)
    tree = tidied(tree)
    text = without_title(main_text(tree, source, url), facts.title)
    words = len(WORDS.findall(text))
    return Page(text, facts, words, words < 50 and _is_scripted(tree, source))


def main_text(tree: Any, source: str, url: str) -> str:
    """The content of a page as Markdown; empty where there is none."""
    located = _located(source, url)
    lines = [" ".join(_words(line)) for line in located.split("\n")]
    kept = _content(tree, [line for line in lines if line])
    if not kept:
        return "\n\n".join(line for line in located.split("\n") if line.strip())
    text = html_text.render(tree, url, drop=lambda element: element not in kept)
    if len(_words(text)) < 0.5 * sum(len(line.split()) for line in lines):
        # It stands nowhere on the page as such: in data for a script, or without any markup.
        return "\n\n".join(line for line in located.split("\n") if line.strip())
    return text


def _words(text: str) -> list[str]:
    return WORDS.findall(text.casefold())


def decode_html(body: bytes, charset: str | None = None) -> str:
    """The text of a page: by its byte-order mark, the header, its own word, or as it looks."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):  # fmt: skip
        if body.startswith(mark):
            return _undeclared(body[len(mark) :].decode(name, "replace"))
    said = META_CHARSET.search(body[:4096]) or XML_CHARSET.search(body[:200])
    for proposed in (charset, said[1].decode("ascii") if said else None, "utf-8"):
        try:
            if proposed:
                return _undeclared(body.decode(_web_charset(proposed)))
        except (LookupError, UnicodeDecodeError):
            continue
    return _undeclared(body.decode("windows-1252", "replace"))


def without_title(text: str, title: str) -> str:
    """The text without its first heading, where that is the title again."""
    first, _, rest = text.lstrip("\n").partition("\n")
    heading = re.fullmatch(r"#{1,3} (.+)", first)
    if heading and _words(heading[1]) == _words(title):
        return rest.strip("\n")
    return text


def _web_charset(name: str) -> str:
    """What the web means by a charset: pages that say Latin-1 or ASCII are Windows' superset."""
    lower = name.lower()
    return "windows-1252" if lower in ("iso-8859-1", "latin-1", "latin1", "us-ascii") else lower


def _undeclared(text: str) -> str:
    return XML_DECLARATION.sub("", text.replace("\x00", ""))


@dataclass(frozen=True)
class Block:
    """A block's own text, as words, and the elements that hold it."""

    element: Any
    own: tuple[Any, ...]
    words: str

    @property
    def long(self) -> bool:
        """Whether it has enough words to be known by them."""
        return self.words.count(" ") >= SHORT


def _content(tree: Any, lines: list[str]) -> set[Any]:
    """The elements of the page's content, everything around them included: the blocks whose words
    are among those of ``lines``, and what belongs to them."""
    found, whole = " " + " ".join(lines) + " ", set(lines)
    blocks = [block for block in _blocks(tree) if not _inside(block.element, NEVER)]
    sure = [n for n, block in enumerate(blocks) if block.long and f" {block.words} " in found]
    if not sure:
        return set()
    first = sure[0]
    # A title and subtitle stand before the first paragraph.
    while first and blocks[first - 1].element.tag in HEADINGS and blocks[first - 1].words in whole:
        first -= 1
    within = blocks[first : sure[-1] + 1]
    content = [
        block
        for block in within
        if block.words in whole or (block.long and f" {block.words} " in found)
    ]
    content += _belonging(within, {block.element for block in content})
    kept: set[Any] = set()
    for block in content:
        kept.update(block.own)
        kept.update(block.element.iterancestors())
    return kept


def _belonging(blocks: list[Block], content: set[Any]) -> list[Block]:
    """Blocks that were not found and belong to those that were: code, captions and tables beside
    them, the other items of their lists, headings before them."""
    lists = _mostly_content(blocks, content)
    parents = {element.getparent() for element in content}
    belonging = []
    for number, block in enumerate(blocks):
        if block.element in content:
            continue
        tag, around = block.element.tag, set(list(block.element.iterancestors())[:4])
        after = blocks[number + 1].element if number + 1 < len(blocks) else None
        if (
            (tag in ("pre", "figcaption", "td", "th") and parents & around)
            or (tag in ("li", "dt", "dd", "td", "th", "p") and lists & around)
            or (tag in HEADINGS and after in content and block.element.getparent() in parents)
        ):
            belonging.append(block)
    return belonging


def _mostly_content(blocks: list[Block], content: set[Any]) -> set[Any]:
    """Lists and tables of which at least half of the blocks with enough words were found: of a list
    of links to other articles, now and then one line stands in the text too."""
    found: Counter[Any] = Counter()
    total: Counter[Any] = Counter()
    for block in blocks:
        if block.long:
            around = [e for e in block.element.iterancestors() if e.tag in LISTS]
            total.update(around)
            if block.element in content:
                found.update(around)
    return {element for element, count in found.items() if 2 * count >= total[element]}


def _located(source: str, url: str) -> str:
    """The content of a page as lines of text."""
    import trafilatura

    return (
        trafilatura.extract(
            source,
            url=url,
            fast=True,
            include_comments=False,
            include_tables=True,
            output_format="txt",
        )
        or ""
    )


def _blocks(tree: Any) -> list[Block]:
    """The blocks that hold text themselves, in order."""
    found = []
    for element in tree.iter(*BLOCKS):
        texts, own = [element.text or ""], [element]
        for child in element:
            if child.tag in ATOMIC or next(child.iter(*BLOCKS), None) is None:
                texts.append(_inline(child))
                own += child.iter()
            else:
                texts.append(" ")
            texts.append(child.tail or "")
        words = " ".join(_words("".join(texts)))
        if words:
            found.append(Block(element, tuple(own), words))
    return found


def _inline(element: Any) -> str:
    """The text in an inline element. Letters of one word may stand in several elements (a drop
    cap); a line break parts words."""
    if not isinstance(element.tag, str):
        return ""
    breaks = element.tag == "br" or next(element.iter("br"), None) is not None
    return f" {' '.join(element.itertext())} " if breaks else "".join(element.itertext())


def _inside(element: Any, tags: frozenset[str]) -> bool:
    return element.tag in tags or any(around.tag in tags for around in element.iterancestors())


def _is_scripted(tree: Any, source: str) -> bool:
    """Whether a page without much text would have more in a browser: it has a place where a script
    puts it, or says that it needs one."""
    roots = {"root", "app", "__next", "__nuxt", "svelte", "gatsby", "___gatsby", "main-app"}
    asks = re.search(r"<noscript>[^<]{0,300}(?:enable|requires?|activate)[^<]{0,60}javascript",
                     source, re.IGNORECASE)  # fmt: skip
    return bool(asks) or any(
        (element.get("id") or "") in roots for element in tree.iter("div", "main", "body")
    )
