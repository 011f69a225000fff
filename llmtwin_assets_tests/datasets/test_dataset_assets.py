"""The data set as an asset, and the commands that read it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from llmtwin_assets.cli import app
from llmtwin_assets.datasets import marking, review
from llmtwin_assets.datasets.assets import read_samples, read_table
from llmtwin_assets.datasets.card import render
from llmtwin_assets.datasets.quality import DROPPED, SAMPLES
from llmtwin_assets.overview import FEATURES
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.datasets.rows import row
from llmtwin_assets_tests.graph import World, closed_gates, failure, rebuilt
from llmtwin_assets_tests.writing import authors_yaml, essay, write_essays
from resources.artifacts import Version
from resources.interactions import open_interactions

MADE = [asset for asset in FEATURES if asset not in ("chunks", "embeddings")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    write_essays(tmp_path / "ada", 8)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "ada")
    return World(tmp_path / "home", registry, tmp_path / "none")


def made(world: World) -> Version:
    result = world.materialise("ada", MADE)
    assert result.success, failure(result)
    assert closed_gates(result) == []
    version = world.artifacts.current("ada", "instruct_dataset")
    assert version is not None
    return version


def test_rows_and_dropped_rows_are_stored_and_shown_and_none_is_in_the_log(world: World) -> None:
    (world.settings.authors_file.parent / "ada" / "chrome.md").write_text(
        essay(99) + "\n\n" + "Thanks for reading! Subscribe now and share this post. " * 4
    )
    result = world.materialise("ada", MADE)
    version = world.artifacts.current("ada", "instruct_dataset")
    assert version is not None
    dropped = read_table(version, DROPPED)
    assert "boilerplate" in dropped["reason"].to_list()
    figures = version.facts["figures"]
    assert figures["dropped: boilerplate"] == 1
    assert version.facts["candidates"] == version.facts["rows"] + dropped.height
    page = version.file("report.html").read_text("utf-8")
    log = json.dumps([dg.serialize_value(event) for event in result.all_events])
    assert "plot: candidates" in log
    for text in (read_samples(version)[0].answer, dropped["answer"][0]):
        assert text[:60] in page
        assert text[:60] not in log


def test_one_more_document_leaves_the_rows_of_the_others_as_they_were(world: World) -> None:
    before = {sample.id: sample for sample in read_samples(made(world))}
    folder = world.settings.authors_file.parent / "ada"
    (folder / "new.md").write_text(essay(500))
    after = read_samples(made(world))
    assert len(after) == len(before) + 4
    assert [sample for sample in after if sample.id in before] == list(before.values())


def test_a_given_data_set_joins_and_is_left_again_when_the_setting_goes(
    world: World, tmp_path: Path
) -> None:
    before = made(world)
    mine = read_samples(before)[0]
    again = {"instruction": "Say it your way.", "output": mine.answer}
    general = [{"instruction": row(n).instruction, "output": row(n).answer} for n in range(9)]
    path = tmp_path / "more.jsonl"
    path.write_text("\n".join(map(json.dumps, [again, *general, 7])))
    world.configure(pairs_file=str(path))
    after = made(world)
    rows = read_table(after, SAMPLES)
    given = rows.filter(pl.col("written_by") == "file")
    assert {"given", "general"} == set(given["kind"])
    assert after.facts["figures"]["could not be used"] == 1
    assert after.facts["authored"] < after.facts["rows"]
    assert "record 11 is no pair" in after.file("report.html").read_text("utf-8")
    world.configure(pairs_file="")
    assert made(world).digest == before.digest
    assert rebuilt(world.materialise("ada", MADE))["instruct_dataset"] is False


def test_the_commands_show_and_export_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTWIN_HOME", str(world.settings.home))
    monkeypatch.setenv("LLMTWIN_AUTHORS", str(world.settings.authors_file))
    monkeypatch.setenv("DAGSTER_HOME", "x")

    def run(*arguments: str):
        return CliRunner().invoke(app, ["dataset", *arguments])

    assert "instruct_dataset of ada: it has not been materialised" in run("show", "ada").stderr
    version = made(world)
    shown = run("show", "ada").stdout
    assert f"ada, version {version.digest}" in shown
    assert "words to train on" in shown
    assert "passed every rule" in shown
    assert shown.count("; unreviewed)") == len(set(read_table(version, SAMPLES)["kind"])) * 2
    first = read_samples(version)[0]
    said = {"author": "ada", "pair": review.id_of(first), "verdict": "rejected", "by": "k1"}
    open_interactions(world.settings.interactions_url).add_decision(said)
    assert (
        f"; rejected by k1, {datetime.now(UTC):%Y-%m}" in run("show", "ada", "--rows", "99").stdout
    )
    told = json.loads(run("show", "ada", "--kind", "write", "--rows", "1", "--json").stdout)
    assert [len(rows) for rows in told["rows"].values()] == [1]
    out = tmp_path / "out.jsonl"
    assert run("export", "ada", "--format", "alpaca", "--out", str(out)).exit_code == 0
    assert len(out.read_text("utf-8").splitlines()) == version.facts["train"]
    card = (tmp_path / "out.jsonl.README.md").read_text("utf-8")
    assert "| folder | 8 | not stated | public |" in card
    refused = run("export", "ada", "--format", "csv", "--out", str(out))
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)
    for format_, taken in (("parquet", out), ("alpaca", tmp_path)):
        refused = run("export", "ada", "--format", format_, "--out", str(taken))
        assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)
        assert "in --out" in refused.stderr
    assert "no such author" in run("show", "eve").stderr


def test_a_teacher_is_asked_when_one_is_set(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(messages: list[dict[str, str]]) -> str:
        names = sorted(set(messages[1]["content"].split()[-40:]))[::6]
        return json.dumps({"text": f"{messages[1]['content'][:20]} of {' '.join(names)}"})

    def evolve(messages: list[dict[str, str]]) -> str:
        if "Request: " not in messages[1]["content"]:
            return answer(messages)
        passage = messages[1]["content"].partition("Passage:\n\n")[2]
        said = {"answered_by": passage.partition(".")[0]}
        return json.dumps(said | {"text": " ".join(sorted(set(passage.split()))[::2][:20])})

    with serving(ChatServer(evolve)) as url:
        monkeypatch.setenv("LLMTWIN_TEACHER_URL", url)
        monkeypatch.setenv("LLMTWIN_TEACHER_PRICES", "1,2")
        version = made(world)
        world.configure(evolve=("depth",))
        evolved = made(world)
    kinds = set(read_table(version, SAMPLES)["kind"])
    assert {"explain", "answer", "rewrite", "whole"} < kinds
    figures = version.facts["figures"]
    assert figures["teacher: calls so far"] == 7 * (4 * 3 + 1)
    assert figures["teacher: cost so far"] > 0
    assert (world.settings.home / "teacher" / "ada.sqlite").exists()
    assert evolved.digest != version.digest
    assert evolved.facts["figures"]["evolved in depth"] > 10
    assert "of" in read_table(evolved, SAMPLES).filter(pl.col("evolved") != "")["evolved"][0]


def test_a_judge_marks_what_is_kept_and_its_marks_are_on_the_page_and_the_card(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [each for each in read_samples(made(world)) if each.split == "train"]
    answers = {each.instruction: each.answer for each in rows}

    def answer(messages: list[dict[str, str]]) -> str:
        asked = messages[0]["content"].partition("Request: ")[2]
        request, _, text = asked.partition("\n\nText:\n")
        mark = 1 if request == rows[0].instruction else 4
        return json.dumps(
            dict.fromkeys(("helpful", "fit"), mark if answers[request] == text else 1)
        )

    with serving(ChatServer(answer)) as url:
        monkeypatch.setenv("LLMTWIN_MARKS_URL", url)
        version = made(world)
        assert rebuilt(world.materialise("ada", MADE))["instruct_dataset"] is False
    figures = version.facts["figures"]
    assert figures["marked"] == len(rows)
    assert version.facts["judge_believed"]
    assert figures["dropped: low marks"] == 1
    assert figures["marks: calls so far"] == len(rows) + marking.PLANTED
    page = version.file("report.html").read_text("utf-8")
    assert "low marks (1)" in page
    assert "marked 4.0 of 4" in page
    card = render("Ada", version.digest, version.facts, [], {})
    assert "| low marks | 1 |" in card
    assert f"| marked | {len(rows)} |" in card
