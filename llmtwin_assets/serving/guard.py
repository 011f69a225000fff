"""The door of the service, before any route: host names, keys, rates, sizes, headers. Pure ASGI.

Every path needs a key once there is one, except those listed in ``PUBLIC``; a route that is added
later is behind the door without doing anything. Whose twin a key opens is decided in ``twins``.
"""

import asyncio
import ipaddress
import json
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from llmtwin_assets.serving.keys import Caller, Keys
from llmtwin_assets.serving.language_models import EngineBusyError
from llmtwin_assets.serving.rates import Buckets, Rate
from llmtwin_assets.serving.refusals import ApiError, as_reply
from resources.errors import LlmTwinError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PUBLIC = frozenset({"/", "/review", "/healthz", "/readyz"})
PUBLIC_BELOW = "/assets/"
LARGEST_BODY = 256 * 1024  # bytes
BODY_PATIENCE = 30.0  # seconds that a body may take to arrive
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::\d{1,5})?")
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class PublicWithoutKeyError(LlmTwinError):
    """An address that others can reach, without a key that keeps them out."""


class Guard:
    """ASGI middleware: lets a request in with ``scope["state"]["caller"]`` set, or refuses it."""

    def __init__(
        self, app: App, keys: Keys, rate: Rate, body_patience: float = BODY_PATIENCE
    ) -> None:
        self._app, self._keys, self._buckets = app, keys, Buckets(rate)
        self._body_patience = body_patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        send = with_headers(send, is_public(scope["path"]))
        try:
            scope.setdefault("state", {})["caller"] = self._admitted(scope)
            receive = await self._whole_body(scope, receive)
        except (LlmTwinError, OSError) as error:
            return await refuse(send, error)
        await answered(self._app, scope, receive, send)

    def _admitted(self, scope: Scope) -> Caller:
        """Who asks; raises ``ApiError`` when they may not."""
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        address = str((scope.get("client") or ("unknown",))[0])
        locked = bool(self._keys.all())
        if not locked and not is_loopback(host_name(headers.get("host", b"").decode("latin-1"))):
            raise ApiError(
                403, "host_not_allowed", "this host name", "it is not this machine's own",
                "Ask at 127.0.0.1, or make a key with 'llmtwin key create'",
            )  # fmt: skip
        if is_public(scope["path"]):
            return Caller(address, author="")
        caller: Caller | None = Caller(address)
        if locked:
            scheme, _, token = headers.get("authorization", b"").decode("latin-1").partition(" ")
            caller = self._keys.caller(token.strip()) if scheme.lower() == "bearer" else None
        wait = self._buckets.take(caller.id if caller else address)
        if wait:
            raise ApiError(
                429, "rate_limited", "this caller", "too many requests",
                f"Try again in {math.ceil(wait)} seconds", wait=math.ceil(wait),
            )  # fmt: skip
        if caller is None:
            raise ApiError(
                401, "invalid_api_key", "this request", "it needs a key of this service",
                "Send 'Authorization: Bearer KEY'",
            )  # fmt: skip
        return caller

    async def _whole_body(self, scope: Scope, receive: Receive) -> Receive:
        """A ``receive`` that has the body already, JSON by its header and not too large."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS", "DELETE"):
            return receive
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise ApiError(
                415, "not_json", "this request", "its content type is not application/json",
                "Send JSON and say so",
            )  # fmt: skip
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > LARGEST_BODY:
            raise _too_large()
        try:
            async with asyncio.timeout(self._body_patience):
                body = await _read_body(receive)
        except TimeoutError as error:
            raise ApiError(
                408, "too_slow", "this request", "its body did not arrive in time", "Try again"
            ) from error
        return replaying(body, receive)


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            raise _too_large()
    return body


def replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives ``body`` first and then whatever comes."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def answered(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the app reply; what it fails with becomes a plain reply, never a server's stack trace."""
    begun = False

    async def noting(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        await app(scope, receive, noting)
    except Exception as error:
        if begun:
            as_reply(error)  # for the log; the connection is cut, which the client sees
        else:
            await refuse(send, error)


def with_headers(send: Send, public: bool) -> Send:
    """A ``send`` whose replies carry the security headers, unless they have stricter ones."""
    added = HEADERS | {"cache-control": "no-cache" if public else "no-store"}

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            message["headers"] = [
                *message.get("headers", ()),
                *((k.encode(), v.encode()) for k, v in added.items() if k.encode() not in there),
            ]
        await send(message)

    return send_guarded


async def refuse(send: Send, error: Exception) -> None:
    """Send an error as the whole reply."""
    status, reply = as_reply(error)
    content = json.dumps(reply).encode("utf-8")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    headers += [(name.encode(), value.encode()) for name, value in extra_headers(error).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def extra_headers(error: Exception) -> dict[str, str]:
    """Headers that belong to a refusal: when to try again, or that a key is wanted."""
    if isinstance(error, ApiError) and error.wait:
        return {"retry-after": str(error.wait)}
    if isinstance(error, ApiError) and error.status == 401:
        return {"www-authenticate": "Bearer"}
    if isinstance(error, EngineBusyError):
        return {"retry-after": "2"}
    return {}


def is_public(path: str) -> bool:
    """Whether a path needs no key: the pages and the probes."""
    return path in PUBLIC or path.startswith(PUBLIC_BELOW)


def host_name(header: str) -> str:
    """The name of a Host header, without the port; empty when it is none."""
    found = HOST.fullmatch(header.strip())
    return found[1].strip("[]") if found else ""


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine and no other."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_public_bind(host: str, keys: Keys) -> None:
    """Raises ``PublicWithoutKeyError`` when others could reach ``host`` and nothing keeps them
    out."""
    if not is_loopback(host) and not keys.all():
        raise PublicWithoutKeyError(
            f"address {host}",
            "others can reach it, and there is no key yet",
            "Make one with 'llmtwin key create', or use 127.0.0.1",
        )


def _too_large() -> ApiError:
    return ApiError(
        413, "body_too_large", "this request", f"its body is over {LARGEST_BODY // 1024} KiB",
        "Send less",
    )  # fmt: skip
