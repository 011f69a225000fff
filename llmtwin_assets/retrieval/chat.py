"""What retrieval needs of a chat model: a prompt in, a reply out, JSON where it was asked for.

Its retries and its budget are not known here.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from resources.chat_model import ChatModel, Failure, Prompt, open_chat_model
from resources.errors import LlmTwinError

SETTING = "LLMTWIN_CHAT"
PATIENCE = 8.0  # seconds that a reader waits for it; then search goes on without

Chat = Callable[[str], str]  # may refuse with an ``LlmTwinError``

JSON = re.compile(r"\{.*\}|\[.*\]", re.DOTALL)


class NoReplyError(LlmTwinError):
    """The chat model did not answer."""


def chat_model(home: Path) -> ChatModel | None:
    """The model that ``LLMTWIN_CHAT_URL`` and its companions name; None without."""
    return open_chat_model(SETTING, home / "chat.sqlite")


def asking(model: ChatModel | None, waiting: bool = False) -> Chat | None:
    """The model as it is asked; once and briefly when somebody is ``waiting`` for it."""
    if model is None:
        return None
    asked = replace(model, attempts=1, timeout=PATIENCE) if waiting else model

    def chat(prompt: str) -> str:
        (reply,) = asked.answer([Prompt(({"role": "user", "content": prompt},))])
        if isinstance(reply, Failure):
            raise NoReplyError(asked.model, reply.because, f"See {SETTING}_URL and its companions")
        return reply.text

    return chat


def asked_for_json(chat: Chat, prompt: str) -> Any:
    """The JSON value in the model's reply; None when it refuses, or writes something else: every
    step that asks has an answer of its own for that."""
    try:
        found = JSON.search(chat(prompt))
        return json.loads(found[0]) if found else None
    except (LlmTwinError, json.JSONDecodeError):
        return None
