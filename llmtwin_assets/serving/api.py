"""The API: the pages, chat completions with sources, and what there is to know of each author.

It puts the parts together; what they do stands in their own modules. Language models are known by
a URL only.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from llmtwin_assets.serving.authors_routes import add_author_routes, add_model_routes
from llmtwin_assets.serving.chat import add_chat_routes, refusal
from llmtwin_assets.serving.engine_client import EngineClient
from llmtwin_assets.serving.guard import Guard
from llmtwin_assets.serving.keys import Caller, Keys
from llmtwin_assets.serving.metrics import Counting, Metrics
from llmtwin_assets.serving.monitor import Monitor
from llmtwin_assets.serving.rates import Rate
from llmtwin_assets.serving.refusals import ApiError, body
from llmtwin_assets.serving.retriever import open_retriever
from llmtwin_assets.serving.review_routes import add_review_routes
from llmtwin_assets.serving.service import Service, beside
from llmtwin_assets.serving.twins import Twins
from llmtwin_assets.settings import Settings
from resources.artifacts import open_artifacts
from resources.errors import LlmTwinError
from resources.interactions import open_interactions

PAGE = Path(__file__).parent / "page"
ASSETS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
EVERYBODY = Caller("the probe")
FIELD = re.compile(r"\w+")  # a field's name or a place in a list; not the inside of a type


def create_api(
    settings: Settings,
    engine_url: str,
    engine_key: str | None = None,
    *,
    monitor: Monitor | None = None,
    rate: Rate | None = None,
) -> FastAPI:
    """The API over the stores that ``settings`` name and the engine at ``engine_url``.

    Without a ``monitor`` traces go where ``open_tracing`` says. Run it with one worker process per
    copy of the embedding model that memory has room for.
    """
    service = _service(settings, engine_url, engine_key, monitor)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.warm = asyncio.create_task(service.retriever.warm())
        try:
            yield
        finally:
            app.state.warm.cancel()
            service.retriever.close()
            await service.engine.close()
            await beside(service.monitor.close)

    app = FastAPI(
        title="LLM Twin", docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, lifespan=lifespan,
    )  # fmt: skip
    app.state.service = service
    for add in (
        _add_open_routes,
        _add_metrics,
        add_model_routes,
        add_chat_routes,
        add_author_routes,
        add_review_routes,
    ):
        add(app, service)
    _handle_errors(app)
    app.add_middleware(Guard, keys=Keys(settings.keys_file), rate=rate or Rate())
    app.add_middleware(Counting, metrics=service.metrics)
    return app


def _service(
    settings: Settings, engine_url: str, engine_key: str | None, monitor: Monitor | None
) -> Service:
    if monitor is None:
        from resources.tracing import open_tracing

        monitor = Monitor(open_tracing(settings.interactions_url, os.environ), settings.sample)
    return Service(
        twins=Twins(settings),
        engine=EngineClient(engine_url, engine_key),
        retriever=open_retriever(settings, open_artifacts(settings.artifacts_url)),
        monitor=monitor,
        interactions=open_interactions(settings.interactions_url),
        metrics=Metrics(),
    )


def _add_open_routes(app: FastAPI, service: Service) -> None:
    """What needs no key: the pages and the probes."""

    @app.get("/")
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    @app.get("/review")
    async def review() -> Response:
        return FileResponse(PAGE / "review.html", media_type="text/html")

    @app.get("/assets/{name}")
    async def asset(name: str) -> Response:
        kind = ASSETS.get(Path(name).suffix)
        if kind is None or name not in await beside(os.listdir, PAGE):
            raise HTTPException(404)
        return FileResponse(PAGE / name, media_type=kind)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    seen: dict[str, Any] = {"at": float("-inf")}

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        """Whether questions can be answered: the engine answers, the search is loaded, and there is
        a twin. Looked at once a second, however often it is asked."""
        if time.monotonic() - seen["at"] > 1:
            seen.update(state=await _state(request.app), at=time.monotonic())
        return JSONResponse(seen["state"], status_code=200 if seen["state"]["ready"] else 503)

    async def _state(app: FastAPI) -> dict[str, Any]:
        try:
            await service.engine.models()
            engine = "ok"
        except LlmTwinError:
            engine = "down"
        twins = len(await beside(service.twins.serving, EVERYBODY))
        warm: asyncio.Task[None] = app.state.warm
        searchable = warm.done() and not warm.cancelled() and warm.exception() is None
        ready = engine == "ok" and twins > 0 and searchable
        return {"ready": ready, "engine": engine, "twins": twins}


def _add_metrics(app: FastAPI, service: Service) -> None:
    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """For Prometheus; wants a key for all authors."""
        if request.state.caller.author is not None:
            raise ApiError(
                403, "one_author_only", "this key", "it is for one author", "Use a key for all"
            )
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _handle_errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape."""

    async def malformed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return JSONResponse(body(422, "malformed", _mistake(error.errors())), status_code=422)

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 400:
            return JSONResponse(body(422, "malformed", "the body is not JSON"), status_code=422)
        told = {404: "there is no such address", 405: "not by this method"}
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "error")
        message = told.get(error.status_code, "refused")
        return JSONResponse(
            body(error.status_code, code, message), error.status_code, dict(error.headers or {})
        )

    async def ours(request: Request, error: Exception) -> Response:
        return refusal(error)

    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(LlmTwinError, ours)


def _mistake(errors: Any) -> str:
    """The first mistake: which field, and what is wrong; never what was sent."""
    first = errors[0]
    parts = [str(part) for part in first["loc"][1:]]
    place = ".".join(part for part in parts if FIELD.fullmatch(part) and part != "str")
    if first["type"] == "json_invalid":
        return "the body is not JSON"
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
