"""A tiny model and a tiny data set, built once for the tests of this folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets import records
from llmtwin_assets.records import InstructSample, PreferenceSample
from llmtwin_assets.training.recipes import RECIPES
from llmtwin_assets_tests import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a random two-layer model."""
    return tiny_model.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 instruction samples, every fifth held out; the held-out answers are in capitals."""
    words = tiny_model.TEXT.split()
    rows = []
    for number in range(40):
        split = "held-out" if number % 5 == 0 else "train"
        answer = " ".join(words[number : number + 30])
        rows.append(
            InstructSample(
                id=str(number),
                document_id=str(number // 5),
                split="held-out" if split == "held-out" else "train",
                kind="article",
                instruction=f"Write about {words[number]}.",
                answer=answer.upper() if split == "held-out" else answer,
                start=0,
                end=len(answer),
                origin="author",
                written_by="rules",
            )
        )
    path = tmp_path_factory.mktemp("samples") / "samples.parquet"
    records.to_frame(InstructSample, rows).write_parquet(path)
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight preference pairs: the author's words against the same words reversed."""
    words = tiny_model.TEXT.split()
    rows = []
    for number in range(8):
        chosen = words[number * 8 : number * 8 + 20]
        rows.append(
            PreferenceSample(
                id=str(number),
                sample_id=str(number),
                document_id=str(number),
                instruction=f"Write about {words[number]}.",
                chosen=" ".join(chosen),
                rejected=" ".join(reversed(chosen)),
                start=0,
                end=1,
                origin="author",
            )
        )
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    records.to_frame(PreferenceSample, rows).write_parquet(path)
    return path


@pytest.fixture
def smoke() -> dict[str, Any]:
    """The recipe for tests, as a spec file holds it."""
    return asdict(RECIPES["smoke"])
