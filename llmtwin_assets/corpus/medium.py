"""Medium's export: ``posts/<date>_<slug>-<id>.html``, one story each. Drafts and, mixed with the
stories and unmarked, the author's responses to others stand there too.
"""

import re
import unicodedata
from functools import partial
from typing import Any

from llmtwin_assets.corpus.export import (
    DRAFTS,
    REPLIES,
    Export,
    Item,
    all_found,
    classes,
    found,
    remove,
    tree_of,
)
from llmtwin_assets.corpus.html_text import plain, render
from llmtwin_assets.corpus.reading import UnreadableItemError, moment
from llmtwin_assets.corpus.zip_reader import Tree, head, read_file
from llmtwin_assets.records import RawDocument

PLATFORM, IMPORTER = "medium", "medium-1"
KINDS = ("article", "post")
POST = r"posts/(draft_)?(?:\d{4}-\d{2}-\d{2}_)?(?:.*?-+)?([0-9a-f]{8,12})\.html"
ANY_POST = re.compile(rf"((?:.*/)?)(?:{POST})")
TITLES = ("graf--title", "graf--kicker")
MARK = 32_768  # bytes in which a story says that it is Medium's


def recognise(tree: Tree) -> str | None:
    """The folder that holds Medium's ``posts``, or None."""
    matches = [match for name in tree.names() if (match := ANY_POST.fullmatch(name))]
    for match in matches[:3]:
        begins = head(tree, match[0], MARK)
        if b"h-entry" in begins or b'data-field="body"' in begins:
            return match[1]
    return None


def read(export: Export) -> None:
    """List the author's stories, and with ``replies`` what they answered to others."""
    if not (export.context.wants("article") or export.source.replies):
        return
    for name, match in export.files(POST):
        if match[1]:
            export.listing.leave_out(DRAFTS)
            continue
        id_, stamp = export.id_of(match[2]), export.stamp(name)
        if export.context.known.get(id_) == stamp:
            export.listing.unread.add(id_)
        else:
            export.listing.take(name, partial(_story, export, name, match[2]), stamp, id_)


def _story(export: Export, name: str, id_: str) -> RawDocument | None:
    data = read_file(export.tree, name)
    tree = tree_of(data, name)
    body = found(tree, "section", data_field="body")
    if body is None:
        raise UnreadableItemError(name, "it has no body section", "Download the export again")
    time, canonical = found(tree, "time", cls="dt-published"), found(tree, "a", cls="p-canonical")
    if time is None and canonical is None:
        export.listing.leave_out(DRAFTS)
        return None
    heading = found(tree, "h1", cls="p-name")
    title = plain(heading) if heading is not None else ""
    tagged = found(tree, "a", cls="p-tag") is not None
    reply = not tagged and _answers(body, title)
    if reply and not export.source.replies:
        export.listing.leave_out(REPLIES)
        return None
    kind = "post" if reply else "article"
    if not export.context.wants(kind):
        return None
    _prepare(body, title)
    url = canonical.get("href") if canonical is not None else None
    return export.document(
        Item(
            external_id=id_,
            title=title,
            text=render(body, drop=_is_embed),
            raw=data,
            kind=kind,
            url=url or f"https://medium.com/p/{id_}",
            published=moment(time.get("datetime")) if time is not None else None,
        )
    )


def _answers(body: Any, title: str) -> bool:
    """Whether a story is a response. Nothing says so; but a response has no title of its own, so
    that Medium names it by its first words, and neither headings nor tags nor a picture on top."""
    if any(classes(element) & set(TITLES) for element in body.iter("h1", "h2", "h3", "h4")):
        return False
    start = _letters(title.rstrip(" ….")) or "?"
    return _letters(plain(body)).startswith(start)


def _prepare(body: Any, title: str) -> None:
    """Take off the title that stands in the body again and the line above the first section, and
    make one block of code of what an older editor kept as several."""
    for heading in list(body.iter("h1", "h2", "h3", "h4")):
        if "graf--title" in classes(heading) or _letters(plain(heading)) == _letters(title):
            remove(heading)
        break
    for rule in list(all_found(body, "hr", cls="section-divider"))[:1]:
        remove(rule)
    for pre in list(all_found(body, "pre", cls="graf--pre")):
        before = pre.getprevious()
        if before is None or before.tag != "pre" or "data-code-block-mode" in pre.attrib:
            continue
        if "graf-after--pre" in classes(pre) and not (before.tail or "").strip():
            _append(before, pre)


def _append(code: Any, more: Any) -> None:
    """Put the content of a ``pre`` at the end of the one before it, after an empty line."""
    if len(code):
        code[-1].tail = (code[-1].tail or "") + "\n\n" + (more.text or "")
    else:
        code.text = (code.text or "") + "\n\n" + (more.text or "")
    for child in list(more):
        code.append(child)
    more.text = None
    remove(more)


def _is_embed(element: Any) -> bool:
    """Cards of other pages: someone else's words. Captions of other embeds stay."""
    names = classes(element)
    if "graf--mixtapeEmbed" in names:
        return True
    return element.tag == "blockquote" and bool(names & {"twitter-tweet", "twitter-video"})


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum())
