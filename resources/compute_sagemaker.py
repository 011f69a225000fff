"""Scripts as training jobs of Amazon SageMaker.

    sagemaker://IMAGE?role=arn:aws:iam::…:role/twin&instance=ml.g5.xlarge&spot=true&hours=24

The image, in ECR, has this project installed; ``role`` may read and write the artifact bucket.
``spot`` uses spare capacity: SageMaker saves the script's work folder in the bucket and gives it
back when capacity was taken away and has returned, and the script goes on from its last checkpoint.
``volume`` is the disk in GB. Cancelling the run stops the job.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.artifacts import ArtifactStore
from resources.compute import QUIET, BadComputeError, read_options
from resources.compute_aws import Staged, finish, in_bucket, lost, staged
from resources.s3 import aws_client

if TYPE_CHECKING:
    import dagster as dg

OPTIONS = {"role": "", "instance": "ml.g5.xlarge", "spot": "", "hours": "24", "volume": "100"}
KEPT = "/opt/ml/checkpoints"  # the folder that SageMaker saves
DONE = ("Completed", "Failed", "Stopped")
POLL = 10.0  # seconds between two looks at a job
HOUR = 3600


class SageMakerCompute:
    """``Compute`` as SageMaker training jobs; ``url`` as above. ``poll`` is the seconds between
    two looks, ``kept`` the folder that the platform saves. Raises ``BadComputeError``."""

    def __init__(
        self, url: str, artifacts: ArtifactStore, poll: float = POLL, kept: str = KEPT
    ) -> None:
        self._image, self._options = read_options(url, OPTIONS)
        if not self._image or not self._options["role"]:
            remedy = "Write it as sagemaker://IMAGE?role=ARN"
            raise BadComputeError("sagemaker://…", "it names no image or no role", remedy)
        for name in ("hours", "volume"):
            if not self._options[name].isdigit() or int(self._options[name]) < 1:
                problem = "it is no whole number above 0"
                raise BadComputeError(f"{name}={self._options[name]}", problem, "Give one")
        self._store = in_bucket(artifacts, url)
        self._poll, self._kept = poll, kept

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a script as one training job; see the protocol."""
        import dagster as dg
        from botocore.exceptions import BotoCoreError, ClientError

        with staged(self._store, module, spec, self._kept) as work:
            name = f"llm-twin-{work.job.id}"
            try:
                client, ends = aws_client("sagemaker"), work.channel()
                with dg.open_pipes_session(context, ends.injector, ends.reader) as pipes:
                    request = self.request(name, work, spec)
                    request["Environment"] |= pipes.get_bootstrap_env_vars()
                    client.create_training_job(**request)
                    context.log.info(f"SageMaker training job {name}")
                    found = self._wait(client, name)
            except (BotoCoreError, ClientError) as error:
                raise lost(f"SageMaker training job {name}", str(error)) from error
            return finish(work, spec, _ending(found))

    def request(self, name: str, work: Staged, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What SageMaker's CreateTrainingJob is asked for."""
        most = int(self._options["hours"]) * HOUR
        spot = self._options["spot"] == "true"
        asked: dict[str, Any] = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": self._image,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": work.command,
            },
            "RoleArn": self._options["role"],
            "OutputDataConfig": {"S3OutputPath": self._store.bucket.url(f"{work.job.key}/model")},
            "ResourceConfig": {
                "InstanceType": self._options["instance"],
                "InstanceCount": 1,
                "VolumeSizeInGB": int(self._options["volume"]),
            },
            "StoppingCondition": {
                "MaxRuntimeInSeconds": most,
                **({"MaxWaitTimeInSeconds": 2 * most} if spot else {}),
            },
            "EnableManagedSpotTraining": spot,
            "Environment": dict(QUIET),
        }
        if spec.get("work"):
            asked["CheckpointConfig"] = {
                "S3Uri": self._store.bucket.url(work.job.outputs[Path(spec["work"])]),
                "LocalPath": self._kept,
            }
        return asked

    def _wait(self, client: Any, name: str) -> dict[str, Any]:
        """The description of a job that has ended; one that is no longer wanted is stopped."""
        try:
            while True:
                found: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
                if found["TrainingJobStatus"] in DONE:
                    return found
                time.sleep(self._poll)
        except BaseException:  # the run is cancelled, or AWS no longer answers
            client.stop_training_job(TrainingJobName=name)
            raise


def _ending(found: Mapping[str, Any]) -> str:
    """How a job failed; empty when it did not."""
    if found["TrainingJobStatus"] == "Completed":
        return ""
    why = found.get("FailureReason") or found.get("SecondaryStatus", "")
    return f"{found['TrainingJobStatus'].lower()}: {why}"
