"""From a web page to an article: its content as Markdown, and the facts about it.

Where the content is, trafilatura finds; what is there is read from the page itself, because
headings, lists, quotes and code to the last space matter, and text is not enough. Knows no site.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Any

from llmtwin_assets.corpus import html_text
from llmtwin_assets.corpus.content import WORDS, content, words_of
from llmtwin_assets.corpus.page_facts import Facts, facts_of
from llmtwin_assets.corpus.tidy import tidied

VERSION = "extract-3"
MOST_ELEMENTS = 100_000
NEVER = ("script", "style", "svg", "nav", "footer", "button", "dialog")
# What XML cannot hold, as itself or by number: trafilatura gives a page with it up.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
NUMBERED = re.compile(r"&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01])|[xX]0*(?:[0-8bcefBCEF]|1[0-9a-fA-F]));")
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
    # Held until the end: lxml makes an element anew whenever nobody holds it, at a price.
    elements = list(tree.iter())
    if len(elements) > MOST_ELEMENTS:
        raise html_text.UnreadableHtmlError(
            "a page", f"it has more than {MOST_ELEMENTS} elements", "Leave it out"
        )
    facts = facts_of(tree, url)
    _empty(tree)
    located = _located(tree, url)
    tree = tidied(tree)
    text = without_title(main_text(tree, located, url, facts.title), facts.title)
    words = len(WORDS.findall(text))
    return Page(text, facts, words, words < 50 and _is_scripted(tree, source))


def _empty(tree: Any) -> None:
    """Take out what is never content, and much to walk through. Data for search engines stay, where
    an article may stand that is nowhere else."""
    for element in list(tree.iter(*NEVER)):
        if element.get("type") != "application/ld+json":
            element.clear(keep_tail=True)


def main_text(tree: Any, located: str, url: str, title: str) -> str:
    """The content of a page as Markdown, by its lines of text as they were ``located``, and without
    repetitions of its title; empty where there is none."""
    lines = [" ".join(words_of(line)) for line in located.split("\n")]
    kept = content(tree, [line for line in lines if line], " ".join(words_of(title)))
    if not kept:
        return "\n\n".join(line for line in located.split("\n") if line.strip())
    text = html_text.render(tree, url, drop=lambda element: element not in kept)
    if len(words_of(text)) < 0.5 * sum(len(line.split()) for line in lines):
        # It stands nowhere on the page as such: in data for a script, or without any markup.
        return "\n\n".join(line for line in located.split("\n") if line.strip())
    return text


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
    if heading and words_of(heading[1]) == words_of(title):
        return rest.strip("\n")
    return text


def _web_charset(name: str) -> str:
    """What the web means by a charset: pages that say Latin-1 or ASCII are Windows' superset."""
    lower = name.lower()
    return "windows-1252" if lower in ("iso-8859-1", "latin-1", "latin1", "us-ascii") else lower


def _undeclared(text: str) -> str:
    return XML_DECLARATION.sub("", NUMBERED.sub("", CONTROL.sub("", text)))


def _located(tree: Any, url: str) -> str:
    """The content of a page as lines of text. Leaves the tree as it is."""
    import trafilatura

    return (
        trafilatura.extract(
            tree,
            url=url,
            fast=True,
            include_comments=False,
            include_tables=True,
            output_format="txt",
        )
        or ""
    )


def _is_scripted(tree: Any, source: str) -> bool:
    """Whether a page without much text would have more in a browser: it has a place where a script
    puts it, or says that it needs one."""
    roots = {"root", "app", "__next", "__nuxt", "svelte", "gatsby", "___gatsby", "main-app"}
    asks = re.search(r"<noscript>[^<]{0,300}(?:enable|requires?|activate)[^<]{0,60}javascript",
                     source, re.IGNORECASE)  # fmt: skip
    return bool(asks) or any(
        (element.get("id") or "") in roots for element in tree.iter("div", "main", "body")
    )
