"""The machines behind ECS and SageMaker: moto answers for the services, and what they would start
is a process here, with the command and the environment that it was asked for."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.settings import PROJECT

CREDENTIALS = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
)


class Machines:
    """Processes by the name of their task or job, and the requests that were made."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.asked: list[dict[str, Any]] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.stopped: list[str] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        own = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "TMPDIR": str(self.scratch),
            **{key: os.environ[key] for key in CREDENTIALS},
        }
        parts = [sys.executable if part == "python" else part for part in command]
        self.running[name] = subprocess.Popen(parts, env=own | dict(environment))

    def stop(self, name: str) -> None:
        """As AWS stops a container: by SIGTERM."""
        self.stopped.append(name)
        self.running[name].terminate()

    def code(self, name: str) -> int | None:
        return self.running[name].poll()


@contextmanager
def aws_machines(scratch: Path) -> Iterator[Machines]:
    machines = Machines(scratch)
    with pytest.MonkeyPatch.context() as patch:
        _sagemaker(machines, patch)
        _ecs(machines, patch)
        yield machines
    for process in machines.running.values():
        process.kill()
        process.wait()


def _sagemaker(machines: Machines, patch: pytest.MonkeyPatch) -> None:
    from moto.core.responses import EmptyResult
    from moto.sagemaker.responses import SageMakerResponse

    create, describe = (
        SageMakerResponse.create_training_job,
        SageMakerResponse.describe_training_job,
    )

    def creating(self: Any) -> Any:
        answer, name = create(self), self._get_param("TrainingJobName")
        entry = self._get_param("AlgorithmSpecification")["ContainerEntrypoint"]
        machines.asked.append(dict(self._get_params()))
        machines.start(name, entry, self._get_param("Environment"))
        return answer

    def describing(self: Any) -> Any:
        name = self._get_param("TrainingJobName")
        job, code = self.sagemaker_backend.training_jobs[name], machines.code(name)
        ended = "Stopped" if name in machines.stopped else "Failed" if code else "Completed"
        job.training_job_status = "InProgress" if code is None else ended
        job.failure_reason = f"AlgorithmError: ExitCode: {code}" if ended == "Failed" else None
        return describe(self)

    def stopping(self: Any) -> Any:
        machines.stop(self._get_param("TrainingJobName"))
        return EmptyResult()

    patch.setattr(SageMakerResponse, "create_training_job", creating)
    patch.setattr(SageMakerResponse, "describe_training_job", describing)
    patch.setattr(SageMakerResponse, "stop_training_job", stopping, raising=False)


def _ecs(machines: Machines, patch: pytest.MonkeyPatch) -> None:
    from moto.ecs.models import EC2ContainerServiceBackend as Backend
    from moto.ecs.responses import EC2ContainerServiceResponse as Response
    from moto.moto_api import state_manager

    run, describe, stop = Response.run_task, Backend.describe_tasks, Backend.stop_task
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1_000_000})

    def running(self: Any) -> Any:
        answer = run(self)
        (task,) = answer.result["tasks"]
        (override,) = task.overrides["containerOverrides"]
        names = ("cluster", "launchType", "overrides", "capacityProviderStrategy")
        machines.asked.append({name: self._get_param(name) for name in names})
        environment = {pair["name"]: pair["value"] for pair in override["environment"]}
        machines.start(task.id, override["command"], environment)
        return answer

    def describing(self: Any, *arguments: Any) -> Any:
        tasks = describe(self, *arguments)
        for task in tasks:
            code = machines.code(task.id)
            if code is not None:
                task.status = "STOPPED"
                task.containers[0].exitCode = code
                task.containers[0].runtimeId = f"{task.id}-1"
        return tasks

    def stopping(self: Any, cluster: str, task: str, reason: str) -> Any:
        machines.stop(task.rpartition("/")[2])
        return stop(self, cluster, task, reason)

    patch.setattr(Response, "run_task", running)
    patch.setattr(Backend, "describe_tasks", describing)
    patch.setattr(Backend, "stop_task", stopping)
