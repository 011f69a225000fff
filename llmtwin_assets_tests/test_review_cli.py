"""Reviewing in a terminal: a real one, an editor that is a program, and a pipe."""

import os
import pty
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmtwin_assets.cli import app
from llmtwin_assets.datasets.reviewing import Pairs
from llmtwin_assets.records import Document
from llmtwin_assets.settings import PROJECT, Settings, from_environment
from llmtwin_assets_tests.serving.world import add_documents, add_pairs
from llmtwin_assets_tests.writing import authors_yaml, essay, write_essays
from resources.artifacts import open_artifacts
from resources.interactions import open_interactions

HOSTILE = "Essay \x1b[31m in red \u202e"
BETTER = "Tell me of the harbour as you would tell a child."


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    authors = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path, bob=tmp_path)
    for name, value in {
        "LLMTWIN_HOME": tmp_path / "home", "LLMTWIN_AUTHORS": authors, "DAGSTER_HOME": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    return from_environment(os.environ)


@pytest.fixture
def pairs(settings: Settings) -> Pairs:
    texts = [essay(n).split("---\n")[2].strip() for n in range(3)]
    rows = [
        Document(
            id=f"d{n}", kind="article", url="", title=HOSTILE, published=date(2024, 1, 1),
            text=text, search=text, raw_hash=str(n), split="train",
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip
    add_documents(settings, "ada", rows)
    return add_pairs(settings, "ada")


def terminal(keys: str, *options: str) -> str:
    """What the command shows in a terminal in which somebody types ``keys``."""
    ours, theirs = pty.openpty()
    script = "import sys; from llmtwin_assets.cli import app; app()"
    command = [sys.executable, "-c", script, "dataset", "review", "ada", *options]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=PROJECT)
    os.close(theirs)
    os.write(ours, keys.encode())
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how a terminal says that nobody is left
        pass
    os.close(ours)
    assert child.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def test_pairs_are_decided_about_in_a_terminal(
    settings: Settings, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[1], 'w').write({BETTER!r})\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    shown = terminal("a\n?\ne\ne\nb\nn\nr\nmail ada@lovelace.example\nq\n")
    ids = [pair.id for pair in pairs.all]
    made = open_interactions(settings.interactions_url).decisions("ada")
    assert {pair: [each["verdict"] for each in said] for pair, said in made.items()} == {
        ids[0]: ["accepted"], ids[1]: ["edited"], ids[2]: ["rejected"],
    }  # fmt: skip
    assert made[ids[1]][0]["instruction"] == BETTER
    assert made[ids[2]][0]["reason"] == "mail [e-mail]"
    assert "would drop this row: same instruction" in shown  # the second edit, of the third pair
    assert f"3 of {len(ids)} reviewed: 1 accepted, 1 edited, 1 rejected." in shown
    assert "\x1b" not in shown.replace("\x1b[?2004h", "").replace("\x1b[?2004l", "").strip()
    assert "\u202e" not in shown


def test_pairs_are_made_to_be_read_and_nothing_is_trained(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    write_essays(tmp_path / "essays", 8)
    authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "essays", bob=tmp_path)
    made = CliRunner().invoke(app, ["dataset", "make", "ada"])
    assert "The training data of ada is ready" in made.stdout, made.output
    told = CliRunner().invoke(app, ["dataset", "review", "ada"]).stdout
    store = open_artifacts(settings.artifacts_url)
    data = store.current("ada", "instruct_dataset")
    assert data is not None
    assert f"0 of {data.facts['rows']} reviewed" in told
    assert store.authors("sft_checkpoint") == []


def test_over_a_pipe_pairs_are_shown_and_nothing_is_decided(
    settings: Settings, pairs: Pairs
) -> None:
    def run(*options: str):
        return CliRunner().invoke(app, ["dataset", "review", "ada", *options], input="a\na\n")

    result = run()
    assert result.exit_code == 0
    assert result.stdout.count("unreviewed") == len(pairs.all)
    assert pairs.all[0].row.answer in result.stdout
    assert f"0 of {len(pairs.all)} reviewed" in result.stdout
    assert "This is no terminal" in result.stderr
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert open_interactions(settings.interactions_url).decisions("ada") == {}
    assert run("--status", "accepted").stdout == (
        f"0 of {len(pairs.all)} reviewed: 0 accepted, 0 edited, 0 rejected.\n"
    )
    refused = run("--status", "loved")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)
    other = CliRunner().invoke(app, ["dataset", "review", "bob"])
    assert "instruct_dataset of bob: it has not been materialised" in other.stderr
