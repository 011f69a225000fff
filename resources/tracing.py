"""Where traces go: the store beside the documents, or Opik when it is configured.

Knows the form of a trace (see ``llmtwin_assets/serving/monitor.py``) and nothing of who makes it.

Opik is spoken to by its REST API. Its own client is not used: it brings 400 MB and litellm, whose
bounds exclude the huggingface_hub and filelock this project runs on, and sends error reports and
usage statistics to third parties by default. When traces go to Opik, the store keeps of each what
feedback and the page need (question, answer, chunk ids, version), and only Opik has the spans.
"""

import hashlib
import itertools
import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from resources.errors import LlmTwinError
from resources.interactions import Interactions, open_interactions

if TYPE_CHECKING:
    import httpx

CLOUD = "https://www.comet.com/opik/api"
PROJECT = "llm-twin"
TIMEOUT = 5.0  # seconds that a request to Opik may take
WAITS = (0.5, 2.0)  # seconds before the second and the third attempt
LONGEST_WAIT = 10.0  # seconds, whatever Opik asks for
REST = 30.0  # seconds that Opik is left alone after it failed
PAGE = 500  # traces per page of a search; a deletion takes at most 1,000 ids


class OpikUnavailableError(LlmTwinError):
    """Opik does not answer, or refuses."""


class RefusedByOpikError(LlmTwinError):
    """Opik does not take this one trace."""


class BadOpikUrlError(LlmTwinError):
    """``OPIK_URL_OVERRIDE`` is no address of a web server."""


class TraceSink(Protocol):
    """Where traces go. Calls may wait and may raise; whoever calls decides what that costs."""

    def write(self, trace: Mapping[str, Any]) -> None:
        """Deliver one trace; one that was delivered already changes nothing."""

    def erase(self, author: str) -> int:
        """Remove every trace of an author, and the feedback. Returns how many records went."""


class LocalTraces:
    """Traces in the store beside the documents."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    def write(self, trace: Mapping[str, Any]) -> None:
        """Store one trace. Raises ``StoreUnavailableError``."""
        self._interactions.add_trace(trace)

    def erase(self, author: str) -> int:
        """Remove an author's traces and feedback. Raises ``StoreUnavailableError``."""
        return self._interactions.erase(author)


class OpikTraces:
    """Traces with their spans in a project of an Opik server at ``url``; records without spans in
    the store beside the documents."""

    def __init__(
        self,
        interactions: Interactions,
        url: str,
        key: str | None,
        workspace: str,
        project: str,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise BadOpikUrlError(
                "OPIK_URL_OVERRIDE",
                "it is not the address of a web server",
                "Give one such as http://localhost:5173/api",
            )
        self._interactions = interactions
        self._url = url.rstrip("/") + "/v1/private/"
        self._headers = {"Comet-Workspace": workspace} | ({"Authorization": key} if key else {})
        self._project = project
        self._wait = wait
        self._resting_until = 0.0

    def write(self, trace: Mapping[str, Any]) -> None:
        """Keep the record, then send the trace and its spans. Opik keys both by id, so a second
        delivery replaces the first. Raises ``StoreUnavailableError``, ``RefusedByOpikError``, and
        ``OpikUnavailableError`` (at once while Opik is left alone)."""
        self._interactions.add_trace({**trace, "spans": []})
        if time.monotonic() < self._resting_until:
            raise self._unavailable("it failed a moment ago")
        try:
            self._ask("POST", "traces/batch", json={"traces": [_trace(trace, self._project)]})
            if spans := _spans(trace, self._project):
                self._ask("POST", "spans/batch", json={"spans": spans})
        except OpikUnavailableError:
            self._resting_until = time.monotonic() + REST
            raise

    def erase(self, author: str) -> int:
        """Remove an author's traces from Opik (which removes their spans and scores) and from the
        store. Raises ``OpikUnavailableError`` before anything in the store is removed."""
        ids = self._ids(author)
        for first in range(0, len(ids), PAGE):
            self._ask("POST", "traces/delete", json={"ids": ids[first : first + PAGE]})
        return len(ids) + self._interactions.erase(author)

    def _ids(self, author: str) -> list[str]:
        """Ids of all the author's traces in Opik."""
        where = {"field": "metadata", "key": "author", "operator": "=", "value": author}
        query = {
            "project_name": self._project,
            "filters": json.dumps([{**where, "type": "dictionary"}]),
            "truncate": True,
            "size": PAGE,
        }
        ids: list[str] = []
        for page in itertools.count(1):
            reply = self._ask("GET", "traces", known=(404,), params={**query, "page": page})
            found = reply.json().get("content", []) if reply.is_success else []  # no such project
            # Opik compares without regard to case, so what it found is looked at again.
            ids += [trace["id"] for trace in found if trace["metadata"].get("author") == author]
            if len(found) < PAGE:
                break
        return ids

    def _ask(
        self, method: str, path: str, known: Collection[int] = (), **kwargs: Any
    ) -> "httpx.Response":
        """The reply to a request that succeeded, or has a ``known`` status."""
        import httpx

        for wait in (*WAITS, None):
            try:
                reply = self._client.request(method, self._url + path, **kwargs)
            except httpx.TimeoutException:
                problem = f"it does not answer within {TIMEOUT:.0f} seconds"
                break  # whoever waits behind this trace has waited enough
            except httpx.HTTPError as error:
                problem, asked = f"it does not answer ({type(error).__name__})", 0.0
            else:
                status = reply.status_code
                if reply.is_success or status in known:
                    return reply
                problem, asked = f"it answered {status} to {method} {path}", _asked(reply.headers)
                if status in (400, 409, 413, 422):
                    raise self._refused(problem)
                if status != 429 and status < 500:
                    break
            if wait is None or asked > LONGEST_WAIT:
                break
            self._wait(max(wait, asked))
        raise self._unavailable(problem)

    @cached_property
    def _client(self) -> "httpx.Client":
        import httpx

        return httpx.Client(headers=self._headers, timeout=TIMEOUT)

    def _refused(self, problem: str) -> RefusedByOpikError:
        return RefusedByOpikError(
            "a trace",
            f"{self._host} does not take it: {problem}",
            "Its question, answer and feedback are kept; only its spans are lost",
        )

    def _unavailable(self, problem: str) -> OpikUnavailableError:
        return OpikUnavailableError(
            self._host,
            problem,
            "Check OPIK_URL_OVERRIDE, OPIK_API_KEY and OPIK_WORKSPACE, or unset them to keep "
            "traces in the local store",
        )

    @property
    def _host(self) -> str:
        return f"Opik at {urlsplit(self._url).hostname}"


def open_tracing(documents_url: str, environ: Mapping[str, str]) -> TraceSink:
    """Where this deployment's traces go: Opik when ``OPIK_API_KEY`` or ``OPIK_URL_OVERRIDE`` is
    set (with ``OPIK_WORKSPACE`` and ``OPIK_PROJECT_NAME``), otherwise the store beside the
    documents. Nothing is contacted. Raises ``UnknownSchemeError`` and ``BadOpikUrlError``."""
    interactions = open_interactions(documents_url)
    key, url = environ.get("OPIK_API_KEY"), environ.get("OPIK_URL_OVERRIDE")
    if not (key or url):
        return LocalTraces(interactions)
    return OpikTraces(
        interactions,
        url or CLOUD,
        key,
        environ.get("OPIK_WORKSPACE") or "default",
        environ.get("OPIK_PROJECT_NAME") or PROJECT,
    )


def _asked(headers: Mapping[str, str]) -> float:
    """Seconds that a refusing server wants to be left alone; 0 when it does not say."""
    for name in ("retry-after", "ratelimit-reset"):
        try:
            return max(float(headers[name]), 0.0)
        except (KeyError, ValueError):
            continue
    return 0.0


def _trace(trace: Mapping[str, Any], project: str) -> dict[str, Any]:
    """A trace in Opik's form (``Trace_Write`` of its API)."""
    texts = ("id", "started", "seconds", "question", "answer", "spans")
    body = {
        "id": trace["id"],
        "project_name": project,
        "name": f"{trace['variant']} of {trace['author']}",
        "start_time": _time(trace["started"]),
        "end_time": _time(trace["started"], trace["seconds"]),
        "input": {"question": trace["question"]},
        "output": {"answer": trace["answer"]},
        "metadata": {name: value for name, value in trace.items() if name not in texts},
        "tags": [trace["author"], trace["variant"], trace["outcome"]],
        "source": "sdk",
    }
    if trace["outcome"] == "failed":
        error = str(trace.get("attributes", {}).get("error", "failed"))
        body["error_info"] = {"exception_type": error, "traceback": ""}
    return body


def _spans(trace: Mapping[str, Any], project: str) -> list[dict[str, Any]]:
    """The spans of a trace in Opik's form (``Span_Write``); what counts tokens is a model's."""
    return [
        {
            "id": _span_id(trace["id"], number),
            "trace_id": trace["id"],
            "project_name": project,
            "name": span["name"],
            "type": "llm" if "tokens_out" in span["attributes"] else "general",
            "start_time": _time(trace["started"], span["start"]),
            "end_time": _time(trace["started"], span["start"] + span["seconds"]),
            "metadata": span["attributes"],
            "source": "sdk",
            **_usage(span["attributes"]),
        }
        for number, span in enumerate(trace["spans"])
    ]


def _usage(attributes: Mapping[str, Any]) -> dict[str, Any]:
    if "tokens_out" not in attributes:
        return {}
    read, written = int(attributes.get("tokens_in") or 0), int(attributes["tokens_out"] or 0)
    usage = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    return {"model": attributes.get("model"), "usage": usage}


def _span_id(trace_id: str, number: int) -> str:
    """A UUID of version 7, which is what Opik takes: the trace's time, and digits that depend on
    the trace and the span alone, so that a second delivery is recognised."""
    digest = hashlib.sha256(f"{trace_id}/{number}".encode()).digest()
    value = bytearray(uuid.UUID(trace_id).bytes[:6] + digest[:10])
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(value)))


def _time(started: str, seconds: float = 0.0) -> str:
    """An instant as Opik reads it: ISO, ending in Z."""
    moment = datetime.fromisoformat(started).astimezone(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
