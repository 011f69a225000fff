"""What of a twin goes to a hub, and what has to be true before it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.serving import endpoint, publish
from resources import hub
from resources.artifacts import ArtifactStore

MADE = {"base": "b1", "data": "d1"}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def _files(*names: str, **facts: Any) -> Callable[[Path], dict[str, Any]]:
    def build(folder: Path) -> dict[str, Any]:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)
        return facts

    return build


def _twin(store: ArtifactStore, made_of: dict[str, str]) -> None:
    weights = ("model/model.safetensors", "model/config.json", "model/README.md")
    adapter = ("adapter/adapter_model.safetensors", "plots/loss.png", "model/training_args.bin")
    store.publish("ada", "dpo_checkpoint", "c1", _files(*weights, *adapter, made_of=made_of))
    store.publish("ada", "quantized_checkpoint", "q1", _files(made_of=MADE))
    served = _files("model/model-q8_0.gguf", "model/config.json", name="Ada", twin="q1", report="r")
    store.publish("ada", "endpoint", "e1", served)


def test_weights_adapter_card_and_what_is_served_go_up_and_nothing_else(
    store: ArtifactStore,
) -> None:
    _twin(store, MADE)
    assert sorted(publish.files(store, "ada")) == [
        "README.md",
        "adapter/adapter_model.safetensors",
        "config.json",
        "model-q8_0.gguf",
        "model.safetensors",
    ]


def test_a_checkpoint_that_does_not_serve_is_not_pushed(store: ArtifactStore) -> None:
    _twin(store, MADE | {"data": "d2"})
    with pytest.raises(publish.TwinMovedOnError, match="not stored any more"):
        publish.files(store, "ada")


def test_an_author_without_a_twin_has_nothing_to_push(store: ArtifactStore) -> None:
    with pytest.raises(endpoint.NoTwinError):
        publish.files(store, "ada")


def test_a_push_needs_a_repository(store: ArtifactStore) -> None:
    with pytest.raises(hub.NoRepositoryError, match="LLMTWIN_HUB_REPOSITORY"):
        publish.push(store, "ada", "")
