"""The graph over artifacts in a bucket: made on one machine, read and gone on with on another."""

from pathlib import Path

import pytest

from llmtwin_assets.datasets.assets import read_samples
from llmtwin_assets.overview import FEATURES
from llmtwin_assets_tests.aws_server import BUCKET, aws_server
from llmtwin_assets_tests.graph import World, failure, rebuilt
from llmtwin_assets_tests.writing import authors_yaml


@pytest.mark.slow
def test_what_one_machine_made_another_does_not_make_again(
    tmp_path: Path, essays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = authors_yaml(tmp_path / "authors.yaml", ada=essays)
    with aws_server():
        world = World(tmp_path / "home", registry, tmp_path / "no-model-is-loaded")
        world.configure(artifacts_url=f"s3://{BUCKET}/{tmp_path.name}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
        first = world.materialise("ada", FEATURES)
        assert failure(first) == ""
        assert all(rebuilt(first).values())
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        again = world.materialise("ada", FEATURES)
        assert failure(again) == ""
        assert not any(rebuilt(again).values())
        data = world.artifacts.current("ada", "instruct_dataset")
        assert data is not None
        assert data.path.is_relative_to(tmp_path / "other")
        assert read_samples(data)
