import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from llmtwin_assets_tests.docker_server import Engine, docker_server
from llmtwin_assets_tests.graph import failure
from resources.compute import BadComputeError, open_compute
from resources.compute_docker import DockerCompute

SCRIPT = "llmtwin_assets_tests.resources.a_script"
IMAGE = "registry.example:5000/llm-twin:1"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with docker_server({IMAGE}) as (address, found):
        monkeypatch.setenv("DOCKER_HOST", address)
        yield found


def run(output: Path, url: str, **spec: Any) -> tuple[dict[str, Any], list[str], str]:
    """The script's result, what it logged into the run, and why the run failed."""
    found: dict[str, Any] = {}

    @dg.asset
    def thing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        output.mkdir(exist_ok=True)
        found.update(DockerCompute(url).run(context, SCRIPT, {"output": str(output), **spec}))
        return dg.MaterializeResult()

    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize([thing], instance=instance, raise_on_error=False)
    records = instance.all_logs(result.run_id)
    return found, [record.user_message for record in records], failure(result)


def test_a_script_in_a_container_returns_its_result_and_logs_into_the_run(
    tmp_path: Path, engine: Engine
) -> None:
    output = tmp_path / "output"
    found, logged, why = run(output, f"docker://{IMAGE}", what="add", numbers=[1, 2, 3])
    assert why == ""
    assert found == {"sum": 6, "offline": "1"}
    assert "at work" in logged
    assert list(output.iterdir()) == []
    assert engine.removed == ["c0"]


def test_a_container_sees_what_the_spec_names_and_gets_the_gpus(
    tmp_path: Path, engine: Engine
) -> None:
    output = tmp_path / "output"
    places = {name: str(tmp_path / name) for name in ("base", "samples")}
    systems = {"twin": {"model": str(tmp_path / "twin")}, "base": {"model": places["base"]}}
    earlier = [str(tmp_path / "before")]
    url = f"docker://{IMAGE}?gpus=all&memory=24g&shm=2g"
    spec = {**places, "systems": systems, "earlier": earlier, "work": str(tmp_path / "work")}
    found, _, why = run(output, url, what="add", numbers=[4], **spec)
    assert (found["sum"], why) == (4, "")
    assert engine.mounted() == {
        tmp_path / "base": "ro",
        tmp_path / "samples": "ro",
        tmp_path / "twin": "ro",
        tmp_path / "before": "ro",
        tmp_path / "work": "rw",
        output: "rw",
    }
    asked = engine.asked["c0"]["HostConfig"]
    (device,) = asked["DeviceRequests"]
    assert (device["Count"], device["Capabilities"]) == (-1, [["gpu"]])
    assert (asked["Memory"], asked["ShmSize"]) == (24 << 30, 2 << 30)
    assert asked["Init"] is True
    run(output, f"docker://{IMAGE}?gpus=2&volumes=twin-data:/data:rw", what="add", numbers=[])
    assert engine.mounted() == {Path("/data"): "rw"}
    assert engine.asked["c1"]["HostConfig"]["DeviceRequests"][0]["Count"] == 2


def test_a_container_gets_no_environment_but_what_is_named(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker")
    monkeypatch.setenv("HF_TOKEN", "a-secret")
    url = f"docker://{IMAGE}?env=MLFLOW_TRACKING_URI"
    run(tmp_path / "output", url, what="add", numbers=[])
    assert "MLFLOW_TRACKING_URI=http://tracker" in engine.asked["c0"]["Env"]
    assert "a-secret" not in str(engine.asked["c0"])


def test_a_refusal_comes_back_in_the_scripts_own_words(tmp_path: Path, engine: Engine) -> None:
    found, _, why = run(tmp_path / "output", f"docker://{IMAGE}", what="refuse")
    assert found == {}
    assert "the corpus: it is too small. Add writing." in why


def test_a_lost_container_names_its_exit_code(tmp_path: Path, engine: Engine) -> None:
    found, _, why = run(tmp_path / "output", f"docker://{IMAGE}", what="die")
    assert found == {}
    assert "ended without a result (exit code 137)" in why
    assert engine.removed == ["c0"]


def test_an_image_that_is_not_here_is_pulled(tmp_path: Path, engine: Engine) -> None:
    found, _, _ = run(tmp_path / "output", "docker://llm-twin:1", what="add", numbers=[1])
    assert (found["sum"], engine.pulled) == (1, ["llm-twin"])


def test_an_image_that_is_nowhere_is_a_clear_error(tmp_path: Path, engine: Engine) -> None:
    _, _, why = run(tmp_path / "output", "docker://unknown:1", what="add", numbers=[])
    assert "a container of unknown:1: the Docker engine does not do what was asked" in why
    assert "No such image" in why


def test_an_engine_that_cannot_be_reached_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    _, _, why = run(tmp_path / "output", f"docker://{IMAGE}", what="add", numbers=[])
    assert "Check the engine (docker info)" in why


@pytest.mark.slow
@pytest.mark.parametrize("stubborn", [False, True])
def test_cancelling_a_run_stops_its_container(
    tmp_path: Path, engine: Engine, stubborn: bool
) -> None:
    output, pids = tmp_path / "output", tmp_path / "pids"
    code = (
        "from pathlib import Path; from llmtwin_assets_tests.resources import test_compute_docker;"
        f"from resources import compute_docker; compute_docker.PATIENCE = {2 if stubborn else 60};"
        f"test_compute_docker.run(Path({str(output)!r}), 'docker://{IMAGE}', what='stay',"
        f" pids={str(pids)!r}, stubborn={stubborn})"
    )
    started = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 60
    while not pids.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    started.wait(60)
    assert engine.signals == (["SIGINT", "SIGKILL"] if stubborn else ["SIGINT"])
    assert engine.removed == ["c0"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("docker://", "it names no image"),
        ("docker://x?gpu=1", "it has no option 'gpu'"),
        ("docker://x?gpus=some", "it is no number of GPUs"),
    ],
)
def test_a_bad_url_says_what_is_wrong_with_it(tmp_path: Path, url: str, problem: str) -> None:
    from resources.artifacts import ArtifactStore

    with pytest.raises(BadComputeError, match=problem):
        open_compute(url, ArtifactStore(tmp_path))
