"""Any OpenAI-compatible chat model, asked many things at once: a teacher, a judge.

Every prompt ends in a reply or in a failure that says why; one never costs another. Only a key that
is not accepted ends a batch, at once. What is asked twice is paid once: replies that can be used
are kept by prompt (``chat_replies.py``), so that a killed run pays again at most for what was on
its way. What a batch may cost is estimated before the first call, and a budget refuses the call
that could exceed it; replies that cannot be used count. Keys appear in no message. What is asked,
and why, is not known here.
"""

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.addresses import shown
from resources.chat_replies import KeptReplies
from resources.errors import LlmTwinError
from resources.polite import retry_after

ATTEMPTS = 6  # of one call that fails on the way
REASKS = 2  # of a reply that is not what was asked for
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds, doubling between attempts
TIMEOUT = 120.0  # seconds for one call
CONCURRENT = 8
PER_TOKEN = 3.0  # characters of text per token, on the safe side for an estimate
PER_MESSAGE = 8  # tokens that a chat template puts around a message
MILLION = 1_000_000
MOST_MODELS = 9  # that one purpose may have
# What reading a reply raises whose fields are missing or null: the client checks none.
MALFORMED = (ValueError, AttributeError, TypeError, LookupError)

Wait = Callable[[float], Awaitable[None]]
Progress = Callable[[int, int], None]


class BadPriceError(LlmTwinError):
    """Prices or a budget that are no numbers."""


class SameModelTwiceError(LlmTwinError):
    """Two settings that name one model."""


class SilentModelError(LlmTwinError):
    """A model that gave no reply at all because its endpoint did not."""


class KeyNotAcceptedError(LlmTwinError):
    """The endpoint does not let this key in: every other prompt would be refused as well."""


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


@dataclass(frozen=True)
class Cost:
    """Calls, tokens, and money in the currency of the prices (None where a price is unknown)."""

    calls: int
    tokens_in: int
    tokens_out: int
    money: float | None

    def since(self, before: "Cost") -> "Cost":
        """What was spent after ``before``."""
        known = self.money is not None and before.money is not None
        return Cost(
            self.calls - before.calls,
            self.tokens_in - before.tokens_in,
            self.tokens_out - before.tokens_out,
            (self.money or 0.0) - (before.money or 0.0) if known else None,
        )

    def told(self) -> str:
        """In words."""
        money = "" if self.money is None else f", {self.money:.4g} in money"
        return f"{self.calls} calls, {self.tokens_in + self.tokens_out} tokens{money}"


@dataclass(frozen=True)
class Prices:
    """Money per million tokens read and written."""

    read: float
    written: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.read + tokens_out * self.written) / MILLION


@dataclass(frozen=True)
class ChatModel:
    """An endpoint. ``budget`` is money where ``prices`` are known, else tokens; None is no limit.

    ``wait`` sleeps, and is given by tests that do not want to; ``clock`` says what time it is, in
    seconds since 1970.
    """

    url: str
    model: str
    cache: Path
    key: str = field(default="", repr=False)
    prices: Prices | None = None
    budget: float | None = None
    concurrent: int = CONCURRENT
    timeout: float = TIMEOUT
    attempts: int = ATTEMPTS
    wait: Wait = asyncio.sleep
    clock: Callable[[], float] = time.time

    def estimate(self, prompts: Sequence[Prompt]) -> Cost:
        """At most what these prompts cost, if each is answered at the first attempt; those that
        were answered before cost nothing."""
        once = {self._name(prompt): prompt for prompt in prompts}
        with self._kept() as kept:
            new = [prompt for name, prompt in once.items() if _usable(kept, name, prompt) is None]
        read = sum(map(_tokens_in, new))
        written = sum(prompt.max_tokens for prompt in new)
        money = self.prices.of(read, written) if self.prices else None
        return Cost(len(new), read, written, money)

    def spent(self) -> Cost:
        """What this endpoint has cost so far, over all runs that share the cache."""
        with self._kept() as kept:
            calls, read, written = kept.totals()
        money = self.prices.of(read, written) if self.prices else None
        return Cost(calls, read, written, money)

    def answer(
        self, prompts: Sequence[Prompt], progress: Progress = lambda done, total: None
    ) -> list[Reply | Failure]:
        """A reply or a failure for each prompt, in their order. Identical prompts are asked once.

        May be called with or without a running event loop; it returns when all are done. Raises
        ``KeyNotAcceptedError`` as soon as the endpoint refuses the key; what was answered until
        then is kept.
        """
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, self._answer(prompts, progress)).result()

    async def _answer(self, prompts: Sequence[Prompt], progress: Progress) -> list[Reply | Failure]:
        from openai import AsyncOpenAI

        waiting = asyncio.Semaphore(self.concurrent)
        names = [self._name(prompt) for prompt in prompts]
        once = dict(zip(names, prompts, strict=True))
        found: dict[str, Reply | Failure] = {}
        async with AsyncOpenAI(
            base_url=self.url, api_key=self.key or "none", max_retries=0, timeout=self.timeout
        ) as client:
            with self._kept() as kept:
                asking = _Asking(self, client, kept)

                async def one(name: str, prompt: Prompt) -> None:
                    async with waiting:
                        found[name] = await asking.answer(name, prompt)
                        progress(len(found), len(once))

                try:
                    async with asyncio.TaskGroup() as group:  # the first to raise ends the others
                        for name, prompt in once.items():
                            group.create_task(one(name, prompt))
                except* KeyNotAcceptedError as refused:
                    raise refused.exceptions[0] from None
        return [found[name] for name in names]

    def _kept(self) -> KeptReplies:
        return KeptReplies(self.cache, self.url, self.model)

    def _name(self, prompt: Prompt) -> str:
        """What a reply is kept under: everything that decides it, and no key."""
        schema = prompt.schema.model_json_schema() if prompt.schema else None
        content = [
            self.url,
            self.model,
            [dict(message) for message in prompt.messages],
            schema,
            prompt.max_tokens,
            prompt.temperature,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()


def open_chat_models(
    prefix: str, cache: Path, environ: Mapping[str, str] = os.environ
) -> list[ChatModel]:
    """The models of ``<prefix>_URL``, ``<prefix>_2_URL`` and so on to 9, each with settings of its
    own, those without a URL left out. Raises ``BadPriceError`` and ``SameModelTwiceError``."""
    prefixes = [prefix, *(f"{prefix}_{number}" for number in range(2, MOST_MODELS + 1))]
    found = {each: open_chat_model(each, cache, environ) for each in prefixes}
    models = {each: model for each, model in found.items() if model is not None}
    known: dict[tuple[str, str], str] = {}
    for each, model in models.items():
        before = known.setdefault((model.url, model.model), each)
        if before != each:
            raise SameModelTwiceError(
                f"{each}_MODEL",
                f"it is the model of {before}_MODEL at the same address",
                "Name another model, or leave it out: one that agrees with itself proves nothing",
            )
    return list(models.values())


def open_chat_model(
    prefix: str, cache: Path, environ: Mapping[str, str] = os.environ
) -> ChatModel | None:
    """The model that ``<prefix>_URL``, ``_MODEL``, ``_KEY``, ``_PRICES`` (read and written, per
    million tokens: ``0.5,1.5``) and ``_BUDGET`` name; None without a URL. Raises
    ``BadPriceError``."""
    url = environ.get(f"{prefix}_URL", "")
    if not url:
        return None
    prices, budget = environ.get(f"{prefix}_PRICES", ""), environ.get(f"{prefix}_BUDGET", "")
    try:
        read, written = map(float, prices.split(",")) if prices else (0.0, 0.0)
        limit = float(budget) if budget else None
        if min(read, written, limit or 0.0) < 0:
            raise ValueError
    except ValueError as error:
        raise BadPriceError(
            f"{prefix}_PRICES or {prefix}_BUDGET",
            "it is not what a price or a budget looks like",
            "Give prices as 0.5,1.5 (per million tokens read and written), a budget as 2.50",
        ) from error
    return ChatModel(
        url=url,
        model=environ.get(f"{prefix}_MODEL") or "default",
        cache=cache,
        key=environ.get(f"{prefix}_KEY", ""),
        prices=Prices(read, written) if prices else None,
        budget=limit,
    )


def raise_if_silent(name: str, failures: Sequence[Failure], asked: int) -> None:
    """Raises ``SilentModelError`` where all that was asked failed for reasons that say nothing
    about the model: it can be asked again later."""
    if not failures or len(failures) < asked:
        return
    if all(failure.kind in ("unreachable", "refused") for failure in failures):
        raise SilentModelError(
            name,
            f"it answered none of {asked} questions: {failures[0].because}",
            "Look at its endpoint and its model's name, then try again",
        )


class _Asking:
    """One batch: calls with retries, replies with reasks, all within the budget."""

    def __init__(self, model: ChatModel, client: Any, kept: KeptReplies) -> None:
        self.model, self.client, self.kept = model, client, kept
        self.reserved = 0.0  # by calls on their way
        _, read, written = kept.totals()
        self.spent = self._price(read, written)

    async def answer(self, name: str, prompt: Prompt) -> Reply | Failure:
        """Ask until the reply is what was asked for; ``name`` is what it is kept under."""
        before = _usable(self.kept, name, prompt)
        if before is not None:
            return before
        asked, because = prompt, ""
        for _ in range(REASKS + 1):
            got = await self._call(name, asked)
            if isinstance(got, Failure):
                return got
            parsed, because = _parsed(prompt.schema, got.text)
            if not because:
                return Reply(got.text, parsed, got.tokens_in, got.tokens_out, False)
            asked = _again(prompt, got.text, because)
        return Failure("unreadable", f"{REASKS + 1} replies were not as asked: {because}")

    async def _call(self, name: str, prompt: Prompt) -> Reply | Failure:
        most = self._price(_tokens_in(prompt), prompt.max_tokens)
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
                wait = min(stated or wait, LONGEST_WAIT)
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
        usable = reply.text.strip() and not _parsed(prompt.schema, reply.text)[1]
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
        read = usage.prompt_tokens if usage else _tokens_in(prompt)
        written = usage.completion_tokens if usage else int(len(text) / PER_TOKEN) + 1
        return Reply(text, None, int(read), int(written), False)

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        prices = self.model.prices
        return prices.of(tokens_in, tokens_out) if prices else float(tokens_in + tokens_out)


def _usable(kept: KeptReplies, name: str, prompt: Prompt) -> Reply | None:
    """The reply that is kept, if it is what is asked for."""
    before = kept.find(name)
    if before is None:
        return None
    text, read, written = before
    parsed, because = _parsed(prompt.schema, text)
    return None if because else Reply(text, parsed, read, written, True)


def _parsed(schema: Any, text: str) -> tuple[Any, str]:
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


def _again(prompt: Prompt, text: str, because: str) -> Prompt:
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


def _backoff(attempt: int) -> float:
    """Doubling, with a quarter of chance so that many callers do not come back at once."""
    longest: float = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
    return longest * (1 - random.random() / 4)


def _tokens_in(prompt: Prompt) -> int:
    text = sum(len(message["content"].encode("utf-8")) for message in prompt.messages)
    schema = len(json.dumps(prompt.schema.model_json_schema())) if prompt.schema else 0
    return int((text + schema) / PER_TOKEN) + PER_MESSAGE * len(prompt.messages)
