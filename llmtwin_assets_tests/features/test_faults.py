"""A killed run of the features loses and duplicates nothing; a repeated one writes nothing."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from llmtwin_assets.overview import FEATURES
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.graph import World, failure, rebuilt
from llmtwin_assets_tests.writing import authors_yaml, paragraph, write_essays
from resources.vectors import open_vectors

pytestmark = pytest.mark.slow

RUN = """
import sys
from pathlib import Path
from llmtwin_assets.overview import FEATURES
from llmtwin_assets_tests.graph import World
home, registry, model = map(Path, sys.argv[1:])
assert World(home, registry, model).materialise("ada", FEATURES).success
"""


@pytest.fixture
def base_model(tmp_path: Path) -> Path:
    return tiny_model.build(tmp_path / "base")


def world(home: Path, registry: Path, base_model: Path) -> World:
    return World(home, registry, base_model)


def made(world: World) -> None:
    result = world.materialise("ada", FEATURES)
    assert result.success, failure(result)


def table(world: World, asset: str, name: str) -> pl.DataFrame:
    version = world.artifacts.current("ada", asset)
    assert version is not None
    return pl.read_parquet(version.file(name))


def contents(world: World) -> dict[str, Any]:
    """Everything the features hold of the author."""
    rows = table(world, "chunks", "chunks.parquet")
    vectors = open_vectors(world.settings.vectors_url)
    (hits,) = vectors.search("ada", ["the lantern and the copper harbour"], 10_000)
    return {
        "documents": table(world, "cleaned_documents", "documents.parquet").to_dicts(),
        "chunks": rows.to_dicts(),
        "hashes": sorted(table(world, "embeddings", "embeddings.parquet")["text_hash"]),
        "points": vectors.count("ada"),
        "found": sorted((hit.id, round(hit.score, 5)) for hit in hits),
    }


def killed_while_building(asset: str, arguments: list[str], home: Path) -> bool:
    """Start a run and kill it as soon as this asset is being built; False if it came to its end."""
    child = subprocess.Popen([sys.executable, "-c", RUN, *arguments])
    folder = home / "artifacts" / "ada" / asset
    while child.poll() is None:
        if folder.is_dir() and any(path.name.startswith(".") for path in folder.iterdir()):
            child.kill()
            return child.wait() < 0
        time.sleep(0.001)
    return False


def test_a_run_killed_in_every_asset_ends_as_one_that_was_not(
    tmp_path: Path, base_model: Path
) -> None:
    write_essays(tmp_path / "ada", 12)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "ada")
    home = tmp_path / "killed"
    arguments = [str(home), str(registry), str(base_model)]
    killed = [
        killed_while_building(asset, arguments, home)
        for asset in ("cleaned_documents", "chunks", "embeddings")
    ]
    assert killed[-1]
    assert any(killed[:-1])
    after, whole = (world(tmp_path / n, registry, base_model) for n in ("killed", "whole"))
    made(after)
    made(whole)
    assert contents(after) == contents(whole)


def test_three_runs_write_once_and_an_edit_changes_its_own_chunks(
    tmp_path: Path, base_model: Path
) -> None:
    folder = tmp_path / "ada"
    write_essays(folder, 100, paragraphs=2)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=folder)
    ada = world(tmp_path / "home", registry, base_model)
    made(ada)

    def files() -> dict[Path, int]:
        roots = (ada.settings.home / name for name in ("artifacts", "vectors"))
        return {
            path: path.stat().st_mtime_ns
            for root in roots
            for path in root.rglob("*")
            if path.is_file() and path.name != ".lock"
        }

    first = contents(ada)  # the engine touches an index when it opens it
    before = files()
    for _ in range(2):
        again = ada.materialise("ada", FEATURES)
        assert set(rebuilt(again).values()) == {False}
    assert files() == before

    edited = folder / "essay-00042.md"
    edited.write_text(f"{edited.read_text()}\n{paragraph(random.Random(1))}\n", "utf-8")
    made(ada)
    second = contents(ada)
    ids = {name: {row["id"] for row in found["chunks"]} for name, found in
           (("first", first), ("second", second))}  # fmt: skip
    (document,) = {row["id"] for row in second["documents"]} - {
        row["id"] for row in second["documents"] if row in first["documents"]
    }
    changed = ids["first"] ^ ids["second"]
    owners = {row["document_id"] for row in first["chunks"] + second["chunks"]
              if row["id"] in changed}  # fmt: skip
    assert owners == {document}

    edited.unlink()
    made(ada)
    third = contents(ada)
    assert document not in {row["document_id"] for row in third["chunks"]}
    assert third["points"] == len([row for row in third["chunks"] if not row["twin"]])
    kept = [row["id"] for row in second["chunks"] if row["document_id"] != document]
    assert [row["id"] for row in third["chunks"]] == kept
