"""One batch of prompts at one endpoint: calls with retries, replies with reasks, within a budget.

Every prompt ends in a reply or in a failure that says why; only a key that is not accepted ends the
batch. Keys appear in no message.
"""

import asyncio
import random
from typing import TYPE_CHECKING, Any

from resources.addresses import shown
from resources.chat_prompts import (
    PER_TOKEN,
    Failure,
    Prompt,
    Reply,
    again,
    as_asked,
    kept_reply,
    tokens_in,
)
from resources.chat_replies import KeptReplies
from resources.errors import LlmTwinError
from resources.polite import retry_after

if TYPE_CHECKING:
    from resources.chat_model import ChatModel

REASKS = 2  # of a reply that is not what was asked for
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds, doubling between attempts
# What reading a reply raises whose fields are missing or null: the client checks none.
MALFORMED = (ValueError, AttributeError, TypeError, LookupError)


class KeyNotAcceptedError(LlmTwinError):
    """The endpoint does not let this key in: every other prompt would be refused as well."""


class Asking:
    """One batch: calls with retries, replies with reasks, all within the budget."""

    def __init__(self, model: "ChatModel", client: Any, kept: KeptReplies) -> None:
        self.model, self.client, self.kept = model, client, kept
        self.reserved = 0.0  # by calls on their way
        _, read, written = kept.totals()
        self.spent = self._price(read, written)

    async def answer(self, name: str, prompt: Prompt) -> Reply | Failure:
        """Ask until the reply is what was asked for; ``name`` is what it is kept under."""
        before = kept_reply(self.kept, name, prompt)
        if before is not None:
            return before
        asked, because = prompt, ""
        for _ in range(REASKS + 1):
            got = await self._call(name, asked)
            if isinstance(got, Failure):
                return got
            parsed, because = as_asked(prompt.schema, got.text)
            if not because:
                return Reply(got.text, parsed, got.tokens_in, got.tokens_out, False)
            asked = again(prompt, got.text, because)
        return Failure("unreadable", f"{REASKS + 1} replies were not as asked: {because}")

    async def _call(self, name: str, prompt: Prompt) -> Reply | Failure:
        most = self._price(tokens_in(prompt), prompt.max_tokens)
        budget = self.model.budget
        if budget is not None and self.spent + self.reserved + most > budget:
            return Failure(
                "budget",
                f"the next call could cost {most:.4g}, and {self.spent + self.reserved:.4g} of "
                f"{budget:.4g} are spent or promised",
            )
        self.reserved += most
        try:
            return await self._attempts(name, prompt)
        finally:
            self.reserved -= most

    async def _attempts(self, name: str, prompt: Prompt) -> Reply | Failure:
        import openai

        failure = Failure("unreachable", "it was never asked")
        attempts = self.model.attempts
        for attempt in range(attempts):
            wait = _backoff(attempt)
            try:
                reply = await asyncio.wait_for(self._once(prompt), self.model.timeout)
            except openai.APIStatusError as error:
                failure = self._told(error.status_code)
                if failure.kind == "refused":
                    return failure
                stated = retry_after(error.response.headers.get("retry-after"), self.model.clock())
                wait = min(wait if stated is None else stated, LONGEST_WAIT)  # 0 is at once
            except (TimeoutError, openai.APITimeoutError):
                seconds = f"{self.model.timeout:g} seconds"
                failure = Failure("unreachable", f"the endpoint did not answer in {seconds}")
            except (openai.APIError, *MALFORMED) as error:
                failure = Failure("unreachable", f"the endpoint failed ({type(error).__name__})")
            else:
                self._pay(name, prompt, reply)
                if reply.text.strip():
                    return reply
                failure = Failure("unreadable", "the reply was empty")
                budget = self.model.budget
                if budget is not None and self.spent + self.reserved > budget:
                    return Failure("budget", "empty replies used it up")
            if attempt < attempts - 1:
                await self.model.wait(wait)
        return Failure(failure.kind, f"{failure.because}, {attempts} times")

    def _pay(self, name: str, prompt: Prompt, reply: Reply) -> None:
        """Count a reply, and keep it if it is what was asked for."""
        self.spent += self._price(reply.tokens_in, reply.tokens_out)
        usable = reply.text.strip() and not as_asked(prompt.schema, reply.text)[1]
        self.kept.pay(reply.tokens_in, reply.tokens_out, name if usable else None, reply.text)

    def _told(self, status: int) -> Failure:
        """What a status says. Raises ``KeyNotAcceptedError``."""
        if status in (401, 403):
            raise KeyNotAcceptedError(
                f"{self.model.model} at {shown(self.model.url)}",
                f"the endpoint does not accept the key ({status})",
                "Check the key in the settings, and what it may be used for",
            )
        if status in (408, 409, 425, 429) or status >= 500:
            return Failure("unreachable", f"the endpoint is busy or failing ({status})")
        return Failure("refused", f"the endpoint does not take the request ({status})")

    async def _once(self, prompt: Prompt) -> Reply:
        options: dict[str, Any] = {}
        if prompt.schema is not None:
            options["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": prompt.schema.__name__,
                    "schema": prompt.schema.model_json_schema(),
                },
            }
        got = await self.client.chat.completions.create(
            model=self.model.model,
            messages=[dict(message) for message in prompt.messages],
            max_tokens=prompt.max_tokens,
            temperature=prompt.temperature,
            **options,
        )
        if not getattr(got, "choices", None):
            raise ValueError("a reply without choices")
        text = got.choices[0].message.content or ""
        usage = got.usage
        read = usage.prompt_tokens if usage else tokens_in(prompt)
        written = usage.completion_tokens if usage else int(len(text) / PER_TOKEN) + 1
        return Reply(text, None, int(read), int(written), False)

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        prices = self.model.prices
        return prices.of(tokens_in, tokens_out) if prices else float(tokens_in + tokens_out)


def _backoff(attempt: int) -> float:
    """Doubling, with a quarter of chance so that many callers do not come back at once."""
    longest: float = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
    return longest * (1 - random.random() / 4)
