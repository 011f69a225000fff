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
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from resources.chat_calls import Asking, KeyNotAcceptedError
from resources.chat_prompts import Failure, Prompt, Reply, kept_reply, tokens_in
from resources.chat_replies import KeptReplies
from resources.errors import LlmTwinError

__all__ = ["ChatModel", "Failure", "KeyNotAcceptedError", "Prompt", "Reply"]

ATTEMPTS = 6  # of one call that fails on the way
TIMEOUT = 120.0  # seconds for one call
CONCURRENT = 8
MILLION = 1_000_000
MOST_MODELS = 9  # that one purpose may have

Wait = Callable[[float], Awaitable[None]]
Progress = Callable[[int, int], None]


class BadPriceError(LlmTwinError):
    """Prices or a budget that are no numbers."""


class SameModelTwiceError(LlmTwinError):
    """Two settings that name one model."""


class SilentModelError(LlmTwinError):
    """A model that gave no reply at all because its endpoint did not."""


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

    def figures(self, whose: str) -> dict[str, float]:
        """As figures that a person reads: what ``whose`` work has cost so far."""
        found: dict[str, float] = {"calls": self.calls, "tokens": self.tokens_in + self.tokens_out}
        if self.money is not None:
            found["cost"] = round(self.money, 4)
        return {f"{whose}: {name} so far": value for name, value in found.items()}


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
            new = [each for name, each in once.items() if not kept_reply(kept, name, each)]
        read = sum(map(tokens_in, new))
        written = sum(prompt.max_tokens for prompt in new)
        money = self.prices.of(read, written) if self.prices else None
        return Cost(len(new), read, written, money)

    def known(self, prompts: Sequence[Prompt]) -> list[Reply | None]:
        """The replies that are kept, for each prompt; None for what was not answered before."""
        with self._kept() as kept:
            return [kept_reply(kept, self._name(prompt), prompt) for prompt in prompts]

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
                asking = Asking(self, client, kept)

                async def one(name: str, prompt: Prompt) -> None:
                    async with waiting:
                        found[name] = await asking.answer(name, prompt)
                        progress(len(found), len(once))

                try:
                    async with asyncio.TaskGroup() as group:  # the first to raise ends the others
                        for name, prompt in once.items():
                            group.create_task(one(name, prompt))
                except ExceptionGroup as ended:
                    refused = ended.subgroup(KeyNotAcceptedError)
                    raise (refused.exceptions[0] if refused else ended) from None
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
