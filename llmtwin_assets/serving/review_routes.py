"""The routes of the review page: which authors have pairs, an author's pairs, and decisions about
them. What a decision is worth is decided in ``datasets``; nothing is made of it here."""

import threading
from collections import Counter, OrderedDict
from itertools import dropwhile, islice
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from llmtwin_assets.datasets import review, reviewing
from llmtwin_assets.serving.authors_routes import ONE, Permitted
from llmtwin_assets.serving.service import Service, beside
from llmtwin_assets.serving.twins import Twin
from llmtwin_assets.serving.wire import DecisionRequest

KEPT = 4  # data sets that stay open; a large one takes seconds to sort by topics
MOST = 200  # pairs in a reply

Values = Annotated[list[str], Query(max_length=50)]


class Opened:
    """The data sets that were read last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, str], reviewing.Pairs] = OrderedDict()
        self._lock = threading.Lock()

    def pairs(self, twin: Twin) -> reviewing.Pairs:
        """What there is to review of an author; raises ``ApiError`` (404)."""
        data, documents = twin.data_set()
        key = (twin.author, data.digest, documents.digest)
        found = self._kept.get(key) or reviewing.open_pairs(data, documents)
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


def add_review_routes(app: FastAPI, service: Service) -> None:
    """``GET /v1/datasets`` and everything below ``/v1/authors/{author}/pairs``."""
    opened, store = Opened(), service.interactions

    @app.get("/v1/datasets")
    async def datasets(request: Request) -> dict[str, Any]:
        """The authors whose pairs the caller may review."""
        listed = await beside(service.twins.learning, request.state.caller)
        return {"data": [{"author": twin.author, "name": twin.name} for twin in listed]}

    @app.get(ONE + "/pairs")
    async def pairs(
        twin: Permitted,
        kind: Values = [],  # noqa: B006 -- FastAPI copies it
        topic: Values = [],  # noqa: B006
        status: Values = [],  # noqa: B006
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    ) -> dict[str, Any]:
        """Pairs of these kinds, topics and statuses, in the order of the documents: the first ones,
        or those that come after a pair."""
        wanted = {"kind": kind, "topic": topic, "status": status}
        return await beside(_listed, twin, wanted, after, limit)

    def _listed(twin: Twin, wanted: dict[str, list[str]], after: str, limit: int) -> dict[str, Any]:
        found, made = opened.pairs(twin), store.decisions(twin.author)
        chosen = reviewing.selected(found, made, wanted)
        rest = chosen
        if after:
            passed = {pair.id for pair in _until(found, after)}
            rest = list(dropwhile(lambda pair: pair.id in passed, chosen))
        return {
            "author": twin.author,
            "name": twin.name,
            "version": found.version,
            "progress": found.progress(made),
            "elsewhere": found.elsewhere(made),
            "kinds": dict(sorted(Counter(pair.row.kind for pair in found.all).items())),
            "topics": dict(sorted(Counter(p.topic for p in found.all if p.topic).items())),
            "found": len(chosen),
            "pairs": [reviewing.shown(pair, made) for pair in islice(rest, limit)],
            "more": len(rest) > limit,
        }

    @app.post(ONE + "/pairs/{pair_id}/decisions")
    async def decide(
        request: Request, twin: Permitted, pair_id: str, body: DecisionRequest
    ) -> Response:
        """Decide about a pair. Every decision is kept; the last one holds."""
        told = await beside(_decided, twin, pair_id, body, request.state.caller.id)
        return JSONResponse(told, status_code=201)

    def _decided(twin: Twin, pair_id: str, body: DecisionRequest, by: str) -> dict[str, Any]:
        found, made = opened.pairs(twin), store.decisions(twin.author)
        pair = found.one(pair_id)
        instruction = ""
        if body.verdict == review.EDITED:
            instruction = found.checked(pair, body.instruction, made)
        reason = service.monitor.masked(body.reason)
        store.add_decision(
            reviewing.decision(twin.author, pair, body.verdict, by, instruction, reason)
        )
        made = store.decisions(twin.author)
        return {"pair": reviewing.shown(pair, made), "progress": found.progress(made)}


def _until(pairs: reviewing.Pairs, last: str) -> list[reviewing.Pair]:
    """All pairs up to one, with it; none when there is no such pair."""
    ids = [pair.id for pair in pairs.all]
    return list(pairs.all[: ids.index(last) + 1]) if last in ids else []
