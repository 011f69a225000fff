"""Replies to chat requests in OpenAI's shapes, whole or as server-sent events."""

import json
import time
import uuid
from typing import Any

from llmtwin_assets.serving.answer import Answer

DONE = b"data: [DONE]\n\n"


class Completion:
    """Builds the replies to one chat request; the same id and time on all of its chunks."""

    def __init__(self, model: str, trace_id: str) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.model, self.trace_id = model, trace_id

    def whole(self, answer: Answer, content: str) -> dict[str, Any]:
        """The reply in one piece."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": content, "refusal": None},
            "finish_reason": answer.finish_reason,
            "logprobs": None,
        }
        return {
            **self._head("chat.completion", answer),
            "choices": [choice],
            "usage": usage(answer),
            **self._extra(answer),
        }

    def chunk(self, answer: Answer, delta: dict[str, str]) -> bytes:
        """A piece of the reply as a server-sent event."""
        return self._event(answer, delta, None, {})

    def last(self, answer: Answer) -> bytes:
        """The chunk that ends the reply and carries what else there is to know."""
        return self._event(answer, {}, answer.finish_reason, self._extra(answer))

    def usage(self, answer: Answer) -> bytes:
        """The chunk of counts that a client may ask for."""
        head = self._head("chat.completion.chunk", answer)
        return event({**head, "choices": [], "usage": usage(answer)})

    def _event(
        self, answer: Answer, delta: dict[str, str], reason: str | None, extra: dict[str, Any]
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return event({**self._head("chat.completion.chunk", answer), "choices": [choice], **extra})

    def _head(self, kind: str, answer: Answer) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": answer.version,
        }

    def _extra(self, answer: Answer) -> dict[str, Any]:
        return {"citations": answer.citations, "trace_id": self.trace_id, "notes": answer.notes}


def usage(answer: Answer) -> dict[str, int] | None:
    """OpenAI's counts, or None when the engine does not count."""
    read, written = answer.tokens
    if read is None or written is None:
        return None
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def event(data: Any) -> bytes:
    """A server-sent event of JSON."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode("utf-8") + b"\n\n"
