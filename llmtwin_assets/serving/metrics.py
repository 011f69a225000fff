"""What Prometheus reads of one API process. No label names an author: callers may see each other's
numbers, never each other's names."""

import time
from typing import Any

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds


class Metrics:
    """Counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        import prometheus_client as prometheus

        self._registry = registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "llmtwin_requests", "Requests by route and status", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self.in_flight = prometheus.Gauge(
            "llmtwin_requests_in_flight", "Requests being answered", registry=registry
        )
        self.seconds = prometheus.Histogram(
            "llmtwin_request_seconds", "Time of a request", ["route"], registry=registry,
            buckets=BUCKETS,
        )  # fmt: skip
        self.first_token = prometheus.Histogram(
            "llmtwin_first_token_seconds", "Time to the first text of an answer",
            registry=registry, buckets=BUCKETS,
        )  # fmt: skip
        self.retrieval = prometheus.Histogram(
            "llmtwin_retrieval_seconds", "Time to find the passages", registry=registry,
            buckets=BUCKETS,
        )  # fmt: skip
        self.tokens = prometheus.Counter(
            "llmtwin_tokens", "Tokens as the engine counts them", ["direction"], registry=registry
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        import prometheus_client as prometheus

        return prometheus.generate_latest(self._registry)


class Counting:
    """ASGI middleware: counts requests by the route they matched."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
