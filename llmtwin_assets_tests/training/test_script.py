"""What every script shares: spec in, progress out, result or refusal left behind."""

import errno
import json
import sys
from pathlib import Path
from typing import Any

import dagster_pipes
import pytest

from llmtwin_assets.training import script
from resources.artifacts import NoRoomError
from resources.errors import LlmTwinError


def _spec(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"output": str(tmp_path / "out"), **fields}))
    return path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = _spec(tmp_path)
    monkeypatch.setattr(sys, "argv", ["script", str(path)])
    monkeypatch.delenv(dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR, raising=False)
    return tmp_path / "out"


def test_a_result_is_left_in_the_output_directory(command: Path) -> None:
    assert script.main(lambda spec, report: {"steps": 3}) == 0
    assert json.loads((command / "result.json").read_text()) == {"steps": 3}


def test_a_refusal_exits_with_1_and_leaves_its_three_sentences(
    command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(spec: script.Spec, report: script.Report) -> dict[str, Any]:
        raise LlmTwinError("essay 7", "it is empty", "Write it")

    assert script.main(refuse) == 1
    left = json.loads((command / "error.json").read_text())
    assert (left["item"], left["problem"], left["remedy"]) == ("essay 7", "it is empty", "Write it")
    assert "essay 7: it is empty. Write it." in capsys.readouterr().err
    assert not (command / "result.json").exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EDQUOT, "over quota"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_a_refusal_and_not_a_traceback(command: Path, error: Exception) -> None:
    def fill(spec: script.Spec, report: script.Report) -> dict[str, Any]:
        raise error

    assert script.main(fill) == 1
    assert json.loads((command / "error.json").read_text())["kind"] == NoRoomError.__name__


def test_a_success_removes_the_refusal_of_an_earlier_try(command: Path) -> None:
    command.mkdir()
    (command / "error.json").write_text("{}")
    assert script.main(lambda spec, report: {}) == 0
    assert not (command / "error.json").exists()


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"output": 3}'])
def test_a_bad_spec_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text)
    with pytest.raises(script.BadSpecError, match=r"spec\.json"):
        script.read_spec(["script", str(path)])


def test_a_missing_spec_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(script.BadSpecError, match="ENOENT"):
        script.read_spec(["script", str(tmp_path / "none.json")])


def test_progress_shows_the_first_line_then_one_every_two_seconds_and_the_last() -> None:
    times = iter([0.0, 0.5, 1.9, 2.0, 3.9, 3.95])
    shown: list[str] = []
    progress = script.Progress(shown.append, interval=2.0, clock=lambda: next(times))
    for number in range(5):
        progress(str(number))
    progress("5", last=True)
    assert shown == ["0", "3", "5"]


def test_a_progress_line_reads_as_one() -> None:
    text = script.line("sft", 12, 31, "loss 3.08", 118.2, 130.9)
    assert text == "sft 12/31 loss 3.08 118 tokens/s 2:10 left"


def test_under_pipes_the_result_and_the_progress_reach_the_parent(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = tmp_path / "messages"
    monkeypatch.setenv(
        dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR,
        dagster_pipes.encode_param({"data": _pipes_context()}),
    )
    monkeypatch.setenv(
        dagster_pipes.DAGSTER_PIPES_MESSAGES_ENV_VAR,
        dagster_pipes.encode_param({"path": str(messages)}),
    )

    def work(spec: script.Spec, report: script.Report) -> dict[str, Any]:
        report("sft 1/2")
        return {"steps": 2}

    assert script.main(work) == 0
    sent = [json.loads(row) for row in messages.read_text().splitlines()]
    assert any(row["method"] == "log" and row["params"]["message"] == "sft 1/2" for row in sent)
    custom = [row["params"]["payload"] for row in sent if row["method"] == "report_custom_message"]
    assert custom == [{"result": {"steps": 2}}]


def _pipes_context() -> dict[str, Any]:
    return {
        "asset_keys": ["sft_checkpoint"],
        "code_version_by_asset_key": {"sft_checkpoint": None},
        "provenance_by_asset_key": {"sft_checkpoint": None},
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "run",
        "job_name": "job",
        "retry_number": 0,
        "extras": {},
    }
