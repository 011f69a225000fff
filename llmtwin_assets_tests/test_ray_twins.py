"""Two authors' twins made by a Ray cluster: runs and scripts are Ray jobs, nothing is shared but
the stores, and a machine beside the cluster serves what came out."""

from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.overview import ASSETS, overview
from llmtwin_assets.progress import cause
from llmtwin_assets.serving.endpoint import serving
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.graph import write_writers
from llmtwin_assets_tests.ray_deployment import ray_deployment
from llmtwin_assets_tests.writing import authors_yaml, write_essays
from resources.artifacts import open_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

AUTHORS = ("ada", "ben")
SCRIPTS = ("sft", "sample", "dpo", "quantize", "measure")


def test_every_step_from_sources_to_the_endpoint_runs_on_the_cluster(tmp_path: Path) -> None:
    from ray.job_submission import JobSubmissionClient

    for author in AUTHORS:
        write_essays(tmp_path / "essays" / author, 12)
    authors_yaml(
        tmp_path / "authors.yaml", **{name: tmp_path / "essays" / name for name in AUTHORS}
    )
    model = tiny_model.build(tmp_path / "model")
    with ray_deployment(tmp_path, model, write_writers(tmp_path / "writers")) as deployment:
        runs = deployment.backfill(AUTHORS, seconds=2000)
        assert {run.tags["dagster/partition"] for run in runs} == set(AUTHORS)
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}, [
            why(deployment.instance, run) for run in runs
        ]
        for name in ASSETS:
            made = deployment.instance.get_materialized_partitions(dg.AssetKey(name))
            assert made == set(AUTHORS), name
        jobs = JobSubmissionClient(f"http://{deployment.nodes.address}").list_jobs()
        scripts = [job for job in jobs if "resources.staged" in job.entrypoint]
        # Every script of both, and each on the node that has the GPU.
        assert len(scripts) == len(SCRIPTS) * len(AUTHORS)
        assert {job.driver_node_id for job in scripts} == {deployment.nodes.gpu}
        assert sum("execute_run" in job.entrypoint for job in jobs) == len(AUTHORS)
        # Here, where none of it ran.
        artifacts = open_artifacts(deployment.settings.artifacts_url)
        for author in AUTHORS:
            endpoint = serving(artifacts, author)
            twin = artifacts.current(author, "quantized_checkpoint")
            assert twin is not None
            assert endpoint.twin == twin.digest
            assert endpoint.model.is_relative_to(tmp_path / "here")
            assert set(overview(deployment.settings, author)["assets"]) == set(ASSETS)


def why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """What a run says of its failure."""
    found = [entry.dagster_event for entry in instance.all_logs(run.run_id)]
    errors = [event.step_failure_data.error for event in found if event and event.is_step_failure]
    errors += [event.engine_event_data.error for event in found if event and event.is_engine_event]
    return [cause(error) for error in errors if error]
