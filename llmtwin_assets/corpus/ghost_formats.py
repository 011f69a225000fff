"""What Ghost's editors keep, as HTML: Lexical (since 2023) and Mobiledoc (before). Cards that hold
other people's words, forms or buttons become nothing.
"""

import html
import json
from collections.abc import Callable
from typing import Any

from llmtwin_assets.corpus.reading import UnreadableItemError

DEEPEST = 100  # levels of nodes within nodes
# Bits of a text node's format, and the element each is.
FORMATS = ((1, "strong"), (2, "em"), (4, "del"), (16, "code"))
WRAPPED = {"quote": "blockquote", "extended-quote": "blockquote", "aside": "blockquote"}
MARKUPS = frozenset("strong b em i del s strike code sup sub u".split())
SECTIONS = frozenset("p h1 h2 h3 h4 h5 h6 blockquote aside".split())


def lexical_html(text: str, item: str) -> str:
    """The HTML of a Lexical document; raises ``UnreadableItemError``."""
    root = _loaded(text, item, "Lexical")
    node = root.get("root") if isinstance(root, dict) else None
    if not isinstance(node, dict):
        raise UnreadableItemError(item, "its Lexical has no root", "Export the site again")
    return _children(node, item, 0)


def mobiledoc_html(text: str, item: str) -> str:
    """The HTML of a Mobiledoc document; raises ``UnreadableItemError``."""
    document = _loaded(text, item, "Mobiledoc")
    try:
        return "\n".join(_section(section, document) for section in document.get("sections", []))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableItemError(
            item, f"its Mobiledoc is not in order ({error})", "Export the site again"
        ) from error


def _loaded(text: str, item: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableItemError(
            item, f"its {what} is not JSON ({type(error).__name__})", "Export the site again"
        ) from error


def _children(node: dict[str, Any], item: str, depth: int) -> str:
    if depth > DEEPEST:
        raise UnreadableItemError(item, "its Lexical is nested too deep", "Leave it out")
    children = node.get("children")
    if not isinstance(children, list):
        return ""
    return "".join(_node(child, item, depth) for child in children if isinstance(child, dict))


def _node(node: dict[str, Any], item: str, depth: int) -> str:
    kind = str(node.get("type"))
    if kind in ("text", "extended-text", "tk"):
        return _text(node)
    if kind == "linebreak":
        return "<br>"
    card = _CARDS.get(kind)
    if card:
        return card(node)
    inner = _children(node, item, depth + 1)
    tag = WRAPPED.get(kind, "")
    if kind in ("heading", "extended-heading"):
        tag = str(node.get("tag")) if node.get("tag") in SECTIONS else "h2"
    elif kind == "link":
        return f'<a href="{html.escape(str(node.get("url") or ""))}">{inner}</a>'
    elif kind == "list":
        tag = "ol" if node.get("listType") == "number" else "ul"
    elif kind == "listitem":
        tag = "li"
    elif kind == "paragraph":
        tag = "p"
    return f"<{tag}>{inner}</{tag}>" if tag else inner


def _text(node: dict[str, Any]) -> str:
    text = html.escape(str(node.get("text") or ""), quote=False)
    format_ = node.get("format")
    for bit, tag in FORMATS:
        if isinstance(format_, int) and format_ & bit:
            text = f"<{tag}>{text}</{tag}>"
    return text


def _code(node: dict[str, Any]) -> str:
    language = html.escape(str(node.get("language") or ""))
    code = html.escape(str(node.get("code") or ""), quote=False)
    return f'<pre><code class="language-{language}">{code}</code></pre>{_caption(node)}'


def _caption(node: dict[str, Any]) -> str:
    caption = str(node.get("caption") or "")
    return f"<p>{caption}</p>" if caption else ""


def _markdown(node: dict[str, Any]) -> str:
    """A card of Markdown goes through as text whose lines stay: it is Markdown already."""
    text = html.escape(str(node.get("markdown") or ""), quote=False)
    paragraphs = [part for part in text.split("\n\n") if part.strip()]
    return "".join("<p>" + part.replace("\n", "<br>") + "</p>" for part in paragraphs)


def _html(node: dict[str, Any]) -> str:
    return str(node.get("html") or "")


def _toggle(node: dict[str, Any]) -> str:
    heading = node.get("heading") or ""
    return f"<h4>{heading}</h4>{node.get('content') or ''}"


def _callout(node: dict[str, Any]) -> str:
    return f"<blockquote>{node.get('calloutText') or ''}</blockquote>"


def _rule(_: dict[str, Any]) -> str:
    return "<hr>"


def _nothing(_: dict[str, Any]) -> str:
    return ""


_CARDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "codeblock": _code,
    "code": _code,
    "image": _caption,
    "gallery": _caption,
    "video": _caption,
    "markdown": _markdown,
    "card-markdown": _markdown,
    "html": _html,
    "toggle": _toggle,
    "callout": _callout,
    "horizontalrule": _rule,
    "hr": _rule,
    **dict.fromkeys(
        ("bookmark", "embed", "signup", "button", "paywall", "product", "audio", "file", "email",
         "email-cta", "call-to-action", "header"),
        _nothing,
    ),
}  # fmt: skip


def _section(section: list[Any], document: dict[str, Any]) -> str:
    kind = section[0]
    if kind == 1:
        tag = section[1] if section[1] in SECTIONS else "p"
        return f"<{tag}>{_markers(section[2], document)}</{tag}>"
    if kind == 3:
        tag = "ol" if section[1] == "ol" else "ul"
        items = "".join(f"<li>{_markers(item, document)}</li>" for item in section[2])
        return f"<{tag}>{items}</{tag}>"
    if kind == 10:
        name, payload = document["cards"][section[1]][:2]
        card = _CARDS.get(name, _nothing)
        return card(payload if isinstance(payload, dict) else {})
    return ""


def _markers(markers: list[Any], document: dict[str, Any]) -> str:
    """Texts with the markups that open before and close after them."""
    out: list[str] = []
    open_: list[str] = []
    for kind, opens, closes, value in markers:
        for number in opens:
            tag, *attributes = document["markups"][number]
            pairs = attributes[0] if attributes else []
            href = pairs[pairs.index("href") + 1] if "href" in pairs else ""
            known = tag in MARKUPS or tag == "a"
            open_.append(tag if known else "span")
            out.append(f'<a href="{html.escape(href)}">' if tag == "a" else f"<{open_[-1]}>")
        atom = document["atoms"][value] if kind == 1 else None
        if atom is not None:
            out.append("<br>" if atom[0] == "soft-return" else html.escape(str(atom[1])))
        else:
            out.append(html.escape(str(value), quote=False))
        for _ in range(closes):
            out.append(f"</{open_.pop()}>")
    return "".join(out)
