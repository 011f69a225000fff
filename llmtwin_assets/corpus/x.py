"""X's archive: posts in ``data/tweets.js``, their long forms in ``data/note-tweet.js``, and a
manifest that says how many there are. No other file is read: the rest is messages, advertising,
telephone numbers and what the author deleted.

Reposts show only by ``RT @``. Most posts are answers to others, which stay out; answers to oneself
are threads, and a thread is one document.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmtwin_assets.corpus.export import REPLIES, REPOSTS, Export, Item
from llmtwin_assets.corpus.json_stream import values
from llmtwin_assets.corpus.reading import UnreadableItemError, moment
from llmtwin_assets.corpus.zip_reader import Tree

PLATFORM, IMPORTER = "x", "x-1"
KINDS = ("post",)
POSTS = r"(?:data/)?tweets?(?:-part\d+)?\.js"
NOTES = r"(?:data/)?note-tweet(?:-part\d+)?\.js"
MANIFEST = "data/manifest.js"
ANY = re.compile(rf"((?:.*/)?)(?:{POSTS}|data/manifest\.js)")
ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
MENTIONS = re.compile(r"^(?:@\w{1,15}\s+)+")
SHORT_LINK = re.compile(r"\s*https://t\.co/\w+\s*…?$")
PREFIX = 60  # letters by which a post and its long form are known to be one
UNKNOWN_LANGUAGES = ("und", "zxx", "art", "qam", "qct", "qht", "qme", "qst")


@dataclass(frozen=True, slots=True)
class Post:
    """One post of the author's, with links and letters as a reader sees them."""

    id: int
    text: str
    when: datetime | None
    answers: int  # the post it answers; 0 when it answers none
    to_other: bool
    language: str | None


@dataclass
class Manifest:
    """What the archive says of itself."""

    account: str = ""
    user: str = ""
    counts: dict[str, int] = field(default_factory=dict)  # file -> items


def recognise(tree: Tree) -> str | None:
    """The folder that holds ``data``, or None."""
    for name in tree.names():
        match = ANY.fullmatch(name)
        if match:
            return match[1]
    return None


def read(export: Export) -> None:
    """List the author's posts and threads."""
    manifest = _manifest(export)
    own = {_number(tweet, "id") for tweet in _tweets(export, manifest)}
    notes = _notes(export, manifest)
    posts: dict[int, Post] = {}
    for tweet in _tweets(export, manifest, quiet=True):
        post = _post(export, tweet, own, manifest, notes)
        if post is not None:
            posts[post.id] = post
    for thread in _threads(posts):
        if thread[0].to_other and not export.source.replies:
            export.listing.leave_out(REPLIES, len(thread))
            continue
        _list(export, thread, manifest)


def _list(export: Export, thread: list[Post], manifest: Manifest) -> None:
    first, last = thread[0], thread[-1]
    text = "\n\n".join(post.text for post in thread if post.text)
    user = manifest.user or "i"
    document = export.document(
        Item(
            external_id=str(first.id),
            title="",
            text=text,
            raw=text,
            kind="post",
            url=f"https://x.com/{user}/status/{first.id}",
            published=first.when,
            created=first.when,
            updated=last.when if last is not first else None,
            language=first.language,
        )
    )
    if document is not None:
        export.listing.add(document)


def _manifest(export: Export) -> Manifest:
    found = Manifest()
    if not export.has(MANIFEST):
        return found
    try:
        (content,) = values(export.tree, export.root + MANIFEST, "", script=True)
        user = content.get("userInfo") or {}
        found.account, found.user = str(user.get("accountId", "")), str(user.get("userName", ""))
        if not re.fullmatch(r"\w{1,15}", found.user):
            found.user = ""
        for kind in ("tweets", "tweet", "noteTweet"):
            for file in (content.get("dataTypes") or {}).get(kind, {}).get("files", []):
                found.counts[export.root + str(file["fileName"])] = int(file["count"])
    except (UnreadableItemError, AttributeError, KeyError, TypeError, ValueError) as error:
        export.listing.quarantined[MANIFEST] = f"{MANIFEST}: it cannot be read ({error})."
    return found


def _tweets(export: Export, manifest: Manifest, quiet: bool = False) -> Iterator[dict[str, Any]]:
    for name, _ in export.files(POSTS):
        yield from _items(export, manifest, name, "tweet", quiet)


def _items(
    export: Export, manifest: Manifest, name: str, wrapper: str, quiet: bool
) -> Iterator[dict[str, Any]]:
    """The objects of a file, out of their wrapper if they have one (old archives have none). A
    damaged file gives what stands before the damage."""
    listing, count = export.listing, 0
    try:
        for value in values(export.tree, name, "item", script=True):
            count += 1
            item = value.get(wrapper, value) if isinstance(value, dict) else None
            if isinstance(item, dict):
                yield item
            elif not quiet:
                listing.quarantined[f"{name}#{count}"] = f"{name}#{count}: it is not an object."
    except UnreadableItemError as error:
        listing.quarantined[name] = str(error)
        return
    said = manifest.counts.get(name)
    if said is not None and said != count:
        listing.quarantined[name] = (
            f"{name}: it holds {count} items where the manifest says {said}. "
            "Download the export again."
        )


def _notes(export: Export, manifest: Manifest) -> dict[str, list[str]]:
    """Texts of long posts by the second they were written in: their ids match no post's."""
    notes: dict[str, list[str]] = defaultdict(list)
    for name, _ in export.files(NOTES):
        for note in _items(export, manifest, name, "noteTweet", quiet=False):
            core = note.get("core") or {}
            when = moment(note.get("createdAt"))
            if when and isinstance(core, dict) and isinstance(core.get("text"), str):
                text = _with_links(core["text"], core.get("urls"))
                notes[_second(when)].append(text)
    return notes


def _post(
    export: Export,
    tweet: Mapping[str, Any],
    own: set[int],
    manifest: Manifest,
    notes: Mapping[str, list[str]],
) -> Post | None:
    """A post of the author's own; None, and counted, for a repost."""
    id_, text = _number(tweet, "id"), tweet.get("full_text") or tweet.get("text")
    if not id_ or not isinstance(text, str):
        item = f"tweet {id_ or '?'}"
        export.listing.quarantined[item] = f"{item}: it has no id or no text."
        return None
    if text.startswith("RT @"):
        export.listing.leave_out(REPOSTS)
        return None
    when, answers = moment(tweet.get("created_at")), _number(tweet, "in_reply_to_status_id")
    person = str(tweet.get("in_reply_to_user_id_str") or tweet.get("in_reply_to_user_id") or "")
    mine = answers in own or (person != "" and person == manifest.account)
    to_other = bool(answers or person) and not mine
    body = _long_form(text, when, notes) or _short_form(text, tweet)
    if (answers or person) and not (to_other and not export.source.replies):
        body = MENTIONS.sub("", body)
    language = str(tweet.get("lang") or "")
    return Post(
        id=id_,
        text=body.strip() if not to_other or export.source.replies else "",
        when=when,
        answers=answers if answers in own else 0,
        to_other=to_other,
        language=language if language and language not in UNKNOWN_LANGUAGES else None,
    )


def _threads(posts: Mapping[int, Post]) -> Iterator[list[Post]]:
    """Posts with the author's own answers to them, each thread in the order it was written."""
    following: dict[int, list[int]] = defaultdict(list)
    roots = []
    for id_ in sorted(posts):
        answers = posts[id_].answers
        # An answer is newer than what it answers; anything else would go round in a circle.
        if answers in posts and answers < id_:
            following[answers].append(id_)
        else:
            roots.append(id_)
    for root in roots:
        thread, open_ = [], [root]
        while open_:
            id_ = open_.pop()
            thread.append(id_)
            open_ += following.get(id_, ())
        yield [posts[id_] for id_ in sorted(thread)]


def _short_form(text: str, tweet: Mapping[str, Any]) -> str:
    entities = tweet.get("entities") or {}
    extended = tweet.get("extended_entities") or {}
    for picture in [*_list_of(entities, "media"), *_list_of(extended, "media")]:
        text = text.replace(str(picture.get("url", "\x00")), "")
    text = _with_links(text, _list_of(entities, "urls"))
    for escaped, letter in ESCAPES:
        text = text.replace(escaped, letter)
    return text


def _with_links(text: str, urls: Any) -> str:
    """A text with the addresses that its short links stand for."""
    for url in urls if isinstance(urls, list) else []:
        if isinstance(url, dict):
            short = url.get("url") or url.get("shortUrl")
            whole = url.get("expanded_url") or url.get("expandedUrl")
            if isinstance(short, str) and isinstance(whole, str) and short:
                text = text.replace(short, whole)
    return text


def _long_form(text: str, when: datetime | None, notes: Mapping[str, list[str]]) -> str | None:
    for note in notes.get(_second(when), ()) if when else ():
        for escaped, letter in ESCAPES:
            text = text.replace(escaped, letter)
        start = _letters(SHORT_LINK.sub("", text).rstrip("… "))[:PREFIX]
        if start and _letters(note).startswith(start):
            return note
    return None


def _second(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S")


def _number(tweet: Mapping[str, Any], name: str) -> int:
    value = str(tweet.get(f"{name}_str") or tweet.get(name) or "")
    return int(value) if value.isdecimal() and len(value) < 25 else 0


def _list_of(mapping: Any, name: str) -> list[dict[str, Any]]:
    found = mapping.get(name) if isinstance(mapping, dict) else None
    return [value for value in found if isinstance(value, dict)] if isinstance(found, list) else []


def _letters(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", text) if letter.isalnum())
