"""Scripts in containers of a Docker engine on this machine.

    docker://IMAGE?gpus=all&memory=24g&shm=8g&volumes=twin-data:/data&env=MLFLOW_TRACKING_URI

The image has this project installed. What the spec names is mounted under the path it has here,
inputs read-only; with ``volumes`` (as in ``docker run -v``, by commas) these are mounted instead,
as is needed where Dagster runs in a container itself. ``gpus`` is ``all``, a number, or nothing;
``env`` names variables that the script gets. Cancelling the run stops the container.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.compute import (
    QUIET,
    BadComputeError,
    ScriptFailedError,
    read_options,
    take_result,
    write_spec,
)
from resources.staging import INPUTS, OUTPUTS, paths

if TYPE_CHECKING:
    import dagster as dg

OPTIONS = {"gpus": "", "memory": "", "shm": "8g", "volumes": "", "env": ""}
PATIENCE = 20  # seconds a script gets to end when its run is cancelled
LABEL = "llm-twin.run"


class DockerCompute:
    """``Compute`` in containers; ``url`` as above. Raises ``BadComputeError``."""

    def __init__(self, url: str) -> None:
        self._image, self._options = read_options(url, OPTIONS)
        gpus = self._options["gpus"]
        if gpus and gpus != "all" and not gpus.isdigit():
            raise BadComputeError(f"gpus={gpus}", "it is no number of GPUs", "Use all, 1, 2, …")
        if not self._image:
            raise BadComputeError(url, "it names no image", "Write it as docker://IMAGE")

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a script in a container of its own; see the protocol."""
        import dagster as dg

        output = Path(spec["output"])
        path, messages = write_spec(output, spec), output / ".messages.jsonl"
        with dg.open_pipes_session(
            context, dg.PipesEnvContextInjector(), dg.PipesFileMessageReader(str(messages))
        ) as pipes:
            request = self._request(spec, context.run_id)
            request["command"] = ["python", "-m", module, str(path)]
            request["environment"] |= pipes.get_bootstrap_env_vars()
            with self._container(request) as container:
                code = _follow(container)
        return take_result(module, output, code)

    def _request(self, spec: Mapping[str, Any], run: str) -> dict[str, Any]:
        """What the engine is asked for, as docker's ``containers.create`` takes it."""
        from docker.types import DeviceRequest

        gpus, memory = self._options["gpus"], self._options["memory"]
        devices = {"count": -1} if gpus == "all" else {"count": int(gpus or 0)}
        named = [name for name in self._options["env"].split(",") if name in os.environ]
        return {
            "image": self._image,
            "environment": {"HOME": "/tmp", "USER": "twin"}
            | QUIET
            | {name: os.environ[name] for name in named},
            "volumes": self._volumes(spec),
            "user": f"{os.getuid()}:{os.getgid()}",  # who owns what it writes
            "device_requests": [DeviceRequest(**devices, capabilities=[["gpu"]])] if gpus else [],
            "shm_size": self._options["shm"],
            **({"mem_limit": memory} if memory else {}),
            "stop_signal": "SIGINT",
            "init": True,
            "labels": {LABEL: run},
        }

    def _volumes(self, spec: Mapping[str, Any]) -> list[str]:
        if given := self._options["volumes"]:
            return given.split(",")
        written = paths(spec, OUTPUTS)
        read = [path for path in paths(spec, INPUTS) if not any(map(path.is_relative_to, written))]
        return [
            *(f"{path}:{path}:ro" for path in read),
            *(f"{path}:{path}:rw" for path in written),
        ]

    @contextmanager
    def _container(self, request: Mapping[str, Any]) -> Iterator[Any]:
        """A started container; nothing of it is left afterwards."""
        from docker.errors import DockerException, ImageNotFound, NotFound
        from requests.exceptions import RequestException

        try:
            try:
                container = self._client.containers.create(**request)
            except ImageNotFound:
                self._client.images.pull(self._image)
                container = self._client.containers.create(**request)
            try:
                container.start()
                yield container
            except BaseException:  # the run is cancelled, or the engine is lost
                with contextlib.suppress(DockerException, RequestException):
                    container.stop(timeout=PATIENCE)
                raise
            finally:
                with contextlib.suppress(NotFound, RequestException):
                    container.remove(force=True)
        except (DockerException, RequestException) as error:
            raise ScriptFailedError(
                f"a container of {self._image}",
                f"the Docker engine does not do what was asked ({_why(error)})",
                "Check the engine (docker info), the image's name, and for GPUs its NVIDIA runtime",
            ) from error

    @cached_property
    def _client(self) -> Any:
        if find_spec("docker") is None:
            raise BadComputeError("docker", "it is not installed", "pip install 'llm-twin[docker]'")
        import docker

        return docker.from_env()


def _follow(container: Any) -> int:
    """Pass on what a container prints until it ends; returns its exit code."""
    for chunk in container.logs(stream=True, follow=True):
        sys.stderr.write(chunk.decode("utf-8", "replace"))
        sys.stderr.flush()
    return int(container.wait()["StatusCode"])


def _why(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)[:300]
