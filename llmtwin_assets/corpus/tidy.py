"""What a web page hides, draws or repeats, as the plain HTML that it means.

Pages are written for browsers: formulas stand in them twice, line numbers lie in the code, emoji
are pictures, boxes are tables. This changes the tree in place before ``html_text`` reads it. Knows
no site, and does not decide what on a page is its content.
"""

import re
from typing import Any

HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
MAY_HIDE = "descendant-or-self::*[@style or @hidden or @aria-hidden or self::noscript]"
MARKUP = re.compile(r"\s*<\w")
GUTTER = re.compile(
    r"(?:^|[\s_-])(?:gutter|lineno|linenos|linenumbers?|line-?numbers(?:-rows)?)(?:$|[\s_-])"
)
PERMALINKS = frozenset(("", "#", "¶", "§", "🔗", "⚓", "↩", "↩︎", "↑"))
FOOTNOTE = re.compile(r"\[?([\w*†‡]{1,4})\]?")
LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight-source|code)-([\w+#.-]{1,30})")
NO_LANGUAGE = frozenset("none plain plaintext text txt block snippet nohighlight".split())
LONGEST_CELL = 1000  # characters; with a longer one a table only puts things beside each other
INLINE_BLOCKS = ("div", "p", "li", "tr")


def tidied(tree: Any) -> Any:
    """The tree, with what it means in place of how it is shown."""
    for change in (_drop_hidden, _formulas, _emoji, _code, _footnotes, _permalinks, _layouts):
        change(tree)
    return tree


def text_of(element: Any) -> str:
    """The text in an element, white space collapsed."""
    return " ".join("".join(element.itertext()).split())


def _drop_hidden(tree: Any) -> None:
    for element in tree.xpath(MAY_HIDE):
        if element.tag in ("html", "body", "head"):
            continue  # what is in a hidden element is visited too, and may be gone by then
        if element.tag == "noscript" and MARKUP.match(element.text or ""):
            element.text = ""  # a parser that runs scripts leaves what is in it as text
        hidden = element.get("aria-hidden") == "true" and element.tag not in ("a", "math", "img")
        if hidden or element.get("hidden") is not None or HIDDEN.search(element.get("style") or ""):
            _drop(element)


def _formulas(tree: Any) -> None:
    """MathML that says its TeX becomes that; the drawn copy beside it was hidden."""
    for math in list(tree.iter("math")):
        tex = next(math.iter("annotation"), None)
        source = (tex.text or "" if tex is not None else math.get("alttext") or "").strip()
        _replace(math, f"${source}$" if source else text_of(math))


def _emoji(tree: Any) -> None:
    for image in list(tree.iter("img")):
        if "emoji" in (image.get("class") or ""):
            _replace(image, image.get("alt") or "")


def _code(tree: Any) -> None:
    """Code without line numbers, its lines parted by line ends, its language where it belongs."""
    for element in list(tree.iter("td", "span", "div", "pre")):
        if GUTTER.search(element.get("class") or "") and element.get("class") != "highlight":
            _drop_numbers(element)
    for pre in list(tree.iter("pre")):
        language = _language(pre)
        for child in list(pre.iter(*INLINE_BLOCKS)):
            if not (child.tail or "").startswith("\n"):
                child.tail = "\n" + (child.tail or "")
        for part in pre.iter("code"):
            part.attrib.pop("class", None)
            part.attrib.pop("data-lang", None)
        pre.attrib.clear()
        if language:
            pre.set("class", f"language-{language}")


def _drop_numbers(element: Any) -> None:
    """Drop an element that holds line numbers and nothing else."""
    if re.fullmatch(r"[\d\s|.:]*", "".join(element.itertext())):
        _drop(element)


def _language(pre: Any) -> str:
    around = [pre, *pre.iter("code"), *list(pre.iterancestors())[:2]]
    for element in around:
        named = element.get("data-lang") or element.get("data-language") or ""
        classes = re.sub(r"brush:\s*", "language-", element.get("class") or "")
        match = LANGUAGE.search(classes)
        found = (named or (match[1] if match else "")).lower()
        if re.fullmatch(r"[\w+#.-]{1,30}", found) and found not in NO_LANGUAGE:
            return str(found)
    return ""


def _footnotes(tree: Any) -> None:
    """A raised link to a note becomes ``[1]``, a raised number ``^2``."""
    for raised in list(tree.iter("sup")):
        link = next(raised.iter("a"), None)
        if link is None and raised.getparent() is not None and raised.getparent().tag == "a":
            link = raised.getparent()
        note = FOOTNOTE.fullmatch(text_of(raised))
        if note is None:
            continue
        if link is not None and "#" in (link.get("href") or ""):
            _replace(link if link.getparent() is not None else raised, f"[{note[1]}]")
        elif link is None and note[1].isdigit():
            _replace(raised, f"^{note[1]}")


def _permalinks(tree: Any) -> None:
    """Links that a heading has to itself, and those that go back from a note."""
    for link in list(tree.iter("a")):
        to_here = "#" in (link.get("href") or "")
        if to_here and text_of(link) in PERMALINKS and next(link.iter("img"), None) is None:
            _drop(link)


def _layouts(tree: Any) -> None:
    """Tables that only put things beside each other become boxes."""
    for table in list(tree.iter("table")):
        rows = [row for row in table.iter("tr") if next(row.iterancestors("table"), None) is table]
        if not _is_layout(rows):
            continue
        for row in rows:
            for cell in row:
                cell.tag = "div"
            row.tag = "div"
        for part in list(table.iter("tbody", "thead", "tfoot", "caption", "colgroup")):
            part.tag = "div"
        table.tag = "div"


def _is_layout(rows: list[Any]) -> bool:
    cells = [[cell for cell in row if cell.tag in ("td", "th")] for row in rows]
    if max(map(len, cells), default=0) < 2:
        return True
    return any(
        next(cell.iter("table", "pre", "h1", "h2", "h3", "h4"), None) is not None
        or _longer(cell, LONGEST_CELL)
        for row in cells
        for cell in row
    )


def _longer(element: Any, limit: int) -> bool:
    total = 0
    for piece in element.itertext():
        total += len(piece)
        if total > limit:
            return True
    return False


def _replace(element: Any, text: str) -> None:
    """Text in place of an element."""
    element.clear(keep_tail=True)
    element.tag = "span"
    element.text = text


def _drop(element: Any) -> None:
    """Take out what is in an element; the text after it stays. An empty one that no reader shows
    stays in its place: to move the text after each of many would take for ever."""
    element.clear(keep_tail=True)
    element.tag = "template"
