"""What a chat model is asked and what comes back: prompts with what is wanted of their replies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.chat_replies import KeptReplies

PER_TOKEN = 3.0  # characters of text per token, on the safe side for an estimate
PER_MESSAGE = 8  # tokens that a chat template puts around a message


@dataclass(frozen=True)
class Prompt:
    """What is asked: messages (role, content), and, for a structured reply, a pydantic model."""

    messages: tuple[Mapping[str, str], ...]
    schema: Any = None
    max_tokens: int = 512
    temperature: float = 0.0


@dataclass(frozen=True)
class Reply:
    """What came back. ``parsed`` is an instance of the prompt's schema, where it has one."""

    text: str
    parsed: Any
    tokens_in: int
    tokens_out: int
    kept: bool  # it was answered before, and cost nothing


@dataclass(frozen=True)
class Failure:
    """Why a prompt has no reply: ``kind`` is budget, refused, unreachable, or unreadable."""

    kind: str
    because: str


def kept_reply(kept: KeptReplies, name: str, prompt: Prompt) -> Reply | None:
    """The reply that is kept, if it is what is asked for."""
    before = kept.find(name)
    if before is None:
        return None
    text, read, written = before
    parsed, because = as_asked(prompt.schema, text)
    return None if because else Reply(text, parsed, read, written, True)


def as_asked(schema: Any, text: str) -> tuple[Any, str]:
    """The reply as an instance of the schema, or what is wrong with it."""
    if schema is None:
        return None, ""
    from pydantic import ValidationError

    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None, "there is no JSON object in it"
    try:
        return schema.model_validate_json(text[start : end + 1]), ""
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the object"
        return None, f"{place}: {first['msg']}"


def again(prompt: Prompt, text: str, because: str) -> Prompt:
    """The prompt with the reply that would not do, and why."""
    correction = (
        f"That cannot be used: {because}. Answer again with the JSON object alone, as the schema "
        "asks for it."
    )
    return Prompt(
        (
            *prompt.messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": correction},
        ),
        prompt.schema,
        prompt.max_tokens,
        prompt.temperature,
    )


def tokens_in(prompt: Prompt) -> int:
    """Tokens that a prompt has, rather too many than too few."""
    text = sum(len(message["content"].encode("utf-8")) for message in prompt.messages)
    schema = len(json.dumps(prompt.schema.model_json_schema())) if prompt.schema else 0
    return int((text + schema) / PER_TOKEN) + PER_MESSAGE * len(prompt.messages)
