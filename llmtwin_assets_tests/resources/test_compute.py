from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets_tests.graph import failure
from resources.compute import SubprocessCompute

SCRIPT = "llmtwin_assets_tests.resources.a_script"


def run(output: Path, **spec: Any) -> tuple[dict[str, Any], list[str], str]:
    """The script's result, what it logged into the run, and why the run failed."""
    found: dict[str, Any] = {}

    @dg.asset
    def thing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found.update(SubprocessCompute().run(context, SCRIPT, {"output": str(output), **spec}))
        return dg.MaterializeResult()

    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize([thing], instance=instance, raise_on_error=False)
    records = instance.all_logs(result.run_id)
    return found, [record.user_message for record in records], failure(result)


def test_a_script_returns_its_result_and_logs_into_the_run(tmp_path: Path) -> None:
    found, logged, why = run(tmp_path, what="add", numbers=[1, 2, 3])
    assert why == ""
    assert found == {"sum": 6, "offline": "1"}
    assert "at work" in logged
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_comes_back_in_the_scripts_own_words(tmp_path: Path) -> None:
    found, _, why = run(tmp_path, what="refuse")
    assert found == {}
    assert "the corpus: it is too small. Add writing." in why


def test_a_killed_script_says_where_to_look(tmp_path: Path) -> None:
    found, _, why = run(tmp_path, what="die")
    assert found == {}
    assert "ended without a result" in why
    assert "compute log" in why
