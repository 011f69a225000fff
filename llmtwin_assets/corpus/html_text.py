"""HTML to Markdown: headings, lists, quotes, code, tables, links, emphasis as the author set them.

A walk over lxml's tree without recursion, so that no nesting, however deep, is a danger. No letter
of the text is changed or escaped: what is written here is read by people and models, and never
rendered without being sanitised. Knows no platform; what is to be left out is the caller's say.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from llmtwin_assets.corpus.markdown_line import Run, joined
from resources.errors import LlmTwinError

DEEPEST = 20  # quotes and lists within one another that are shown as such
LARGEST = 20_000_000  # characters of one page
HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "del": "~~", "s": "~~", "strike": "~~"}
CODE = frozenset("code kbd samp tt".split())
DROPPED = frozenset(
    "script style noscript template svg math head iframe object embed form button input select "
    "textarea audio video canvas map picture source track img title meta link".split()
)
BLOCKS = frozenset(
    "address article aside body center dd details dialog div dl dt fieldset figcaption figure "
    "footer header hgroup html main nav p section summary tbody tfoot thead".split()
)
SPACES = re.compile(r"[ \t\n\r\f]+")
LANGUAGE = re.compile(r"(?:^|\s)(?:language-|lang-|highlight-source-|brush:\s*)([\w+#.-]+)")


class UnreadableHtmlError(LlmTwinError):
    """HTML that is too large, or nested deeper than any page."""


@dataclass
class Container:
    """A quote or a list item around blocks: what begins its first line and its other lines."""

    first: str
    rest: str
    used: bool = False


@dataclass
class Block:
    """Lines that are one block, and the containers around it when it was written."""

    lines: list[str]
    prefix: list[str]  # of its first line and of the others, by container
    rest: list[str]
    tight: bool  # the beginning of a list item: no blank line parts it from the item before …
    list: int  # … of the same outermost list, by number; 0 outside of lists


def to_markdown(html: str | bytes, base_url: str | None = None) -> str:
    """The Markdown of a page or a part of one. Links become absolute by ``base_url``. Raises
    ``UnreadableHtmlError``."""
    return render(parse(html), base_url)


def parse(html: str | bytes) -> Any:
    """The tree of a page or a part of one (an lxml element). Raises ``UnreadableHtmlError``."""
    from lxml import etree
    from lxml.html import HtmlElement, HTMLParser, document_fromstring

    if len(html) > LARGEST:
        raise UnreadableHtmlError(
            "a page", f"it has more than {LARGEST} characters", "Cut it into parts"
        )
    data = html.encode("utf-8", "replace") if isinstance(html, str) else html
    # Without huge_tree, libxml2 stops at 256 levels; with it at 2,048.
    parser = HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    # One class for all elements spares a call of Python for each: a fifth of an extraction's time.
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(element=HtmlElement))
    if not data.strip():
        data = b"<html></html>"
    try:
        tree = document_fromstring(data, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, AssertionError):
        tree = document_fromstring(b"<html></html>")
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        raise UnreadableHtmlError(
            "a page", "its elements are nested too deep to be a text", "Leave it out"
        )
    return tree


def render(
    tree: Any, base_url: str | None = None, drop: Callable[[Any], bool] | None = None
) -> str:
    """The Markdown of a tree made by ``parse``, or of an element in it. ``drop`` says of an element
    whether it and what is in it stay out."""
    writer = _Writer(base_url)
    for event, element in _walk(tree, drop):
        if event == "text":
            writer.text(element)
        elif event == "start":
            writer.start(element)
        else:
            writer.end(element)
    return writer.markdown()


def plain(tree: Any) -> str:
    """The text of an element, white space collapsed."""
    return SPACES.sub(" ", "".join(tree.itertext())).strip()


def _walk(tree: Any, drop: Callable[[Any], bool] | None) -> Iterator[tuple[str, Any]]:
    """Starts, ends and texts of the elements in order, without recursion. Siblings are stepped
    through one by one: nothing is as deep or as wide as the page."""
    path: list[Any] = []
    element = tree
    while True:
        skipped = not isinstance(element.tag, str) or (
            element.tag in DROPPED or (drop is not None and drop(element))
        )
        if not skipped:
            yield "start", element
            if element.text:
                yield "text", element.text
            if len(element):
                path.append(element)
                element = element[0]
                continue
            yield "end", element
        while True:
            if not path:
                return
            if element.tail:
                yield "text", element.tail
            after = element.getnext()
            if after is not None:
                element = after
                break
            element = path.pop()
            yield "end", element
            if not path:
                return


@dataclass
class _Table:
    rows: list[list[str]] = field(default_factory=list)


class _Writer:
    """Markdown as the walk goes on: the paragraph being filled, and the blocks that are done."""

    def __init__(self, base_url: str | None) -> None:
        self.base_url = base_url
        self.blocks: list[Block] = []
        self.runs: list[Run] = []
        self.marks: list[str] = []
        self.links: list[str] = []
        self.containers: list[Container] = []
        self.lists: list[int | None] = []  # the next number of each open list; None: bullets
        self.counted = 0  # lists that stand in no other list
        self.items: list[bool] = []  # whether each open list item has its container
        self.heading = ""
        self.pre = 0
        self.code: list[str] = []
        self.language = ""
        self.tables: list[_Table] = []

    def text(self, text: str) -> None:
        """Text, as the page has it."""
        if self.pre:
            self.code.append(text)
        else:
            self.runs.append(Run(text, tuple(self.marks), self.links[-1] if self.links else ""))

    def start(self, element: Any) -> None:
        """An element begins."""
        tag = element.tag
        if self.pre:
            self._inside_pre(element)
        elif tag in MARKS:
            self.marks.append(MARKS[tag])
        elif tag in CODE:
            self.marks.append("`")
        elif tag == "a":
            self.links.append(self._address(element))
        elif tag == "br":
            self.runs.append(Run("\n", (), ""))
        elif tag == "pre":
            self.flush()
            self.pre, self.code, self.language = 1, [], _language(element)
        elif tag in HEADINGS:
            self.flush()
            self.heading = HEADINGS[tag]
        elif tag == "hr":
            self.flush()
            self.add(["---"])
        elif tag in ("ul", "ol", "li", "blockquote"):
            self.flush()
            self._open(element)
        elif tag in ("table", "tr", "td", "th"):
            self._open_table(tag)
        elif tag in BLOCKS:
            self.flush()

    def end(self, element: Any) -> None:
        """An element ends."""
        tag = element.tag
        if self.pre:
            self._end_inside_pre(tag)
        elif tag in MARKS or tag in CODE:
            self.marks.pop()
        elif tag == "a":
            self.links.pop()
        elif tag in HEADINGS:
            self.flush()
            self.heading = ""
        elif tag in ("ul", "ol", "li", "blockquote"):
            self.flush()
            self._close(tag)
        elif tag in ("table", "tr", "td", "th"):
            self._close_table(tag)
        elif tag in BLOCKS:
            self.flush()

    def flush(self) -> None:
        """The paragraph being filled is done."""
        if self.tables:
            return  # a cell is one line, whatever is in it
        runs, self.runs = self.runs, []
        if not any(run.text.strip() for run in runs):
            return
        text = joined(runs, bool(self.heading))
        if text:
            lines = text.split("\n")
            self.add([f"{self.heading} {' '.join(lines)}"] if self.heading else lines)

    def add(self, lines: list[str]) -> None:
        """Add a block within the containers that are open."""
        prefix = [c.rest if c.used else c.first for c in self.containers]
        tight = bool(self.containers) and self.containers[-1].first != self.containers[-1].rest
        tight = tight and not self.containers[-1].used
        for container in self.containers:
            container.used = True
        rest = [container.rest for container in self.containers]
        self.blocks.append(Block(lines, prefix, rest, tight, self.counted if self.lists else 0))

    def markdown(self) -> str:
        """Everything written."""
        self.flush()
        lines: list[str] = []
        before: Block | None = None
        for block in self.blocks:
            if before is not None and not (block.tight and block.list == before.list):
                common = [
                    a for a, b in zip(before.rest, block.prefix, strict=False) if a == b == "> "
                ]
                lines.append("".join(common).rstrip())
            lines.append("".join(block.prefix) + block.lines[0])
            lines += ["".join(block.rest) + line for line in block.lines[1:]]
            before = block
        return "\n".join(line.rstrip() if not line.strip() else line for line in lines)

    def _open(self, element: Any) -> None:
        tag = element.tag
        if tag in ("ul", "ol") and not self.lists:
            self.counted += 1
        if tag == "ul":
            self.lists.append(None)
        elif tag == "ol":
            start = element.get("start", "1")
            self.lists.append(int(start) if re.fullmatch(r"\d{1,6}", start) else 1)
        elif tag == "blockquote":
            self._contain("> ", "> ")
        else:
            number = self.lists[-1] if self.lists else None
            marker = "- " if number is None else f"{number}. "
            if number is not None:
                self.lists[-1] = number + 1
            self._contain(marker, " " * len(marker))

    def _contain(self, first: str, rest: str) -> None:
        deep = len(self.containers) >= DEEPEST
        self.items.append(not deep)
        if not deep:
            self.containers.append(Container(first, rest))

    def _close(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self.lists.pop()
        elif self.items.pop():
            self.containers.pop()

    def _open_table(self, tag: str) -> None:
        if tag == "table":
            self.flush()
            self.tables.append(_Table())
        elif self.tables and tag == "tr":
            self.tables[-1].rows.append([])

    def _close_table(self, tag: str) -> None:
        if not self.tables:
            self.flush()
        elif tag in ("td", "th"):
            text = joined(self.runs, False).replace("\n", " ").replace("|", "\\|")
            self.runs = []
            if not self.tables[-1].rows:
                self.tables[-1].rows.append([])
            self.tables[-1].rows[-1].append(text)
        elif tag == "table":
            loose = joined(self.runs, False)
            self.runs = []
            rows = [row for row in self.tables.pop().rows if any(row)]
            if self.tables:  # a table within a table's cell is part of its text
                inner = " ".join(" ".join(row) for row in rows)
                self.runs.append(Run(f"{inner} {loose}", (), ""))
                return
            if loose:
                self.add(loose.split("\n"))
            if rows:
                self.add(_table_lines(rows))

    def _inside_pre(self, element: Any) -> None:
        if element.tag == "br":
            self.code.append("\n")
        elif element.tag == "pre":
            self.pre += 1
        elif element.tag == "code":
            self.language = self.language or _language(element)

    def _end_inside_pre(self, tag: str) -> None:
        if tag != "pre":
            return
        self.pre -= 1
        if not self.pre:
            code = "".join(self.code).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
            if code.strip():
                self.add(code_block(code, self.language).split("\n"))

    def _address(self, element: Any) -> str:
        href = SPACES.sub("", element.get("href") or "")
        if not href or href.startswith("#"):
            return ""
        try:
            url = urljoin(self.base_url, href) if self.base_url else href
            scheme = urlsplit(url).scheme
        except ValueError:
            return ""
        return url if scheme in ("http", "https", "mailto", "") else ""


def code_block(code: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any in the code."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _language(element: Any) -> str:
    named = element.get("data-code-block-lang") or element.get("data-lang")
    found = LANGUAGE.search(element.get("class") or "")
    language = str(named or (found[1] if found else ""))
    return language if re.fullmatch(r"[\w+#.-]{1,30}", language) else ""


def _table_lines(rows: list[list[str]]) -> list[str]:
    if max(map(len, rows)) == 1:  # a table for layout
        return [cell for row in rows for cell in row]
    width = max(map(len, rows))
    lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
    return [lines[0], "|" + " --- |" * width, *lines[1:]]
