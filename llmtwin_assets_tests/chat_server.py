"""An OpenAI-compatible endpoint on loopback, with faults on demand: 429 with Retry-After, 500, 422,
401, a connection that ends, JSON cut short, an empty reply, one without a message, one that drips
for ever. It counts what it was asked."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("busy", "failing", "hanging up", "cut", "empty", "malformed", "refusing")
FOR_EVER = ("refusing", "locked")  # a request that is not taken (422), a key that is not (401)


class ChatServer:
    """``answer`` turns the messages into text; ``share`` of the prompts meet a fault, each of them
    ``times`` times; those ``FOR_EVER`` never end. ``retry_after`` is what a busy server says."""

    def __init__(
        self,
        answer: Callable[[list[dict[str, str]]], str],
        share: float = 0.0,
        faults: tuple[str, ...] = FAULTS,
        times: int = 1,
        delay: float = 0.0,
        retry_after: str = "0",
    ) -> None:
        self.answer, self.share, self.faults = answer, share, faults
        self.times, self.delay, self.retry_after = times, delay, retry_after
        self.asked: Counter[str] = Counter()  # by the first user message
        self.served: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()

    def fault(self, question: str) -> str | None:
        """Which fault this question meets, the same one every time; None for most."""
        digest = hashlib.sha256(question.encode()).digest()
        if digest[0] / 256 >= self.share:
            return None
        return self.faults[digest[1] % len(self.faults)]


@contextmanager
def serving(server: ChatServer) -> Iterator[str]:
    """Run the endpoint; yields its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            question = next(m["content"] for m in body["messages"] if m["role"] == "user")
            with server.lock:
                server.asked[question] += 1
                server.headers.append(dict(self.headers))
                fault = server.fault(question)
                if fault not in FOR_EVER and server.asked[question] > server.times:
                    fault = None
            time.sleep(server.delay)
            if fault == "malformed":
                self.send(200, {"choices": [{"index": 0, "message": None}], "usage": {}})
            elif fault == "dripping":
                self.drip()
            else:
                self.reply(question, body, fault)

        def reply(self, question: str, body: dict[str, Any], fault: str | None) -> None:
            if fault == "busy":
                headers = {"Retry-After": server.retry_after}
                return self.send(429, {"error": {"message": "slow down"}}, headers)
            if fault == "failing":
                return self.send(500, {"error": {"message": "oh no"}})
            if fault == "refusing":
                return self.send(422, {"error": {"message": "not this"}})
            if fault == "locked":
                return self.send(401, {"error": {"message": "bad key"}})
            if fault == "hanging up":
                self.close_connection = True
                return None
            text = "" if fault == "empty" else server.answer(body["messages"])
            if fault == "cut":
                text = text[: len(text) // 2]
            with server.lock:
                server.served[question] += 1
            message = {"role": "assistant", "content": text}
            return self.send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": body["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
                },
            )

        def drip(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.02)
            except OSError:
                return

        def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            for name, content in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, content)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()
