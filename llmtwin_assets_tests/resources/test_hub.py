"""Up to a model hub and down again, through the real client to a hub on the loopback interface."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.hub_server import TOKEN, Hub, hub

# The client reads the hub's address when it is imported, so it gets a process of its own.
PUSH = """
import json, sys
from pathlib import Path
from resources import hub
from resources.errors import LlmTwinError
folder, repository = Path(sys.argv[1]), sys.argv[2]
files = {path.name: path for path in folder.iterdir()}
try:
    print(json.dumps({"revision": hub.push(files, repository, "a twin")}))
except LlmTwinError as error:
    print(json.dumps({"refused": str(error)}))
"""
PULL = """
import sys
from pathlib import Path
from resources import base_model
from resources.errors import LlmTwinError
try:
    print(base_model.resolve(sys.argv[1], Path(sys.argv[2])))
except LlmTwinError as error:
    print("refused", error)
"""


@pytest.fixture
def loopback() -> Iterator[Hub]:
    with hub() as running:
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.build(tmp_path_factory.mktemp("tiny"))


def run(code: str, url: str, home: Path, *arguments: str, token: str = TOKEN) -> str:
    environment = {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert token not in done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_a_model_comes_back_as_it_went_up_by_its_revision(
    loopback: Hub, model: Path, tmp_path: Path
) -> None:
    said = json.loads(run(PUSH, loopback.url, tmp_path, str(model), "me/my-twin"))
    revision = said["revision"]
    assert loopback.private == {"me/my-twin": True}
    assert (
        loopback.commits[revision]["model.safetensors"]
        == (model / "model.safetensors").read_bytes()
    )
    folder = Path(
        run(PULL, loopback.url, tmp_path, f"me/my-twin@{revision}", str(tmp_path / "cache"))
    )
    for path in model.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_pinned_revision_stays_what_it_was(loopback: Hub, model: Path, tmp_path: Path) -> None:
    first = json.loads(run(PUSH, loopback.url, tmp_path, str(model), "me/my-twin"))["revision"]
    loopback.commits["f" * 40] = {**loopback.commits[first], "config.json": b"{}"}
    folder = run(PULL, loopback.url, tmp_path, f"me/my-twin@{first}", str(tmp_path / "cache"))
    assert (Path(folder) / "config.json").read_bytes() == (model / "config.json").read_bytes()


@pytest.mark.parametrize("what", ["token", "commit", "name", "connection"])
def test_a_refused_push_says_why_and_what_to_do(
    loopback: Hub, model: Path, tmp_path: Path, what: str
) -> None:
    loopback.fail_commits = what == "commit"
    token = "hf_wrong" if what == "token" else TOKEN
    url = "http://127.0.0.1:9" if what == "connection" else loopback.url
    name = "not a name" if what == "name" else "me/my-twin"
    said = json.loads(run(PUSH, url, tmp_path, str(model), name, token=token))["refused"]
    assert {"token": "401", "commit": "403", "name": "owner/name", "connection": "failed"}[
        what
    ] in said
    assert not loopback.commits
