"""More than one way to ask: variants of a question, searched together with it.

A chat model writes them where there is one. Without, the only other way is the question without its
frame ("What have you written on …"), which says nothing about the subject.
"""

import json

from llmtwin_assets.features.phrases import content_words
from llmtwin_assets.retrieval.chat import Chat, asked_for_json

LONGEST = 300  # characters of a variant


def variants(question: str, count: int, chat: Chat | None = None) -> list[str]:
    """At most ``count`` other wordings of a question, none of them the question itself."""
    if count < 1:
        return []
    told = asked_for_json(chat, _prompt(question, count)) if chat else None
    if isinstance(told, list):
        written = [text.strip() for text in told if isinstance(text, str)]
    else:
        written = [" ".join(content_words(question))]
    fresh = dict.fromkeys(text for text in written if text and len(text) <= LONGEST)
    fresh.pop(question, None)
    return list(fresh)[:count]


def _prompt(question: str, count: int) -> str:
    return (
        f"Write {count} other wordings of a reader's question to a writer, so that a search finds "
        "passages which use other words for the same thing. Answer with a JSON list of strings "
        f"alone.\n\nQuestion: {json.dumps(question)}"
    )
