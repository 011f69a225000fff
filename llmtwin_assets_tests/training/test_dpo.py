"""Preference optimisation, end to end on the tiny model."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from llmtwin_assets import prompts, records
from llmtwin_assets.records import PreferenceSample
from llmtwin_assets.training import checkpoints, dpo, models, recipes, script

Spec = dict[str, Any]


@pytest.fixture
def spec(tiny: Path, pairs: Path, smoke: Spec, tmp_path: Path) -> Spec:
    return {
        "model": str(tiny),
        "pairs": str(pairs),
        "author_name": "A Writer",
        "recipe": smoke | {"preference_passes": 4},
        "output": str(tmp_path / "out"),
        "work": str(tmp_path / "work"),
    }


def _preference(directory: Path, pairs: list[PreferenceSample]) -> float:
    """Mean over pairs of how much likelier the chosen text is, in nats per token."""
    model, tokenizer = models.load(directory)
    heads = [
        prompts.render(tokenizer, prompts.messages("A Writer", pair.instruction)) for pair in pairs
    ]
    sides = [
        models.nats_per_token(model, tokenizer, heads, [getattr(pair, side) for pair in pairs])
        for side in ("rejected", "chosen")
    ]
    means = [sum(n for n, _ in side) / sum(t for _, t in side) for side in sides]
    return means[0] - means[1]


@pytest.mark.parametrize("method", ["lora", "full", "qlora"])
def test_the_authors_text_becomes_likelier_than_the_models(
    spec: Spec, tiny: Path, pairs: Path, method: str
) -> None:
    spec["recipe"]["dpo_method"] = method
    result = script.run(dpo.main, spec, lambda text: None)
    rows = dpo.preferences(pairs)
    assert _preference(Path(spec["output"]) / "model", rows) > _preference(tiny, rows)
    assert result["margins"][0][1] == pytest.approx(0.0, abs=0.02 if method == "full" else 1e-3)
    assert result["margins"][-1][1] > 0
    assert result["pairs"] == 8
    assert result["steps"] == 8
    assert not Path(spec["work"]).exists()
    assert (Path(spec["output"]) / "adapter").is_dir() == (method != "full")


def test_the_first_loss_is_that_of_a_policy_that_equals_its_reference(
    spec: Spec, tiny: Path, pairs: Path
) -> None:
    import math

    spec["recipe"]["dpo_nll_weight"] = 0.0
    result = script.run(dpo.main, spec, lambda text: None)
    assert result["loss"][0][1] == pytest.approx(math.log(2), abs=2e-3)


def test_both_sides_are_cut_to_equal_length_without_an_end(
    tiny: Path, pairs: Path, smoke: Spec
) -> None:
    tokenizer = models.tokenizer_of(tiny)
    rows = dpo.encode(tokenizer, "A Writer", dpo.preferences(pairs), recipes.Recipe(**smoke))
    for row in rows:
        assert len(row["chosen_ids"]) == len(row["rejected_ids"]) <= smoke["preference_tokens"]
        assert tokenizer.eos_token_id not in row["chosen_ids"] + row["rejected_ids"]


def test_pairs_without_two_different_texts_are_refused(
    tiny: Path, pairs: Path, smoke: Spec
) -> None:
    tokenizer = models.tokenizer_of(tiny)
    same = [
        PreferenceSample(**{**row, "rejected": row["chosen"]})
        for row in pl.read_parquet(pairs).iter_rows(named=True)
    ]
    with pytest.raises(checkpoints.NothingToTrainError):
        dpo.encode(tokenizer, "A Writer", same, recipes.Recipe(**smoke))


def test_an_empty_file_of_pairs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    records.to_frame(PreferenceSample, []).write_parquet(path)
    with pytest.raises(checkpoints.NothingToTrainError, match=r"none\.parquet"):
        dpo.preferences(path)
