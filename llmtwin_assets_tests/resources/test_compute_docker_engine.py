"""Scripts in containers of a real engine, where DOCKER_HOST names one: Docker's, or Podman's."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets_tests import docker_image
from llmtwin_assets_tests.resources.test_compute_docker import run
from resources.compute_docker import LABEL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        docker_image.engine() is None, reason="no container engine answers on DOCKER_HOST"
    ),
]


@pytest.fixture(scope="module")
def client() -> Any:
    return docker_image.engine()


@pytest.fixture(scope="module")
def url(client: Any) -> str:
    return f"docker://{docker_image.make(client)}?shm=64m"


@pytest.fixture(autouse=True)
def nothing_is_left(client: Any) -> Any:
    yield
    assert client.containers.list(all=True, filters={"label": LABEL}) == []


def test_a_script_reads_what_it_is_given_and_what_it_writes_is_ours(
    tmp_path: Path, url: str
) -> None:
    samples, base, output = tmp_path / "samples.txt", tmp_path / "base", tmp_path / "output"
    samples.write_text("what it learns from")
    base.mkdir()
    (base / "weights").write_text("0.1")
    found, logged, why = run(output, url, what="copy", samples=str(samples), base=str(base))
    assert why == ""
    assert found["read"] == {"samples": "what it learns from", "base": "0.1"}
    assert found["places"] == [str(samples), str(base), str(output)]
    assert "at work" in logged
    assert (output / "model/copy.txt").read_text() == "what it learns from"
    assert (output / "model/copy.txt").stat().st_uid == os.getuid()
    assert [path.name for path in output.iterdir()] == ["model"]


def test_inputs_cannot_be_written(tmp_path: Path, url: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "weights").write_text("0.1")
    _, _, why = run(tmp_path / "output", url, what="spoil", base=str(base))
    assert "ended without a result (exit code 1)" in why
    assert (base / "weights").read_text() == "0.1"


def test_what_a_container_prints_comes_back(
    tmp_path: Path, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found, _, why = run(tmp_path / "output", url, what="refuse")
    assert found == {}
    assert "the corpus: it is too small. Add writing." in why
    assert "the corpus: it is too small. Add writing." in capfd.readouterr().err


def test_a_checkpoint_outlives_its_container(tmp_path: Path, url: str) -> None:
    spec = {"what": "keep", "work": str(tmp_path / "work")}
    (tmp_path / "work").mkdir()
    _, _, why = run(tmp_path / "output", url, then="die", **spec)
    assert "ended without a result (exit code 137)" in why
    found, _, why = run(tmp_path / "output", url, **spec)
    assert (found["before"], why) == (["checkpoint-1"], "")


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancelling_a_run_ends_its_container(tmp_path: Path, url: str, stubborn: bool) -> None:
    output = tmp_path / "output"
    pids = output / "pids"
    code = (
        "from pathlib import Path; from llmtwin_assets_tests.resources.test_compute_docker import "
        "run; from resources import compute_docker; compute_docker.PATIENCE = 2;"
        f"run(Path({str(output)!r}), {url!r}, what='stay', pids={str(pids)!r}, stubborn={stubborn})"
    )
    started = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 120
    while not pids.exists():
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    started.wait(120)
