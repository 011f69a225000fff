"""Ragas' figures of answers with passages: faithfulness, answer relevancy, context precision and
recall, asked of a chat model of ours.

Ragas writes the prompts and counts the replies; retries, cache, prices and budget are the chat
model's (``resources/chat_model.py``). Its import takes seconds, so it stays inside functions. What
the answers are is not known here.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from math import isnan
from statistics import fmean
from typing import Any

from llmtwin_assets.evaluation.intervals import interval
from resources.chat_model import ChatModel, Failure, Prompt, Reply, raise_if_silent
from resources.embedder import Embed
from resources.errors import LlmTwinError

FAITHFUL, RELEVANT = "faithfulness", "answer relevancy"
PRECISE, COMPLETE = "context precision", "context recall"
TOKENS = 1_024  # of a reply
INSTRUCTIONS = 6_000  # characters that Ragas puts around the texts, at most


class RagasMissingError(LlmTwinError):
    """A setting asks for Ragas, and it is not installed."""


class NoJudgeError(LlmTwinError):
    """A setting asks for Ragas, and there is no model to ask."""


class _UnansweredError(Exception):
    """The chat model gave no reply; ``kind`` is its failure's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.because)
        self.failure = failure


@dataclass(frozen=True)
class Row:
    """A question, the answer, the passages before it, and what the author wrote there."""

    question: str
    answer: str
    passages: Sequence[str]
    reference: str


def check() -> None:
    """Raises ``RagasMissingError``."""
    if find_spec("ragas") is None:
        raise RagasMissingError(
            "LLMTWIN_RAGAS",
            "the package ragas is not installed",
            "Install the extra 'eval' in an environment of its own, or leave the setting out",
        )


def asked(judges: Sequence[ChatModel]) -> list[Any]:
    """What decides Ragas' figures beside the answers: who is asked, and how much it may cost.
    Raises ``RagasMissingError`` and ``NoJudgeError``."""
    check()
    if not judges:
        raise NoJudgeError(
            "LLMTWIN_RAGAS",
            "it asks a judge, and none is set",
            "Set LLMTWIN_JUDGE_URL, or leave this out",
        )
    return [judges[0].url, judges[0].model, judges[0].budget]


def scores(
    rows: Sequence[Row],
    model: ChatModel,
    embed: Embed,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Each figure's mean over the rows that were answered, with a 90 % interval, and how many those
    are; ``unanswered`` by reason; what it was estimated to ``cost`` at most, and cost. Rows without
    an answer or passages are left out.

    Raises ``RagasMissingError``, ``SilentModelError`` where the endpoint answers nothing, and
    ``KeyNotAcceptedError``.
    """
    check()
    chosen = [row for row in rows if row.answer.strip() and row.passages]
    estimate, before = model.estimate(_likely(chosen)), model.spent()
    say(f"Ragas by {model.model}: about {estimate.told()} at most")
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(asyncio.run, _scores(chosen, model, embed)).result()
    failures = [
        each.failure
        for values in found.values()
        for each in values
        if isinstance(each, _UnansweredError)
    ]
    raise_if_silent(model.model, failures, sum(map(len, found.values())))
    kinds = Counter(failure.kind for failure in failures)
    return {
        "by": model.model,
        "answers": len(chosen),
        "scores": {name: _mean(_numbers(values)) for name, values in found.items()},
        "unanswered": dict(sorted(kinds.items())),
        "estimate": vars(estimate),
        "cost": vars(model.spent().since(before)),
    }


async def _scores(
    rows: Sequence[Row], model: ChatModel, embed: Embed
) -> dict[str, list[float | _UnansweredError]]:
    os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")
    from ragas.metrics import collections

    llm, embeddings = _model(_Rounds(model)), _embeddings(embed)
    faithful = collections.Faithfulness(llm=llm)
    # One question instead of three: the same prompt gets the same reply here.
    relevant = collections.AnswerRelevancy(llm=llm, embeddings=embeddings, strictness=1)
    precise = collections.ContextPrecisionWithReference(llm=llm)
    complete = collections.ContextRecall(llm=llm)
    calls = {
        FAITHFUL: [faithful.ascore(r.question, r.answer, list(r.passages)) for r in rows],
        RELEVANT: [relevant.ascore(r.question, r.answer) for r in rows],
        PRECISE: [precise.ascore(r.question, r.reference, list(r.passages)) for r in rows],
        COMPLETE: [complete.ascore(r.question, list(r.passages), r.reference) for r in rows],
    }
    values = await asyncio.gather(*(_value(call) for each in calls.values() for call in each))
    count = len(rows)
    return {name: values[place * count : (place + 1) * count] for place, name in enumerate(calls)}


async def _value(call: Coroutine[Any, Any, Any]) -> float | _UnansweredError:
    try:
        return float((await call).value)
    except _UnansweredError as error:
        return error


class _Rounds:
    """Questions that come while others are being answered wait and go out together, so that the
    chat model sees batches and keeps within its budget."""

    def __init__(self, model: ChatModel) -> None:
        self.model = model
        self.waiting: list[tuple[Prompt, asyncio.Future[Reply | Failure]]] = []
        self.sending: asyncio.Task[None] | None = None

    async def ask(self, prompt: Prompt) -> Reply | Failure:
        """The reply to one of them."""
        reply: asyncio.Future[Reply | Failure] = asyncio.get_running_loop().create_future()
        self.waiting.append((prompt, reply))
        if self.sending is None or self.sending.done():
            self.sending = asyncio.create_task(self._send())
        return await reply

    async def _send(self) -> None:
        while self.waiting:
            await asyncio.sleep(0)  # those that can ask now do
            batch, self.waiting = self.waiting, []
            try:
                replies = await asyncio.to_thread(self.model.answer, [each for each, _ in batch])
            except Exception as error:
                for _, reply in batch:
                    reply.set_exception(error)
            else:
                for (_, reply), found in zip(batch, replies, strict=True):
                    reply.set_result(found)
            await asyncio.sleep(0)  # those that were answered ask on


def _model(rounds: _Rounds) -> Any:
    from ragas.llms.base import InstructorBaseRagasLLM

    class Ours(InstructorBaseRagasLLM):
        """What Ragas asks, asked of our chat model."""

        def generate(self, prompt: str, response_model: Any) -> Any:
            return asyncio.run(self.agenerate(prompt, response_model))

        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            asked = Prompt(({"role": "user", "content": prompt},), response_model, TOKENS)
            reply = await rounds.ask(asked)
            if isinstance(reply, Failure):
                raise _UnansweredError(reply)
            return reply.parsed

    return Ours()


def _embeddings(embed: Embed) -> Any:
    from ragas.embeddings.base import BaseRagasEmbedding

    class Ours(BaseRagasEmbedding):
        """Our embedder, as Ragas calls one."""

        def embed_text(self, text: str, **_: Any) -> list[float]:
            return [float(each) for each in embed([text])[0]]

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            return self.embed_text(text)

    return Ours()


def _likely(rows: Sequence[Row]) -> list[Prompt]:
    """As many prompts as Ragas may ask, each as long as the longest; what it asks later depends on
    what it was told before."""
    return [
        Prompt(
            ({"role": "user", "content": f"{place} {number}".ljust(INSTRUCTIONS + _length(row))},),
            max_tokens=TOKENS,
        )
        for place, row in enumerate(rows)
        for number in range(len(row.passages) + 4)
    ]


def _length(row: Row) -> int:
    texts = (row.question, row.answer, row.reference, *row.passages)
    return sum(len(text.encode("utf-8")) for text in texts)


def _numbers(values: Sequence[Any]) -> list[float]:
    return [each for each in values if isinstance(each, float) and not isnan(each)]


def _mean(values: Sequence[float]) -> dict[str, Any] | None:
    """None where nothing was answered; one answer has no interval."""
    if not values:
        return None
    mean, count = fmean(values), len(values)
    low, high = 0.0, 1.0
    if count > 1:
        found = interval(mean, [(mean * count - value) / (count - 1) for value in values])
        low, high = max(found.low, 0.0), min(found.high, 1.0)
    return {"value": round(mean, 3), "low": round(low, 3), "high": round(high, 3), "answers": count}
