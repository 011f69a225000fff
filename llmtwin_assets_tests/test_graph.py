"""The graph as its users see it, on a random two-layer model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from llmtwin_assets.evaluation.leaderboard import leaderboard
from llmtwin_assets.overview import ASSETS, FEATURES, overview
from llmtwin_assets.serving.endpoint import rollback, serving
from llmtwin_assets.serving.in_process import ask_here
from llmtwin_assets.training.recipes import RECIPES
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.chat_server import ChatServer
from llmtwin_assets_tests.chat_server import serving as serving_chat
from llmtwin_assets_tests.graph import World, closed_gates, failure, rebuilt
from llmtwin_assets_tests.writing import authors_yaml, essay, write_essays
from resources.embedder import Embedder
from resources.vectors import open_vectors


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.build(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, base_model: Path):
    """A world in which one author's whole chain was made once."""
    home = tmp_path_factory.mktemp("world")
    write_essays(home / "ada", 12)
    registry = authors_yaml(home / "authors.yaml", ada=home / "ada")
    world = World(home / "home", registry, base_model)
    return world, world.materialise("ada")


@pytest.fixture
def world(tmp_path: Path, essays: Path, base_model: Path) -> World:
    registry = authors_yaml(tmp_path / "authors.yaml", ada=essays)
    return World(tmp_path / "home", registry, base_model)


def test_every_asset_is_made_and_every_gate_opens(made) -> None:
    _, result = made
    assert result.success, failure(result)
    assert rebuilt(result) == dict.fromkeys(ASSETS, True)
    assert closed_gates(result) == []
    assert len(result.get_asset_check_evaluations()) >= 20


def test_nothing_is_made_twice(made) -> None:
    world, _ = made
    kinds = (".parquet", ".safetensors", ".gguf")
    files = [path for path in world.settings.home.rglob("*") if path.suffix in kinds]
    before = {path: path.stat().st_mtime_ns for path in files}
    again = world.materialise("ada")
    assert again.success
    assert rebuilt(again) == dict.fromkeys(ASSETS, False)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_twin_that_serves_is_the_one_that_was_evaluated_and_it_answers(made) -> None:
    world, _ = made
    endpoint = serving(world.artifacts, "ada")
    report = world.artifacts.current("ada", "eval_report")
    twin = world.artifacts.current("ada", "quantized_checkpoint")
    assert report is not None
    assert twin is not None
    assert endpoint.twin == report.facts["twin"] == twin.digest
    served = {p.name: p.read_bytes() for p in endpoint.model.iterdir()}
    assert served == {p.name: p.read_bytes() for p in (twin.path / "model").iterdir()}
    pieces: list[str] = []
    reply = ask_here(world.settings, "ada", "What carries the copper?", pieces.append)
    assert [p.number for p in reply.passages] == [1, 2, 3]
    assert all(p.url.startswith(str(world.settings.authors_file.parent)) for p in reply.passages)
    assert "".join(pieces) == reply.text
    assert reply.text
    assert reply.version == endpoint.version


def test_the_report_is_a_page_with_its_figures(made) -> None:
    world, _ = made
    report = world.artifacts.current("ada", "eval_report")
    assert report is not None
    page = report.file("report.html").read_text("utf-8")
    assert "The twin of Ada Writer" in page
    systems = {"base", "few_shot", "rag", "sft", "twin", "twin_rag"}
    assert set(report.facts["found"]["systems"]) == systems
    assert leaderboard(world.artifacts)[0]["author"] == "ada"
    assert set(overview(world.settings, "ada")["assets"]) == set(ASSETS)


def test_the_ui_gets_schema_counts_plots_and_versions(made) -> None:
    _, result = made
    events = {e.asset_key.path[-1]: e for e in result.get_asset_materialization_events()}
    chunks = events["chunks"].materialization
    assert chunks.metadata["dagster/row_count"].value > 10
    columns = [column.name for column in chunks.metadata["dagster/column_schema"].schema.columns]
    assert columns[:3] == ["id", "document_id", "position"]
    assert chunks.tags["dagster/data_version"] == chunks.metadata["version"].value
    plots = {
        "sft_checkpoint": "training loss",
        "dpo_checkpoint": "reward margin",
        "raw_articles": "lengths",
    }
    for asset, name in plots.items():
        plot = f"plot: {name}"
        image = events[asset].materialization.metadata[plot].value
        assert image.startswith(f"![{plot}](data:image/png;base64,")


def test_no_text_of_the_author_is_in_the_event_log(made) -> None:
    world, result = made
    log = json.dumps([dg.serialize_value(event) for event in result.all_events])
    version = world.artifacts.current("ada", "cleaned_documents")
    assert version is not None
    for text in pl.read_parquet(version.file("documents.parquet"))["text"]:
        for line in text.split(". "):
            assert line not in log


def test_held_out_documents_train_nothing(made) -> None:
    world, _ = made
    artifacts = world.artifacts
    cleaned = artifacts.current("ada", "cleaned_documents")
    documents = pl.read_parquet(cleaned.file("documents.parquet"))
    held = set(documents.filter(pl.col("split") == "held-out")["id"])
    assert len(held) == 2
    samples = pl.read_parquet(artifacts.current("ada", "instruct_dataset").file("samples.parquet"))
    assert held == set(samples.filter(pl.col("split") == "held-out")["document_id"])
    pairs = pl.read_parquet(artifacts.current("ada", "preference_dataset").file("pairs.parquet"))
    assert held.isdisjoint(pairs["document_id"])


def test_rollback_returns_to_the_previous_twin(made) -> None:
    world, _ = made
    first = serving(world.artifacts, "ada")
    registry = world.settings.authors_file
    registry.write_text(registry.read_text().replace("Ada Writer", "Ada W. Writer"))
    assert world.materialise("ada", ["endpoint"]).success
    assert serving(world.artifacts, "ada").name == "Ada W. Writer"
    assert rollback(world.artifacts, "ada") == first
    assert serving(world.artifacts, "ada") == first
    registry.write_text(registry.read_text().replace("Ada W. Writer", "Ada Writer"))


def knowing(world: World) -> ChatServer:
    """A judge that has read all that the author wrote."""
    data = world.artifacts.current("ada", "instruct_dataset")
    assert data is not None
    rows = pl.read_parquet(data.file("samples.parquet"))
    own = {row["instruction"]: row["answer"] for row in rows.to_dicts()}

    def authors(text: str) -> bool:
        return any(answer.startswith(text.strip()[:200]) for answer in own.values())

    def answer(messages: list[dict[str, str]]) -> str:
        asked = messages[0]["content"]
        if "Text A:" in asked:
            first, _, second = asked.partition("Text A:")[2].partition("Text B:")
            a = (authors(first), first.strip()) > (authors(second), second.strip())
            return json.dumps({"more_like": "A" if a else "B"})
        question, _, text = asked.partition("Question: ")[2].partition("\n\nAnswer:\n")
        right = own[question].startswith(text[:200])
        return json.dumps({"accuracy": 1 + 2 * right, "style": 1 + 2 * authors(text)})

    return ChatServer(answer)


def test_judges_and_labels_are_in_the_report_and_measure_nothing_again(
    made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = made
    before = world.artifacts.current("ada", "eval_report")
    said = [
        {"question": f"What of {number}?", "answer": "It is so.", "relevant": number % 3 > 0}
        for number in range(12)
    ]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(map(json.dumps, said)), "utf-8")
    world.configure(labels=labels)
    with serving_chat(knowing(world)) as url:
        monkeypatch.setenv("LLMTWIN_JUDGE_URL", url)
        monkeypatch.setenv("LLMTWIN_JUDGE_MODEL", "a careful reader")
        result = world.materialise("ada", ["eval_report"])
    monkeypatch.delenv("LLMTWIN_JUDGE_URL")
    world.configure(labels=None)
    assert result.success, failure(result)
    report = world.artifacts.current("ada", "eval_report")
    assert report is not None
    found = report.facts["found"]
    assert not found["judge"]["void"], found["judge"]["because"]
    assert found["judge"]["marks"]["held_out"]["accuracy"]["value"] == 3
    assert found["labelled"]["relevant"]["labelled"] == 12
    text = report.file("report.html").read_text("utf-8")
    assert "a careful reader" in text
    assert "Answers that people judged" in text
    assert world.materialise("ada", ["eval_report"]).success
    assert world.artifacts.current("ada", "eval_report") == before


def test_a_recipe_that_differs_in_what_comes_after_trains_nothing_again(
    made, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = made
    other = replace(RECIPES["smoke"], name="smoke-f16", weights="f16")
    monkeypatch.setitem(RECIPES, "smoke-f16", other)
    stages = ["sft_checkpoint", "preference_dataset", "dpo_checkpoint", "quantized_checkpoint"]
    before = {name: world.artifacts.current("ada", name) for name in stages}
    config = {"sft_checkpoint": {"config": {"recipe": "smoke-f16"}}}
    result = world.materialise("ada", stages, config)
    assert result.success, failure(result)
    after = {name: world.artifacts.current("ada", name) for name in stages}
    assert after["sft_checkpoint"].facts["recipe"]["name"] == "smoke-f16"
    first, second = (
        version["sft_checkpoint"].file("model/model.safetensors").stat().st_ino
        for version in (before, after)
    )
    assert first == second
    assert after["dpo_checkpoint"] == before["dpo_checkpoint"]
    assert after["quantized_checkpoint"].facts["figures"]["weights"] == "f16"
    assert world.materialise("ada", stages).success
    assert {name: world.artifacts.current("ada", name) for name in stages} == before


def test_one_edited_essay_costs_one_essays_work(world: World, essays: Path) -> None:
    assert world.materialise("ada", FEATURES).success
    path = essays / "essay-00004.md"
    path.write_text(path.read_text() + "\n\nThe salted lantern answers nobody at all.\n")
    result = world.materialise("ada", FEATURES)
    assert result.success, failure(result)
    figures = {e.asset_key.path[-1]: e.materialization.metadata
               for e in result.get_asset_materialization_events()}  # fmt: skip
    assert figures["chunks"]["documents split anew"].value == 1
    assert figures["embeddings"]["texts embedded"].value <= 2
    assert figures["embeddings"]["points written"].value <= 2
    assert rebuilt(result)["raw_posts"] is False


def test_a_deleted_article_leaves_no_chunks_and_no_points(world: World, essays: Path) -> None:
    assert world.materialise("ada", FEATURES).success
    before = world.artifacts.current("ada", "chunks").facts["rows"]
    (essays / "essay-00002.md").unlink()
    assert world.materialise("ada", FEATURES).success
    chunks = pl.read_parquet(world.artifacts.current("ada", "chunks").file("chunks.parquet"))
    assert chunks.height < before
    assert not any("essay-00002" in url for url in chunks["url"])
    vectors = open_vectors(world.settings.vectors_url)
    assert vectors.count("ada") == chunks.height
    embedder = Embedder(world.settings.embedder)
    asked = embedder.embed([essay(2)[-300:]])[0].tolist()
    for hits in vectors.search("ada", [asked, essay(2)[-300:]], 50):
        assert not any("essay-00002" in hit.payload["url"] for hit in hits)


def test_an_unreadable_file_is_reported_and_the_run_succeeds(world: World, essays: Path) -> None:
    (essays / "scan.txt").write_bytes(b"\x89PNG\x00\x00")
    result = world.materialise("ada", ["raw_articles", "raw_posts", "raw_repositories"])
    assert result.success
    assert "binary" in overview(world.settings, "ada")["unreadable"]["scan.txt"]
    assert world.artifacts.current("ada", "raw_articles").facts["unreadable"] == 1


def test_a_lost_index_is_made_again(world: World) -> None:
    assert world.materialise("ada", FEATURES).success
    shutil.rmtree(world.settings.home / "vectors")
    assert world.materialise("ada", FEATURES).success
    vectors = open_vectors(world.settings.vectors_url)
    assert vectors.count("ada") == world.artifacts.current("ada", "chunks").facts["rows"]


def test_an_empty_corpus_stops_at_its_gate(world: World, essays: Path) -> None:
    for path in sorted(essays.iterdir())[1:]:
        path.unlink()
    result = world.materialise("ada", FEATURES)
    assert not result.success
    assert set(closed_gates(result)) == {"corpus_is_not_empty", "something_is_held_out"}
    assert world.artifacts.current("ada", "chunks") is None


def test_another_embedding_model_builds_a_new_index(world: World, tmp_path: Path) -> None:
    assert world.materialise("ada", FEATURES).success
    digest = world.artifacts.current("ada", "embeddings").digest
    other = tmp_path / "other-embedder"
    shutil.copytree(Embedder("all-minilm-l6-v2").path, other)
    config = json.loads((other / "tokenizer.json").read_text("utf-8"))
    config["added_tokens"] = config["added_tokens"][::-1]
    (other / "tokenizer.json").write_text(json.dumps(config), "utf-8")
    world.configure(embedder=str(other))
    result = world.materialise("ada", FEATURES)
    assert result.success, failure(result)
    figures = {e.asset_key.path[-1]: e.materialization.metadata
               for e in result.get_asset_materialization_events()}  # fmt: skip
    assert figures["embeddings"]["texts embedded"].value > 10
    assert world.artifacts.current("ada", "embeddings").digest != digest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"authors_file": Path("/nowhere/authors.yaml")}, "there is no such file"),
        ({"embedder": "/nowhere/model"}, "LLMTWIN_EMBEDDER"),
    ],
)
def test_a_wrong_setting_is_a_clear_error(world: World, changes: dict, said: str) -> None:
    world.configure(**changes)
    result = world.materialise("ada", FEATURES)
    assert not result.success
    assert said in failure(result)


def test_a_missing_base_model_is_a_clear_error_and_loses_nothing(world: World) -> None:
    assert world.materialise("ada", FEATURES).success
    world.configure(base_model="/nowhere/model")
    result = world.materialise("ada", ["sft_checkpoint"])
    assert not result.success
    assert "/nowhere/model" in failure(result)
    assert world.artifacts.current("ada", "sft_checkpoint") is None
    assert world.artifacts.current("ada", "instruct_dataset") is not None


def test_an_unknown_recipe_names_those_there_are(world: World) -> None:
    assert world.materialise("ada", FEATURES).success
    config = {"sft_checkpoint": {"config": {"recipe": "sourdough"}}}
    result = world.materialise("ada", ["sft_checkpoint"], config)
    assert not result.success
    assert "quick" in failure(result)


def test_two_authors_share_nothing(tmp_path: Path, base_model: Path) -> None:
    for number, author in enumerate(("ada", "bob")):
        write_essays(tmp_path / author, 4 + number)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "ada", bob=tmp_path / "bob")
    world = World(tmp_path / "home", registry, base_model)
    for author in ("ada", "bob"):
        assert world.materialise(author, FEATURES).success
    root = world.settings.home / "artifacts"
    before = {p: p.read_bytes() for p in (root / "bob").rglob("*") if p.is_file()}
    (tmp_path / "ada" / "essay-00000.md").write_text(essay(77))
    assert world.materialise("ada", FEATURES).success
    assert before == {p: p.read_bytes() for p in (root / "bob").rglob("*") if p.is_file()}
