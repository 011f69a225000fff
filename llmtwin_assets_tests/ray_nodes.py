"""A real Ray cluster on this machine: a head, and a node with a logical GPU that can be lost."""

import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nodes:
    """The cluster; ``address`` is its dashboard's. Two nodes on one machine need ports of their
    own. Below ``homes``, where it is given, each node has a home of its own."""

    def __init__(self, cpus: int = 3, homes: Path | None = None) -> None:
        from ray.cluster_utils import Cluster

        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._cpus, self._homes = cpus, homes
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": cpus,
                "num_gpus": 0,
                "include_dashboard": True,
                "dashboard_host": "127.0.0.1",
                "dashboard_port": port,
                "dashboard_agent_listen_port": free_port(),
                "env_vars": self._home("head"),
            },
        )
        self._gpu = self._with_gpu()

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()

    @property
    def gpu(self) -> str:
        """The id of the node with the GPU."""
        return str(self._gpu.node_id)

    def lose_the_gpu(self) -> None:
        self._cluster.remove_node(self._gpu, allow_graceful=False)

    def replace_the_gpu(self) -> None:
        self._gpu = self._with_gpu()

    def _with_gpu(self) -> Any:
        return self._cluster.add_node(
            num_cpus=self._cpus,
            num_gpus=1,
            dashboard_agent_listen_port=free_port(),
            env_vars=self._home("gpu"),
        )

    def _home(self, node: str) -> Mapping[str, str]:
        if self._homes is None:
            return {}
        home = self._homes / node
        home.mkdir(parents=True, exist_ok=True)
        names = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "LLMTWIN_HOME": home / "twin"}
        return {name: str(path) for name, path in names.items()}
