"""One small world for all tests of the service, and an API over it whose engine is not ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmtwin_assets.serving.api import create_api
from llmtwin_assets.serving.rates import Rate
from llmtwin_assets.settings import Settings
from llmtwin_assets_tests.serving.browsing import ARGUMENTS, BROWSER
from llmtwin_assets_tests.serving.world import OtherEngine, build_world, serving, small_model

UNLIMITED = Rate(per_minute=1e9, burst=10**9)


@dataclass
class Running:
    """An API that runs, the engine behind it, and a client of the API."""

    url: str
    engine: OtherEngine
    http: httpx.Client
    settings: Settings

    def ask(self, question: str = "What of the lantern?", **fields: object) -> httpx.Response:
        body = {"model": "ada", "messages": [{"role": "user", "content": question}], **fields}
        return self.http.post("/v1/chat/completions", json=body)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Settings:
    return build_world(tmp_path_factory.mktemp("world"), model)


@pytest.fixture(scope="session")
def open_service(world: Settings) -> Iterator[Running]:
    engine = OtherEngine()
    with (
        serving(engine.app()) as engine_url,
        serving(create_api(world, engine_url + "/v1", "engine-key", rate=UNLIMITED)) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        yield Running(url, engine, http, world)


@pytest.fixture
def service(open_service: Running) -> Running:
    """The API without keys, its engine as if nothing had been asked yet."""
    open_service.engine.__init__()  # type: ignore[misc]
    return open_service
