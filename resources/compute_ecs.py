"""Scripts as tasks of Amazon ECS on machines with GPUs, by Dagster's own Pipes client.

    ecs://CLUSTER/TASK-DEFINITION?container=twin&gpus=1&provider=gpu-spot&subnets=…&groups=…

The task definition names an image with this project, and a task role that may read and write the
artifact bucket; it needs no GPU of its own. Fargate has none, so tasks run on EC2 capacity: by the
capacity ``provider``, or by launch type. ``subnets`` and ``groups`` (security groups), by commas,
are for the awsvpc network mode. Cancelling the run stops the task.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resources.artifacts import ArtifactStore
from resources.compute import BadComputeError, read_options
from resources.compute_aws import finish, in_bucket, lost, staged
from resources.s3 import aws_client

if TYPE_CHECKING:
    import dagster as dg

OPTIONS = {"container": "twin", "gpus": "1", "provider": "", "subnets": "", "groups": ""}
POLL = {"Delay": 6, "MaxAttempts": 1_000_000}


class EcsCompute:
    """``Compute`` as ECS tasks; ``url`` as above. Raises ``BadComputeError``."""

    def __init__(self, url: str, artifacts: ArtifactStore, poll: Mapping[str, int] = POLL) -> None:
        place, self._options = read_options(url, OPTIONS)
        self._cluster, _, self._task = place.partition("/")
        if not self._cluster or not self._task:
            remedy = "Write it as ecs://CLUSTER/TASK-DEFINITION"
            raise BadComputeError(url, "it names no task definition", remedy)
        self._store = in_bucket(artifacts, url)
        self._poll = dict(poll)

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a script as one task; see the protocol."""
        from botocore.exceptions import BotoCoreError, ClientError
        from dagster_aws.pipes import PipesECSClient

        with staged(self._store, module, spec) as work:
            ends = work.channel()
            client = PipesECSClient(aws_client("ecs"), ends.injector, ends.reader)
            ending = ""
            try:
                client.run(
                    context=context,
                    run_task_params=self.request(work.command),
                    waiter_config=self._poll,
                )
            except RuntimeError as error:  # it did not start, or a container failed
                ending = str(error)
            except (BotoCoreError, ClientError) as error:
                raise lost(f"ECS task {self._cluster}/{self._task}", str(error)) from error
            return finish(work, spec, ending)

    def request(self, command: list[str]) -> dict[str, Any]:
        """What ECS's RunTask is asked for."""
        chosen = self._options
        override: dict[str, Any] = {"name": chosen["container"], "command": command}
        if chosen["gpus"] not in ("", "0"):
            override["resourceRequirements"] = [{"type": "GPU", "value": chosen["gpus"]}]
        asked: dict[str, Any] = {
            "cluster": self._cluster,
            "taskDefinition": self._task,
            "count": 1,
            "overrides": {"containerOverrides": [override]},
        }
        if chosen["provider"]:
            asked["capacityProviderStrategy"] = [{"capacityProvider": chosen["provider"]}]
        else:
            asked["launchType"] = "EC2"
        if chosen["subnets"]:
            network = {"subnets": chosen["subnets"].split(",")}
            if chosen["groups"]:
                network["securityGroups"] = chosen["groups"].split(",")
            asked["networkConfiguration"] = {"awsvpcConfiguration": network}
        return asked
