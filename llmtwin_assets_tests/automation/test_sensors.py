import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.automation.sensors import (
    TRIES,
    Membership,
    Request,
    asked,
    authors_and_sources,
    due,
    membership,
    read_cursor,
    training_due,
    write_cursor,
)
from llmtwin_assets.corpus.ingest import ingest
from llmtwin_assets.corpus.reading import Context
from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.writing import authors_yaml, write_essays
from resources.artifacts import ArtifactStore
from resources.sqlite_documents import SqliteDocuments


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def tick(instance: dg.DagsterInstance, registry: Path, cursor: str | None = None):
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    return authors_and_sources(context, registry=AuthorsFile(registry))


def test_membership_is_what_the_file_adds_and_leaves_out() -> None:
    assert membership(["a", "b"], ["b", "c"]) == Membership(add=["a"], retire=["c"])
    assert membership([], []) == Membership(add=[], retire=[])


def test_only_sources_that_look_different_are_asked_for() -> None:
    before = {"a": Request("1", 4), "b": Request("1", 7), "c": Request("9", 1)}
    assert asked({"a": "1", "b": "2", "d": "5"}, before, ()) == {
        "b": Request("2", 8),
        "d": Request("5", 1),
    }


def test_a_state_that_comes_back_is_asked_for_by_a_new_key() -> None:
    seen: dict[str, Request] = {}
    keys = []
    for state in ("1", "1", "2", "1", "1"):
        wanted = asked({"a": state}, seen, ())
        keys += [request.key("a") for request in wanted.values()]
        seen |= wanted
    assert keys == ["a:1:1", "a:2:2", "a:3:1"]


def test_what_failed_is_tried_again_a_few_times_and_anew_when_it_changes() -> None:
    seen, keys = {"a": Request("1", 1)}, ["a:1:1"]
    for _ in range(5):
        wanted = asked({"a": "1"}, seen, failed=keys)
        keys += [request.key("a") for request in wanted.values()]
        seen |= wanted
    assert len(keys) == TRIES
    assert asked({"a": "2"}, seen, failed=keys) == {"a": Request("2", TRIES + 1)}


def test_a_cursor_is_read_as_it_was_written() -> None:
    requests = {"a": Request("1", 4, 2), "b": Request("x", 1)}
    assert read_cursor(write_cursor(requests)) == requests
    assert read_cursor(None) == {}


def test_training_is_due_without_a_checkpoint_and_after_a_tenth_of_new_words() -> None:
    assert due(1_000, None)
    assert not due(1_099, 1_000)
    assert due(1_100, 1_000)
    assert due(800, 1_000)


def test_new_authors_join_and_get_one_run_per_content(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write_essays(tmp_path / "a", 3)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "a")
    first = tick(instance, registry)
    assert [r.partition_key for r in first.run_requests] == ["ada"]
    assert first.dynamic_partitions_requests[0].partition_keys == ["ada"]
    instance.add_dynamic_partitions("author", ["ada"])
    again = tick(instance, registry, first.cursor)
    assert (again.run_requests, again.dynamic_partitions_requests) == ([], [])
    (tmp_path / "a" / "new.md").write_text("A new thought.")
    third = tick(instance, registry, again.cursor)
    keys = {request.run_key for request in (*first.run_requests, *third.run_requests)}
    assert len(keys) == 2


def test_a_removed_author_is_retired_and_nothing_is_deleted(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write_essays(tmp_path / "a", 3)
    instance.add_dynamic_partitions("author", ["ada", "bob"])
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "a")
    (request,) = tick(instance, registry).dynamic_partitions_requests
    assert isinstance(request, dg.DeleteDynamicPartitionsRequest)
    assert request.partition_keys == ["bob"]


def test_a_broken_file_skips_with_its_reason_and_retires_nobody(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("author", ["ada"])
    registry = tmp_path / "authors.yaml"
    registry.write_text("authors: [")
    skipped = tick(instance, registry)
    assert isinstance(skipped, dg.SkipReason)
    assert "not YAML" in str(skipped.skip_message)


def test_one_broken_source_does_not_stop_the_others(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write_essays(tmp_path / "a", 3)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "a", bob=tmp_path / "b")
    registry.write_text(registry.read_text().replace(str(tmp_path / "b"), "package:nothing/x"))
    result = tick(instance, registry)
    assert [request.partition_key for request in result.run_requests] == ["ada"]
    assert list(read_cursor(result.cursor)) == ["ada"]


def test_training_is_requested_once_per_data_set_that_is_due(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    store = ArtifactStore(tmp_path)
    instance.add_dynamic_partitions("author", ["ada", "bob", "eve"])
    for author, train_words in {"ada": 1_000, "bob": 1_000}.items():
        facts = {"train": 10, "train_words": train_words}
        store.publish(author, "instruct_dataset", "d1", lambda folder, facts=facts: facts)
    store.publish("bob", "sft_checkpoint", "c1", lambda folder: {"train_words": 990})
    context = dg.build_sensor_context(instance=instance)
    result = training_due(context, artifacts=store)
    assert [(r.partition_key, r.run_key) for r in result.run_requests] == [("ada", "ada:d1")]


def test_a_code_server_evaluates_the_sensor_with_the_graphs_own_resources(tmp_path: Path) -> None:
    write_essays(tmp_path / "a", 3)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "a", bob=tmp_path / "a")
    home = tmp_path / "dagster"
    home.mkdir()
    environment = {"LLMTWIN_AUTHORS": str(registry), "DAGSTER_HOME": str(home)}
    result = subprocess.run(
        [sys.executable, "-m", "dagster", "sensor", "preview", authors_and_sources.name],
        env=os.environ | environment, cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "run requests for 2 run(s)" in result.stdout + result.stderr


def test_a_tick_without_its_cursor_asks_for_a_thousand_documents_by_the_same_keys(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """What a killed tick leaves is the old cursor: the next one asks for the same runs by the same
    keys. That the daemon starts a key once is Dagster's promise, and is not tried here."""
    folder = tmp_path / "ada"
    folder.mkdir()
    registry = authors_yaml(tmp_path / "authors.yaml", ada=folder)
    author = AuthorsFile(registry).read().author("ada")
    store = SqliteDocuments(tmp_path / "documents.sqlite")
    instance.add_dynamic_partitions("author", ["ada"])
    started: set[str] = set()
    cursor: str | None = None
    written = 0
    for number in range(10):
        for document in range(100 * number, 100 * (number + 1)):
            (folder / f"note-{document:04d}.md").write_text(f"# Note {document}\n\n{document} " * 9)
        killed = tick(instance, registry, cursor)
        again = tick(instance, registry, cursor)
        assert [r.run_key for r in again.run_requests] == [r.run_key for r in killed.run_requests]
        new = {request.run_key for request in (*killed.run_requests, *again.run_requests)} - started
        assert len(new) == 1
        started |= new
        for _ in new:
            written += ingest(store, Context(author, registry.parent, "article")).inserted
        cursor = again.cursor
        assert tick(instance, registry, cursor).run_requests == []
    assert written == 1_000
    assert len(started) == 10
