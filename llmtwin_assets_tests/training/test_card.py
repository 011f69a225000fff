"""The model card says what is known and nothing else."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmtwin_assets.training import card
from llmtwin_assets.training.recipes import RECIPES

FACTS: dict[str, Any] = {
    "base_name": "HuggingFaceTB/SmolLM2-135M-Instruct@a1b2",
    "made_of": {"base": "0" * 16, "data": "1" * 16, "recipe": "2" * 16, "code": "3" * 16},
    "recipe": asdict(RECIPES["quick"]),
    "figures": {"steps": 35, "last held-out loss": 3.13},
    "history": {"loss": [[1, 3.4]]},
}


def test_a_card_holds_what_the_model_is_made_of_and_what_was_measured() -> None:
    text = card.render("supervised fine-tuning", FACTS)
    for said in ("SmolLM2-135M-Instruct", "1" * 16, "3" * 16, "3.13", "sft learning rate | 0.0001"):
        assert said in text


def test_its_metadata_is_yaml_that_links_the_base_model() -> None:
    import yaml

    _, head, _ = card.render("supervised fine-tuning", FACTS).split("---\n", 2)
    assert yaml.safe_load(head)["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_local_base_is_not_linked() -> None:
    text = card.render("supervised fine-tuning", FACTS | {"base_name": "my-model"})
    assert "base_model:" not in text
    assert "my-model" in text


def test_a_value_cannot_break_out_of_its_cell() -> None:
    text = card.render("x", FACTS | {"base_name": "a|b\n\n# heading"})
    assert "a\\|b # heading" in text


def test_it_is_written_beside_the_weights_and_the_adapter(tmp_path: Path) -> None:
    for name in card.DIRECTORIES:
        (tmp_path / name).mkdir()
    card.write(tmp_path, "x", FACTS)
    assert (tmp_path / "model" / "README.md").read_text() == (
        tmp_path / "adapter" / "README.md"
    ).read_text()


def test_nothing_of_the_environment_gets_in(monkeypatch) -> None:
    for number in range(12):
        monkeypatch.setenv(f"SECRET_{number}", f"canary-{number}-9f8e")
    assert "canary-" not in card.render("x", json.loads(json.dumps(FACTS)))
