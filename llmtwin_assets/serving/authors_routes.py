"""The routes of one author (card, report, documents, traces, feedback) and the list of models."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from llmtwin_assets.serving.refusals import ApiError
from llmtwin_assets.serving.service import Service, beside
from llmtwin_assets.serving.twins import Twin
from llmtwin_assets.serving.wire import BASE_SUFFIX, FeedbackRequest
from resources.interactions import UnknownTraceError

# A report is our own HTML with an author's text in it: it may show pictures and styles, no more.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

TRACE_PATIENCE = 0.5  # seconds
ONE = "/v1/authors/{author}"


def add_model_routes(app: FastAPI, service: Service) -> None:
    """``GET /v1/models``."""

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """The twins that the caller may ask, each also with the base model in its place."""
        listed: list[dict[str, Any]] = []
        for twin, endpoint in await beside(service.twins.serving, request.state.caller):
            entry = {
                "object": "model", "created": int(endpoint.made.timestamp()),
                "owned_by": "llm-twin", "name": twin.name, "version": endpoint.version,
            }  # fmt: skip
            listed.append({"id": twin.author, **entry})
            listed.append({"id": twin.author + BASE_SUFFIX, **entry, "version": None})
        return {"object": "list", "data": listed}


async def permitted(request: Request, author: str) -> Twin:
    """The author of a path; raises ``ApiError`` when the caller may not see them."""
    service: Service = request.app.state.service
    return await beside(service.twins.open, request.state.caller, author)


Permitted = Annotated[Twin, Depends(permitted)]  # the argument of a route below ``ONE``


def add_author_routes(app: FastAPI, service: Service) -> None:
    """Everything below ``/v1/authors/{author}``."""

    @app.get(ONE)
    async def card(twin: Permitted) -> dict[str, Any]:
        """The author, the version that serves, and what its report says."""
        return await beside(twin.card)

    @app.get(ONE + "/report")
    async def report(twin: Permitted) -> Response:
        """The evaluation report as a page that can run nothing."""
        headers = {"content-security-policy": REPORT_POLICY}
        return HTMLResponse(await beside(twin.report), headers=headers)

    @app.get(ONE + "/documents/{document_id}")
    async def document(twin: Permitted, document_id: str) -> dict[str, Any]:
        """A document, for reading a passage where it stands."""
        return await beside(twin.document, document_id)

    @app.post(ONE + "/feedback")
    async def feedback(twin: Permitted, body: FeedbackRequest) -> Response:
        """What a reader thought of an answer."""
        better = service.monitor.masked(body.better)
        given = (twin.author, body.trace_id, body.rating, better)
        until = time.monotonic() + TRACE_PATIENCE
        while True:
            try:
                made = await beside(service.interactions.add_feedback, *given)
            except UnknownTraceError:
                # The answer's trace is written in the background, perhaps at this moment.
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(TRACE_PATIENCE / 5)
            else:
                return JSONResponse({"id": made}, status_code=201)

    @app.get(ONE + "/traces")
    async def traces(
        twin: Permitted, limit: Annotated[int, Query(ge=1, le=200)] = 20
    ) -> dict[str, Any]:
        """The newest requests, newest first."""
        return {"traces": await beside(service.interactions.traces, twin.author, limit)}

    @app.get(ONE + "/traces/{trace_id}")
    async def trace(twin: Permitted, trace_id: str) -> dict[str, Any]:
        """One request with its steps."""
        found = await beside(service.interactions.trace, twin.author, trace_id)
        if found is None:
            raise ApiError(
                404, "trace_not_found", "trace", "this author has none of this id",
                "Use the trace id that came with an answer",
            )  # fmt: skip
        return dict(found)
