"""Two nodes of a real Ray cluster on this machine, one with a logical GPU, which is killed."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from llmtwin_assets_tests.graph import failure
from resources.artifacts import ArtifactStore
from resources.compute import BadComputeError, open_compute
from resources.compute_ray import RayCompute

SCRIPT = "llmtwin_assets_tests.resources.a_script"
AUTHORS = ("ada", "ben", "cleo", "dora", "emil", "fay")
STEPS = 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nodes:
    """A head, and a node with a GPU that can be lost and replaced."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.address = f"127.0.0.1:{free_port()}"
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 3,
                "num_gpus": 0,
                "include_dashboard": True,
                "dashboard_host": "127.0.0.1",
                "dashboard_port": int(self.address.split(":")[1]),
                "dashboard_agent_listen_port": free_port(),
            },
        )
        self._gpu = self._with_gpu()

    def _with_gpu(self) -> Any:
        return self._cluster.add_node(
            num_cpus=3,
            num_gpus=1,
            dashboard_agent_listen_port=free_port(),
        )

    def lose_the_gpu(self) -> None:
        self._cluster.remove_node(self._gpu, allow_graceful=False)

    def replace_the_gpu(self) -> None:
        self._gpu = self._with_gpu()

    def end(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = Nodes()
    yield found
    found.end()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def run(author: str, address: str, root: Path, instance: dg.DagsterInstance) -> dict[str, Any]:
    """An author's two steps as one run: what they returned, and why the run failed."""
    store, found = ArtifactStore(root), {"why": ""}

    def script(context: dg.AssetExecutionContext, gpus: int, **spec: Any) -> dict[str, Any]:
        compute = RayCompute(f"ray://{address}?gpus={gpus}", store, poll=0.5)
        output = store.work(author, context.asset_key.path[-1], "output")
        return compute.run(context, SCRIPT, {"output": str(output), **spec})

    @dg.asset
    def prepared(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        work = str(store.work(author, "prepared", "d1"))
        found["prepared"] = script(context, gpus=0, what="train", work=work, steps=0)
        return dg.MaterializeResult()

    @dg.asset(deps=[prepared])
    def trained(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        work = str(store.work(author, "trained", "d1"))
        found["trained"] = script(context, gpus=1, what="train", work=work, steps=STEPS)
        return dg.MaterializeResult()

    result = dg.materialize([prepared, trained], instance=instance, raise_on_error=False)
    messages = [record.user_message for record in instance.all_logs(result.run_id)]
    found["tried again"] = any("trying it again" in message for message in messages)
    return found | {"why": failure(result)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_six_authors_are_trained_though_the_node_with_the_gpu_is_lost(
    nodes: Nodes, tmp_path: Path
) -> None:
    root = tmp_path / "artifacts"

    def training() -> list[Path]:
        """Authors in the middle of their training."""
        works = root.glob("*/trained/.work-d1")
        return [work for work in works if 3 <= len(list(work.glob("step-*"))) < STEPS]

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance, ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run, author, nodes.address, root, instance) for author in AUTHORS]
        until(lambda: bool(training()))
        nodes.lose_the_gpu()
        nodes.replace_the_gpu()
        found = [each.result() for each in runs]
    assert [each["why"] for each in found] == [""] * len(AUTHORS)
    # Steps landed by what they need.
    assert {each["prepared"]["gpu"] for each in found} == {""}
    assert {each["trained"]["gpu"] for each in found} == {"0"}
    # The training that was cut off went on from what it had saved.
    assert any(each["tried again"] for each in found)
    assert any(each["trained"]["resumed"] >= 3 for each in found)
    for author in AUTHORS:
        assert len(list((root / author / "trained" / ".work-d1").glob("step-*"))) == STEPS


def test_a_cluster_that_cannot_be_reached_is_a_clear_error(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        why = run("ada", "127.0.0.1:9", tmp_path, instance)["why"]
    assert "the Ray cluster at 127.0.0.1:9: it does not do what was asked" in why


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ray://", "names no cluster"),
        ("ray://head:8265?gpu=1", "no option 'gpu'"),
        ("ray://head:8265?gpus=half", "no whole number"),
    ],
)
def test_a_bad_url_says_what_is_wrong_with_it(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(BadComputeError, match=problem):
        open_compute(url, ArtifactStore(tmp_path))
