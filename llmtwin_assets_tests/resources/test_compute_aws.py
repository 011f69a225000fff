"""ECS and SageMaker by contract: requests that botocore's own models accept, over real HTTP to
moto; the machines behind it are processes here."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from llmtwin_assets_tests.aws_machines import Machines, aws_machines
from llmtwin_assets_tests.aws_server import BUCKET, accepted, aws_server, client
from llmtwin_assets_tests.graph import failure
from resources import compute_aws
from resources.artifacts import ArtifactStore
from resources.artifacts_s3 import S3Artifacts
from resources.compute import BadComputeError, open_compute
from resources.compute_ecs import EcsCompute
from resources.compute_sagemaker import SageMakerCompute

SCRIPT = "llmtwin_assets_tests.resources.a_script"
ECS = "ecs://gpus/twin?gpus=2"
ROLE = "arn:aws:iam::123456789012:role/twin"
SAGEMAKER = f"sagemaker://123456789012.dkr.ecr.us-east-1.amazonaws.com/llm-twin:1?role={ROLE}"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with aws_server() as address:
        ecs = client("ecs")
        ecs.create_cluster(clusterName="gpus")
        container = {"name": "twin", "image": "llm-twin:1", "memory": 512}
        ecs.register_task_definition(family="twin", containerDefinitions=[container])
        _machine_of("gpus")
        yield address


def _machine_of(cluster: str) -> None:
    """Give a cluster one EC2 machine."""
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    (machine,) = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"]
    document = {"instanceId": machine["InstanceId"], "region": "us-east-1"}
    client("ecs").register_container_instance(
        cluster=cluster, instanceIdentityDocument=json.dumps(document)
    )


@pytest.fixture
def machines(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    scratch = tmp_path / "elsewhere"
    scratch.mkdir()
    monkeypatch.setattr(compute_aws, "POLL", 0.2)
    with aws_machines(scratch) as found:
        yield found


@pytest.fixture
def store(aws: str, tmp_path: Path) -> S3Artifacts:
    return S3Artifacts(f"s3://{BUCKET}/{tmp_path.name}", tmp_path / "cache")


def computes(url: str, store: S3Artifacts, kept: Path) -> Any:
    """The place, asked every fifth of a second."""
    if url.startswith("ecs"):
        return EcsCompute(url, store, poll={"Delay": 1, "MaxAttempts": 600})
    return SageMakerCompute(url, store, poll=0.2, kept=str(kept))


def run(url: str, store: S3Artifacts, kept: Path, **spec: Any) -> tuple[dict, list[str], str]:
    """The script's result, what it logged into the run, and why the run failed."""
    found: dict[str, Any] = {}
    output = store.work("ada", "sft_checkpoint", "out")

    @dg.asset
    def thing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        compute = computes(url, store, kept)
        found.update(compute.run(context, SCRIPT, {"output": str(output), **spec}))
        return dg.MaterializeResult()

    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize([thing], instance=instance, raise_on_error=False)
    records = instance.all_logs(result.run_id)
    return found, [record.user_message for record in records], failure(result)


@pytest.mark.slow
@pytest.mark.parametrize("url", [ECS, SAGEMAKER])
def test_a_script_elsewhere_reads_its_inputs_and_its_outputs_come_back(
    url: str, store: S3Artifacts, machines: Machines, tmp_path: Path
) -> None:
    data = store.publish("ada", "instruct_dataset", "d1", _file("samples.txt", "the samples"))
    base = tmp_path / "base"
    base.mkdir()
    (base / "weights").write_text("the weights")
    contexts = store.work("ada", "sft_checkpoint", "d1") / "contexts.json"
    contexts.write_text("what only this try needs")
    spec = {"samples": str(data.file("samples.txt")), "base": str(base), "contexts": str(contexts)}
    work = str(store.work("ada", "sft_checkpoint", "d1"))
    found, logged, why = run(url, store, tmp_path / "kept", what="copy", work=work, **spec)
    assert why == ""
    assert "at work" in logged
    assert found["read"] == {"samples": "the samples", "base": "the weights"}
    # It ran on files of its own, and in a place of its own.
    assert all(Path(place).is_relative_to(machines.scratch) for place in found["places"])
    output = store.work("ada", "sft_checkpoint", "out")
    assert (output / "model" / "copy.txt").read_text() == "the samples"
    assert not list(machines.scratch.iterdir())
    # Nothing of the job is left, and of an author nothing lies outside the author's own folder.
    left = store.bucket.sizes("")
    assert not [key for key in left if ".job-" in key]
    outside = {key: size for key, size in left.items() if not key.startswith(("ada/", ".current/"))}
    assert list(outside.values()) == [len("the weights")]
    assert [key for key in outside if key.startswith(".staged/files/")]


@pytest.mark.slow
@pytest.mark.parametrize("url", [ECS, SAGEMAKER])
def test_a_refusal_comes_back_in_the_scripts_own_words(
    url: str, store: S3Artifacts, machines: Machines, tmp_path: Path
) -> None:
    _, _, why = run(url, store, tmp_path / "kept", what="refuse")
    assert "the corpus: it is too small. Add writing." in why


@pytest.mark.slow
def test_a_lost_machine_says_how_it_ended(
    store: S3Artifacts, machines: Machines, tmp_path: Path
) -> None:
    _, _, why = run(SAGEMAKER, store, tmp_path / "kept", what="die")
    assert "ended without a result (failed: AlgorithmError: ExitCode: " in why


def test_a_task_asks_for_gpus_on_ec2_capacity(store: S3Artifacts) -> None:
    command = ["python", "-m", "resources.staged", "s3://b", "1"]
    asked = EcsCompute(ECS, store).request(command)
    (override,) = asked["overrides"]["containerOverrides"]
    assert override["resourceRequirements"] == [{"type": "GPU", "value": "2"}]
    assert (asked["launchType"], override["command"]) == ("EC2", command)
    placed = EcsCompute(f"{ECS}&provider=gpu-spot&subnets=a,b&groups=g", store).request(command)
    assert "launchType" not in placed
    for request in (asked, placed):
        accepted("ecs", "RunTask", request)


@pytest.mark.slow
def test_a_job_on_spare_capacity_keeps_its_checkpoints(
    store: S3Artifacts, machines: Machines, tmp_path: Path
) -> None:
    work, kept = store.work("ada", "sft_checkpoint", "d1"), tmp_path / "kept"
    url = f"{SAGEMAKER}&spot=true&hours=2&instance=ml.g5.2xlarge"
    found, _, why = run(url, store, kept, what="keep", work=str(work))
    assert (why, found["before"]) == ("", [])
    (asked,) = machines.asked
    assert asked["EnableManagedSpotTraining"] is True
    assert asked["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 7200,
        "MaxWaitTimeInSeconds": 14400,
    }
    assert asked["CheckpointConfig"] == {
        "S3Uri": store.bucket.url("ada/sft_checkpoint/.work-d1"),
        "LocalPath": str(kept),
    }
    assert (kept / "checkpoint-1").exists()
    found, _, _ = run(url, store, kept, what="keep", work=str(work))  # as it finds it again
    assert found["before"] == ["checkpoint-1"]


@pytest.mark.slow
def test_a_task_that_was_lost_is_resumed_from_what_it_had_saved(
    store: S3Artifacts, machines: Machines, tmp_path: Path
) -> None:
    work = store.work("ada", "sft_checkpoint", "d1")
    _, _, why = run(ECS, store, tmp_path, what="keep", work=str(work), then="die")
    assert "ended without a result" in why
    found, _, why = run(ECS, store, tmp_path, what="keep", work=str(work))
    assert (why, found["before"]) == ("", ["checkpoint-1"])


@pytest.mark.slow
@pytest.mark.parametrize("url", [ECS, SAGEMAKER])
def test_cancelling_a_run_stops_its_machine(
    url: str, store: S3Artifacts, machines: Machines, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    code = (
        "from pathlib import Path; from resources.artifacts_s3 import S3Artifacts;"
        "from llmtwin_assets_tests.resources import test_compute_aws as t;"
        "from resources import compute_aws; compute_aws.POLL = 0.2;"
        f"store = S3Artifacts({store.bucket.url('')!r}, Path({str(store.root)!r}));"
        f"t.run({url!r}, store, Path({str(tmp_path)!r}), what='stay', pids={str(pids)!r},"
        " stubborn=False)"
    )
    started = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 120
    while not pids.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    started.wait(120)
    (name,) = machines.running
    assert machines.stopped == [name]
    machines.running[name].wait(60)
    script, child = map(int, pids.read_text().split())
    assert not Path(f"/proc/{script}").exists()
    assert not Path(f"/proc/{child}").exists()


def test_machines_elsewhere_need_a_store_that_they_reach(tmp_path: Path) -> None:
    for url in (ECS, SAGEMAKER):
        with pytest.raises(BadComputeError, match="LLMTWIN_ARTIFACTS_URL=s3://"):
            open_compute(url, ArtifactStore(tmp_path))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ecs://gpus", "names no task definition"),
        ("ecs://gpus/twin?gpu=1", "no option 'gpu'"),
        ("sagemaker://image", "no role"),
        (f"{SAGEMAKER}&hours=many", "no whole number"),
    ],
)
def test_a_bad_url_says_what_is_wrong_with_it(store: S3Artifacts, url: str, problem: str) -> None:
    with pytest.raises(BadComputeError, match=problem):
        open_compute(url, store)


def _file(name: str, text: str):
    def build(folder: Path) -> dict[str, Any]:
        (folder / name).write_text(text)
        return {}

    return build
