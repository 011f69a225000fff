"""Where traces go: the store beside the documents, or Opik when it is configured.

Opik is spoken to by its REST API (``/v1/private/traces/batch``, ``/v1/private/spans/batch``). Its
own client is not used: it brings 400 MB, error reports and usage statistics to third parties that
are on by default, and libraries that exclude the versions this project runs on. When traces go to
Opik, the local store keeps the record of each that feedback needs, without spans. This module knows
the form of a trace and nothing of who makes it.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from resources.interactions import Interactions, open_interactions


class TraceSink(Protocol):
    """Where traces go. Calls may wait and may raise; whoever calls decides what that costs."""

    def write(self, trace: Mapping[str, Any]) -> None:
        """Deliver one trace; one that was delivered already changes nothing."""


class LocalTraces:
    """Traces in the store beside the documents."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    def write(self, trace: Mapping[str, Any]) -> None:
        """Store one trace. Raises ``StoreUnavailableError``."""
        self._interactions.add_trace(trace)


def open_tracing(documents_url: str, environ: Mapping[str, str]) -> TraceSink:
    """Where this deployment's traces go. Raises ``UnknownSchemeError``."""
    return LocalTraces(open_interactions(documents_url))
