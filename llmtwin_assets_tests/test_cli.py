import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmtwin_assets.cli import app, service
from llmtwin_assets.console import shortened
from llmtwin_assets.overview import CORPUS
from llmtwin_assets.settings import PROJECT, from_environment
from llmtwin_assets_tests.corpus.exports import medium, zipped
from llmtwin_assets_tests.corpus.test_feeds import item, rss, xml
from llmtwin_assets_tests.git_server import Work
from llmtwin_assets_tests.website import Website
from llmtwin_assets_tests.writing import authors_yaml, paragraph, write_essays
from resources.interactions import open_interactions


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_essays(tmp_path / "ada", 3)
    monkeypatch.setenv("LLMTWIN_HOME", str(tmp_path / "home"))
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "ada")
    monkeypatch.setenv("LLMTWIN_AUTHORS", str(registry))
    monkeypatch.setenv("DAGSTER_HOME", "x")  # so that what the command sets is undone
    monkeypatch.delenv("DAGSTER_HOME")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("twin", "eve"), "eve: no such author; the file lists ada"),
        (("corpus", "eve"), "eve: no such author; the file lists ada"),
        (("ask", "eve", "Why?"), "eve: no such author"),
        (("ask", "ada", "Why?"), "no twin of this author serves yet"),
        (("ask", "ada", " "), "the question: it is empty"),
        (("ask", "ada", "x" * 8001), "the question: it is 8,001 characters long"),
        (("rollback", "ada"), "no twin of this author serves yet"),
        (("rollback", "eve"), "eve: no such author; the file lists ada"),
        (("traffic", "eve"), "eve: no such author"),
        (("push", "ada", "--to", "me/ada"), "no twin of this author serves yet"),
        (("push", "ada"), "ada: there is no repository to push to"),
        (("status", "eve"), "eve: no such author"),
        (("twin", "ada", "--recipe", "sourdough"), "sourdough: no recipe has this name"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_one(run, arguments, said) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_recipes_come_with_the_memory_they_need_for_this_base_model(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmtwin_assets_tests import tiny_model

    monkeypatch.setenv("LLMTWIN_BASE_MODEL", str(tiny_model.build(tmp_path / "tiny")))
    assert "llama-3.1-8b-qlora" in run("recipes").stdout
    needs = json.loads(run("recipes", "--json").stdout)
    assert 0.8 <= sum(needs["smoke"]["sft"].values()) < 1.0


def test_an_unknown_author_creates_nothing(run, tmp_path: Path) -> None:
    run("ask", "eve", "Why?")
    run("status", "eve")
    assert not (tmp_path / "home" / "artifacts").exists()


def test_status_of_a_new_author_is_empty_and_readable(run) -> None:
    assert run("status").stdout.startswith("ada (Ada Writer)")
    assert '"assets": {}' in run("status", "--json").stdout


def test_a_feed_an_archive_and_a_repository_become_a_corpus(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a newcomer does it: three entries in authors.yaml, one command."""
    looms, engine = (
        "\n\n".join(paragraph(random.Random(f"{name}{n}")) for n in range(9))
        for name in ("looms", "engine")
    )
    zipped(tmp_path / "medium.zip", medium())
    work = Work(tmp_path / "work")
    work.commit(README_dot_md=f"# Engine\n\n{engine}\n", mine_dot_py="def f():\n    return  1\n")
    with Website({"/feed": xml(rss(item("looms", f"<p>{looms}</p>")))}) as site:
        (tmp_path / "authors.yaml").write_text(
            "authors:\n  - id: ada\n    name: Ada Writer\n    sources:\n"
            f"      - {{type: feed, url: '{site.url('/feed')}'}}\n"
            "      - {type: archive, path: medium.zip}\n"
            "      - {type: repository, path: work}\n"
        )
        refused = run("corpus", "ada")
        assert refused.exit_code == 1
        assert "FAILED 127.0.0.1" in refused.stdout
        assert "name it in LLMTWIN_ALLOW_PRIVATE_HOSTS" in refused.stdout
        monkeypatch.setenv("LLMTWIN_ALLOW_PRIVATE_HOSTS", site.host)
        made = run("corpus", "ada")
    assert made.exit_code == 0, made.stdout + made.stderr
    assert "ok   nothing lost in cleaning" in made.stdout
    row = json.loads(run("status", "ada", "--json").stdout)[0]
    assert set(row["assets"]) == set(CORPUS)
    figures = row["assets"]["raw_articles"]["figures"]
    assert figures[f"from feed {site.url('/feed')}"] == 1
    assert figures["from archive medium.zip"] == 2
    assert figures["from repository work"] == 1
    assert row["assets"]["cleaned_documents"]["figures"]["documents"] == 5


def test_dagsters_files_stay_below_the_home(run, tmp_path: Path) -> None:
    before = sorted(PROJECT.iterdir())
    run("status")
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "home" / "dagster")
    configured = (tmp_path / "home" / "dagster" / "dagster.yaml").read_text()
    assert configured == (PROJECT / "dagster.yaml").read_text()
    assert sorted(PROJECT.iterdir()) == before


def test_a_taken_port_is_named_with_another_to_try(run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = run("serve", "--port", str(port)).stderr
    assert f"port {port}: something else listens on it" in said
    assert f"--port {port + 2}" in said


def test_where_to_ask_and_where_to_review_is_told_once_the_service_answers(run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, ready = service(from_environment(), "127.0.0.1", port)
    page = f"http://127.0.0.1:{port}"
    told = f"Ask your twin: {page}\nReview what it learns from: {page}/review"
    assert ready == {f"{page}/healthz": told}


def test_a_public_address_needs_a_key(run) -> None:
    result = run("serve", "--host", "0.0.0.0")
    assert result.exit_code == 1
    assert "llmtwin key create" in result.stderr


def test_a_key_is_shown_once_and_can_be_revoked(run, tmp_path: Path) -> None:
    made = run("key", "create", "ada", "--label", "the newsletter").stdout
    secret = made.splitlines()[0]
    kept = (tmp_path / "home" / "keys.json").read_text()
    assert secret.startswith("lt_")
    assert secret not in kept
    (row,) = json.loads(run("key", "list", "--json").stdout)
    assert (row["author"], row["label"]) == ("ada", "the newsletter")
    assert secret not in run("key", "list").stdout
    assert run("key", "revoke", row["id"]).exit_code == 0
    assert run("key", "list").stdout.startswith("No keys")
    assert "there is none of this id" in run("key", "revoke", row["id"]).stderr
    assert run("key", "create", "eve").exit_code == 1


def test_marked_answers_are_shown_with_what_readers_said(run, tmp_path: Path) -> None:
    assert "set LLMTWIN_SAMPLE" in run("traffic", "ada").stdout
    assert run("traffic", "ada", "--json").stdout == ""
    store = open_interactions(f"sqlite:///{tmp_path}/home/documents.sqlite")
    for number in range(3):
        trace = {
            "id": f"t{number}", "author": "ada", "started": f"2026-11-22T10:00:0{number}+00:00",
            "version": "v1", "question": f"What of {number}?", "answer": "That.",
            "sampled": number < 2, "passages": [],
        }  # fmt: skip
        store.add_trace(trace)
    store.add_feedback("ada", "t1", -1, "This.")
    rows = [json.loads(line) for line in run("traffic", "ada", "--json").stdout.splitlines()]
    told = [(row["question"], row["rating"], row["better"]) for row in rows]
    assert told == [("What of 0?", None, None), ("What of 1?", -1, "This.")]
    shown = run("traffic", "ada").stdout
    assert "2026-11-22T10:00  v1  not rated\n  > What of 0?\n    That." in shown
    assert "not good" in shown


def test_help_needs_no_heavy_library() -> None:
    script = (
        "import sys; sys.argv = ['llmtwin', '--help']\n"
        "from llmtwin_assets.cli import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "assert not {'dagster', 'torch', 'polars'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for command in ("twin", "ask", "serve", "status", "rollback", "traffic", "dev", "key"):
        assert command in result.stdout


def test_text_is_shortened_between_words() -> None:
    assert shortened("one  two\nthree") == "one two three"
    assert shortened("word " * 50, 12) == "word word …"
