"""WordPress's export (WXR): RSS with items of many types, in one file or several. Posts and pages
that are published come in; menus, attachments, drafts, private pieces and comments do not.

The file is cut into items before it is parsed, so that one ill-formed item loses no other, and no
more than one is in memory. A document type is refused, and with it every entity. Names are matched
by prefix, because three addresses are in use for the namespace.
"""

import codecs
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from xml.parsers import expat

from llmtwin_assets.corpus.bylines import is_by
from llmtwin_assets.corpus.export import DRAFTS, GUESTS, Export, Item, tree_of
from llmtwin_assets.corpus.html_text import render
from llmtwin_assets.corpus.reading import SourceMissingError, UnreadableItemError, moment
from llmtwin_assets.corpus.zip_reader import LARGEST_STREAM, Tree, head
from llmtwin_assets.records import RawDocument

PLATFORM, IMPORTER = "wordpress", "wordpress-1"
KINDS = ("article",)
FILES = r"(?:[^/]+/)*[^/]+\.xml"
NAMESPACE = b"wordpress.org/export/"
MARK = 65_536  # bytes in which a file says that it is WordPress's
CHUNK = 1 << 18
LARGEST_ITEM = 32 * 2**20  # characters
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
EDGE = re.compile(r"<!\[CDATA\[|<item(?:\s[^>]*)?>|</item>")
DECLARED = re.compile(rb"""encoding=["']([\w-]+)["']""")
TYPES = ("post", "page")
FIELDS = {
    "title", "link", "pubDate", "dc:creator", "content:encoded", "wp:post_id", "wp:post_date_gmt",
    "wp:post_date", "wp:post_modified_gmt", "wp:status", "wp:post_type", "wp:post_password",
    "wp:post_name",
}  # fmt: skip
CODE_TAG = re.compile(
    r"\[(code|sourcecode|source)(?:\s+(?:lang(?:uage)?=)?[\"']?([\w+#.-]*)[\"']?[^\]]*)?\]"
    r"(.*?)\[/\1\]",
    re.DOTALL,
)
CAPTION = re.compile(r"\[caption[^\]]*\](.*?)\[/caption\]", re.DOTALL)
# Shortcodes by name, and anything in square brackets that has attributes as they have.
SHORTCODE = re.compile(
    r"\[/?(?:gallery|embed|audio|video|playlist|youtube|vimeo|gist|contact-form[\w-]*|more|toc|"
    r"vc_\w+|et_pb_\w+|fusion_\w+)(?:\s[^\]]*)?/?\]|\[[\w-]+(?:\s+[\w-]+=(?:\"[^\"]*\"|'[^']*'))+\s*/?\]"
)
WHOLE = re.compile(r"<(pre|script|style|textarea)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
BLOCK = re.compile(
    r"\s*</?(?:p|div|h[1-6]|ul|ol|li|blockquote|pre|table|t[rdh]|thead|tbody|figure|figcaption|hr|"
    r"section|article|address|form|dl|dt|dd|details|summary|\x00)\b",
    re.IGNORECASE,
)


@dataclass
class Element:
    """An element with the texts of its children by qualified name, and children of children."""

    texts: dict[str, str] = field(default_factory=dict)
    inner: list[tuple[str, dict[str, str]]] = field(default_factory=list)


def recognise(tree: Tree) -> str | None:
    """The archive's top when a file in it is WordPress's, or None."""
    for name in tree.names():
        if name.endswith(".xml") and NAMESPACE in head(tree, name, MARK):
            return ""
    return None


def read(export: Export) -> None:
    """List the author's published posts and pages."""
    for name, _ in export.files(FILES):
        if NAMESPACE in head(export.tree, name, MARK):
            _read_file(export, name)


def _read_file(export: Export, name: str) -> None:
    listing = export.listing
    try:
        pieces = _pieces(export.tree, name)
        logins = _own_logins(export, name, next(pieces))
        for number, piece in enumerate(pieces, start=1):
            item = f"{name}#{number}"
            listing.take(item, partial(_piece, export, item, piece, logins))
    except UnreadableItemError as error:
        listing.quarantined[name] = str(error)


def _piece(export: Export, item: str, piece: str, logins: set[str]) -> RawDocument | None:
    if len(piece) > LARGEST_ITEM:
        raise UnreadableItemError(item, f"it has more than {LARGEST_ITEM} characters", "Leave it")
    fields = parse_element(piece, "item", item, FIELDS).texts
    if fields.get("wp:post_type") not in TYPES:
        return None
    if fields.get("wp:status") != "publish":
        export.listing.leave_out(DRAFTS)
        return None
    if fields.get("dc:creator", "") not in logins:
        export.listing.leave_out(GUESTS)
        return None
    visibility = "members" if fields.get("wp:post_password") else "public"
    if not export.admits(visibility):
        return None
    published = moment(fields.get("wp:post_date_gmt")) or moment(fields.get("wp:post_date"))
    return export.document(
        Item(
            external_id=fields.get("wp:post_id") or fields.get("link") or item,
            title=html.unescape(fields.get("title", "")),
            text=body_text(fields.get("content:encoded", ""), item, fields.get("link")),
            raw=piece,
            url=fields.get("link", ""),
            published=published or moment(fields.get("pubDate")),
            updated=moment(fields.get("wp:post_modified_gmt")),
            visibility=visibility,
        )
    )


def _own_logins(export: Export, name: str, top: str) -> set[str]:
    """Logins of the author in the blog. A blog of one hand is its owner's, whatever the login."""
    channel = parse_element(top + "</channel></rss>", "channel", name, {"wp:author"})
    people = [texts for tag, texts in channel.inner if tag == "wp:author"]
    author, own = export.context.author, set()
    for person in people:
        names = (
            person.get("wp:author_login", ""),
            person.get("wp:author_display_name", ""),
            f"{person.get('wp:author_first_name', '')} {person.get('wp:author_last_name', '')}",
        )
        if any(is_by(known, author) for known in names if known.strip()):
            own.add(names[0])
    if not own and len(people) == 1:
        own = {people[0].get("wp:author_login", "")}
    if not own and people:
        logins = ", ".join(sorted(person.get("wp:author_login", "?") for person in people))
        raise SourceMissingError(
            name,
            f"none of its authors is {author.name}: it has {logins}",
            "Add the login to the author's 'bylines' in authors.yaml",
        )
    return own or {author.id, author.name}


def _pieces(tree: Tree, name: str) -> Iterator[str]:
    """What stands before the first item, then each item as text. Items are cut at their tags, but
    for those in CDATA: a post may be about RSS."""
    buffer, at, begin, first = "", 0, 0, True
    for text in _texts(tree, name):
        buffer += text
        while True:
            match = EDGE.search(buffer, at)
            if match is None:
                at = max(at, len(buffer) - 64)
                break
            if match[0] == "<![CDATA[":
                end = buffer.find("]]>", match.end())
                if end < 0:
                    at = match.start()
                    break
                at = end + 3
                continue
            at = match.end()
            if match[0] == "</item>":
                yield buffer[begin:at]
                buffer, begin, at = buffer[at:], 0, 0
            else:
                if first:
                    yield buffer[begin : match.start()]
                    first = False
                buffer, begin, at = buffer[match.start() :], 0, len(match[0])
        if len(buffer) > 2 * LARGEST_ITEM:
            raise UnreadableItemError(name, "an item in it has no end", "Export the blog again")
    if first:
        yield buffer.split("</channel>")[0]
    elif "<item" in buffer:
        raise UnreadableItemError(name, "it ends within an item", "Export the blog again")


def _texts(tree: Tree, name: str) -> Iterator[str]:
    """The file's text in parts, without control characters, which make XML ill-formed."""
    with tree.open(name) as file:
        data, read_ = file.read(CHUNK), 0
        declared = DECLARED.search(data[:200])
        try:
            encoding = codecs.lookup(declared[1].decode() if declared else "utf-8").name
        except LookupError:
            encoding = "utf-8"
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        while data:
            read_ += len(data)
            if read_ > LARGEST_STREAM:
                raise UnreadableItemError(name, "it is larger than any export", "Leave it out")
            yield CONTROL.sub("", decoder.decode(data)).removeprefix("\ufeff")
            data = file.read(CHUNK)


def parse_element(text: str, tag: str, item: str, wanted: set[str]) -> Element:
    """The wanted children of the element ``tag`` in a piece of XML: texts, and for those that have
    children theirs. Raises ``UnreadableItemError``, for a document type above all."""
    reader = _Reader(tag, wanted, item)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise UnreadableItemError(
            item, f"it is not well-formed XML ({error})", "Mend it, or export the blog again"
        ) from error
    return reader.element


class _Reader:
    """Collects texts while the parser goes through an element; nothing nests on our side."""

    def __init__(self, tag: str, wanted: set[str], item: str) -> None:
        self.tag, self.wanted, self.item = tag, wanted, item
        self.element = Element()
        self._depth = 0  # below ``tag``
        self._inside = False
        self._name = ""
        self._inner = ""
        self._parts: list[str] = []

    def start(self, name: str, _: dict[str, str]) -> None:
        if not self._inside:
            self._inside = name == self.tag
            return
        self._depth += 1
        if self._depth == 1:
            self._name, self._parts = name, []
            if name in self.wanted:
                self.element.inner.append((name, {}))
        elif self._depth == 2:
            self._inner, self._parts = name, []

    def end(self, name: str) -> None:
        if not self._inside:
            return
        text = "".join(self._parts)
        if self._depth == 1 and self._name in self.wanted:
            self.element.texts.setdefault(self._name, text)
        elif self._depth == 2 and self._name in self.wanted:
            self.element.inner[-1][1].setdefault(self._inner, text)
        if self._depth == 0:
            self._inside = False
        self._depth -= 1

    def text(self, data: str) -> None:
        if self._inside and self._depth in (1, 2) and self._name in self.wanted:
            self._parts.append(data)

    def refuse(self, *_: Any) -> None:
        raise UnreadableItemError(
            self.item, "it has a document type, which no export has", "Export the blog again"
        )


def body_text(content: str, item: str, url: str | None) -> str:
    """The Markdown of a body: blocks or classic text, without shortcodes."""
    content = CODE_TAG.sub(_code, content.replace("\r\n", "\n"))
    content = CAPTION.sub(r"<figure>\1</figure>", content)
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"<\x00 {len(kept) - 1}>"

    content = SHORTCODE.sub("", WHOLE.sub(keep, content))
    if "<!-- wp:" not in content:
        content = _paragraphs(content)
    content = re.sub(r"<\x00 (\d+)>", lambda match: kept[int(match[1])], content)
    return render(tree_of(content, item), url)


def _code(match: re.Match[str]) -> str:
    language = f' class="language-{match[2]}"' if match[2] else ""
    return f"<pre><code{language}>{html.escape(html.unescape(match[3]).strip())}</code></pre>"


def _paragraphs(content: str) -> str:
    """Classic text: an empty line parts paragraphs, a line break is one."""
    parts = []
    for part in re.split(r"\n\s*\n", content):
        if part.strip():
            whole = BLOCK.match(part)
            parts.append(part if whole else "<p>" + part.strip().replace("\n", "<br>") + "</p>")
    return "\n".join(parts)
