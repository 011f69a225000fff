"""A Qdrant server for tests: the client's own local mode behind the server's HTTP routes, with the
client's own request and response models, as a process of its own on loopback.

It is no Qdrant (it scans, and keeps everything in memory), but what it accepts and answers is what
the client's models say, so an adapter that sends what a server would refuse is refused here too.
Where ``QDRANT_URL`` names a real server, tests use that one instead.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

SECONDS = 60  # to start on a busy machine


@contextmanager
def running(key: str = "") -> Iterator[str]:
    """A server; gives its address. With a ``key`` it refuses callers without it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", __name__, str(port), key]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(url, trust_env=False)
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    _, errors = process.communicate()
    raise AssertionError(errors.decode())


def build_app(key: str = "") -> Any:
    """The routes the adapter uses."""
    from fastapi import FastAPI, Request
    from pydantic import TypeAdapter
    from qdrant_client import QdrantClient, models
    from starlette.responses import JSONResponse

    client = QdrantClient(":memory:", force_disable_check_same_thread=True)
    one_at_a_time = threading.Lock()
    app = FastAPI()

    def reply(work: Callable[[], Any]) -> JSONResponse:
        with one_at_a_time:
            try:
                result = work()
            except ValueError as error:
                status = 404 if "not found" in str(error) else 400
                return JSONResponse({"status": {"error": str(error)}, "time": 0.0}, status)
        plain = TypeAdapter(Any).dump_python(result, mode="json")
        return JSONResponse({"result": plain, "status": "ok", "time": 0.0})

    @app.middleware("http")
    async def guarded(request: Request, call_next: Any) -> Any:
        if key and request.headers.get("api-key") != key:
            return JSONResponse({"status": {"error": "Unauthorized"}}, 401)
        return await call_next(request)

    @app.get("/")
    def root() -> dict[str, str]:
        return {"title": "local mode over HTTP", "version": "1.20.0"}

    @app.get("/collections")
    def collections() -> JSONResponse:
        return reply(client.get_collections)

    @app.get("/aliases")
    def aliases() -> JSONResponse:
        return reply(client.get_aliases)

    @app.post("/collections/aliases")
    def change(body: models.ChangeAliasesOperation) -> JSONResponse:
        return reply(lambda: client.update_collection_aliases(body.actions))

    @app.get("/collections/{name}")
    def collection(name: str) -> JSONResponse:
        return reply(lambda: client.get_collection(name))

    @app.put("/collections/{name}")
    def create(name: str, body: models.CreateCollection) -> JSONResponse:
        return reply(
            lambda: client.create_collection(
                name, vectors_config=body.vectors, sparse_vectors_config=body.sparse_vectors
            )
        )

    @app.delete("/collections/{name}")
    def drop(name: str) -> JSONResponse:
        return reply(lambda: client.delete_collection(name))

    @app.put("/collections/{name}/index")
    def payload_index(name: str, body: models.CreateFieldIndex) -> JSONResponse:
        return reply(lambda: client.create_payload_index(name, body.field_name, body.field_schema))

    @app.put("/collections/{name}/points")
    def upsert(name: str, body: models.PointsList) -> JSONResponse:
        return reply(lambda: client.upsert(name, body.points))

    @app.post("/collections/{name}/points/delete")
    def delete(name: str, body: models.PointIdsList) -> JSONResponse:
        return reply(lambda: client.delete(name, body))

    @app.post("/collections/{name}/points/count")
    def count(name: str, body: models.CountRequest) -> JSONResponse:
        return reply(lambda: client.count(name, body.filter, exact=bool(body.exact)))

    @app.post("/collections/{name}/points/scroll")
    def scroll(name: str, body: models.ScrollRequest) -> JSONResponse:
        def work() -> models.ScrollResult:
            points, offset = client.scroll(
                name, body.filter, body.limit or 10, offset=body.offset,
                with_payload=body.with_payload or False, with_vectors=body.with_vector or False,
            )  # fmt: skip
            return models.ScrollResult(points=points, next_page_offset=offset)

        return reply(work)

    @app.post("/collections/{name}/points/query/batch")
    def query(name: str, body: models.QueryRequestBatch) -> JSONResponse:
        return reply(lambda: client.query_batch_points(name, body.searches))

    return app


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(build_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
