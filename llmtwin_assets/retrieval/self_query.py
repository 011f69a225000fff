"""What a question says about the documents it is looking for: their kind, their platform, when they
were published.

The author is no part of it: they are fixed before a question is read, and nothing here can name
another. Rules read phrases that speak of the author's writing ("your posts on LinkedIn", "you wrote
in 2023"), never of its subject; a chat model, where there is one, is held to the same few values.
"""

import json
import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from llmtwin_assets.retrieval.chat import Chat, asked_for_json
from resources.vectors import Dates

KINDS = {
    "article": r"articles?|essays?|blog posts?|newsletters?",
    "post": r"(?<!blog )posts?|tweets?",
    "repository": r"repositor(?:y|ies)|repos?|source code",
}
PLATFORMS = {
    "medium": r"Medium",
    "substack": r"[Ss]ubstack",
    "linkedin": r"[Ll]inked[Ii]n",
    "github": r"[Gg]it[Hh]ub",
    "x": r"[Tt]witter",
}
MONTHS = (
    "january february march april may june july august september october november december"
).split()
WRITING = (
    r"(?:write|wrote|written|publish(?:ed)?|post(?:ed)?|articles?|essays?|posts?|newsletters?)"
)
# At most two words between the writing and its time, and none that begins the subject.
GAP = r"(?:\s+(?!about|on|of|that|how|why)\w+){0,2}"
DAY = rf"(?:(?P<month>{'|'.join(MONTHS)})\s+)?(?P<year>(?:19|20)\d\d)"
WHEN = [
    re.compile(rf"\b{WRITING}\b{GAP}\s+(?P<word>in|during|since|before|until)\s+{DAY}\b", re.I),
    re.compile(rf"\byour\s+(?P<word>){DAY}\s+{WRITING}\b", re.I),
]
THIS_OR_LAST = re.compile(rf"\b{WRITING}\b{GAP}\s+(?P<word>this|last)\s+year\b", re.I)


@dataclass(frozen=True)
class Aim:
    """The documents a question is about, as far as it says; None is any."""

    kind: str | None = None
    platform: str | None = None
    published: Dates | None = None

    def where(self) -> dict[str, str | Dates]:
        """The same as payload values."""
        named = {"kind": self.kind, "platform": self.platform, "published": self.published}
        return {key: value for key, value in named.items() if value is not None}


def read(question: str, today: date, chat: Chat | None = None) -> Aim:
    """The aim of a question: the chat model's reading when there is one and it makes sense, that
    of the rules otherwise."""
    if chat is not None:
        told = asked_for_json(chat, _prompt(question, today))
        if isinstance(told, Mapping):
            return _checked(told)
    return Aim(_kind(question), _platform(question), _published(question, today))


def _kind(question: str) -> str | None:
    for kind, names in KINDS.items():
        if re.search(rf"\byour\s+(?:\w+\s+)?(?:{names})\b", question, re.I):
            return kind
    return "post" if re.search(r"\byou(?:\s+\w+)?\s+tweet(?:ed)?\b", question, re.I) else None


def _platform(question: str) -> str | None:
    for platform, name in PLATFORMS.items():
        if re.search(rf"\b(?:on|your|to|in your)\s+{name}\b", question):
            return platform
    return None


def _published(question: str, today: date) -> Dates | None:
    for pattern in WHEN:
        if found := pattern.search(question):
            return _dates((found["word"] or "in").lower(), found["year"], found["month"])
    if found := THIS_OR_LAST.search(question):
        return _dates("in", str(today.year - (found["word"].lower() == "last")), None)
    return None


def _dates(word: str, year: str, month: str | None) -> Dates:
    number = MONTHS.index(month.lower()) + 1 if month else None
    first = date(int(year), number or 1, 1)
    last_month = number or 12
    last = date(int(year), last_month, monthrange(int(year), last_month)[1])
    if word == "since":
        return Dates(since=first.isoformat())
    if word in ("before", "until"):
        return Dates(until=(first if word == "before" else last).isoformat())
    return Dates(first.isoformat(), last.isoformat())


def _prompt(question: str, today: date) -> str:
    return (
        "A reader asks a writer a question. Say which of the writer's documents the question asks "
        "for, as one JSON object with the keys kind "
        f"({', '.join(KINDS)}), platform ({', '.join(PLATFORMS)}), since and until (YYYY-MM-DD, "
        "days of publication). Use null for whatever the question does not say about the "
        "documents themselves; what they are about does not count. "
        f"Today is {today.isoformat()}.\n\nQuestion: {json.dumps(question)}"
    )


def _checked(told: Mapping[str, Any]) -> Aim:
    """Only values that exist; anything else the model says is ignored."""
    kind, platform = told.get("kind"), told.get("platform")
    since, until = _day(told.get("since")), _day(told.get("until"))
    return Aim(
        kind if isinstance(kind, str) and kind in KINDS else None,
        platform if isinstance(platform, str) and platform in PLATFORMS else None,
        Dates(since, until) if since or until else None,
    )


def _day(told: Any) -> str | None:
    try:
        return date.fromisoformat(told).isoformat()
    except (TypeError, ValueError):
        return None
