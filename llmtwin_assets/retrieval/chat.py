"""What retrieval needs of a chat model: a prompt in, a reply out, JSON where it was asked for.

Which model it is, its retries and its budget are not known here.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from resources.errors import LlmTwinError

Chat = Callable[[str], str]  # may refuse with an ``LlmTwinError``

JSON = re.compile(r"\{.*\}|\[.*\]", re.DOTALL)


def asked_for_json(chat: Chat, prompt: str) -> Any:
    """The JSON value in the model's reply; None when it refuses, or writes something else: every
    step that asks has an answer of its own for that."""
    try:
        found = JSON.search(chat(prompt))
        return json.loads(found[0]) if found else None
    except (LlmTwinError, json.JSONDecodeError):
        return None
