"""What needs no cluster; test_ray_backfill.py has a real one."""

from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets_tests.graph import failure
from resources.artifacts import ArtifactStore
from resources.compute import BadComputeError, open_compute


def test_a_cluster_that_cannot_be_reached_is_a_clear_error(tmp_path: Path) -> None:
    compute = open_compute("ray://127.0.0.1:9", ArtifactStore(tmp_path))

    @dg.asset
    def thing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        compute.run(context, "no_module", {"output": str(tmp_path)})
        return dg.MaterializeResult()

    result = dg.materialize([thing], raise_on_error=False)
    expected = "the Ray cluster at 127.0.0.1:9: it does not do what was asked"
    assert expected in failure(result)


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
