"""The two applications as uvicorn starts them, configured by the environment:

    uvicorn --factory llmtwin_assets.serving.apps:engine --port 8001
    LLMTWIN_ENGINE_URL=http://127.0.0.1:8001/v1 uvicorn --factory llmtwin_assets.serving.apps:api

``llmtwin serve`` starts both. Nothing is decided here.
"""

import os
from typing import TYPE_CHECKING

from llmtwin_assets.settings import PROJECT, Settings, from_environment
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    from fastapi import FastAPI


class NoEngineError(LlmTwinError):
    """The API does not know where the language models are."""


def engine() -> "FastAPI":
    """The local engine."""
    from llmtwin_assets.serving.engine_api import create_engine

    return create_engine(_settings())


def api() -> "FastAPI":
    """The API and its page; raises ``NoEngineError`` when no engine is named."""
    from llmtwin_assets.serving.api import create_api

    settings = _settings()
    if not settings.engine_url:
        raise NoEngineError(
            "the API", "it is not told which engine to ask", "Set LLMTWIN_ENGINE_URL"
        )
    return create_api(settings, settings.engine_url, settings.engine_key or None)


def _settings() -> Settings:
    from dotenv import load_dotenv

    load_dotenv(PROJECT / ".env")
    os.environ.setdefault("TQDM_DISABLE", "1")
    return from_environment()
