"""Every format of served weights that can be written here is loaded like any other model."""

from dataclasses import asdict
from pathlib import Path

import pytest

from llmtwin_assets.training import backend, formats, models, quantize
from llmtwin_assets.training.recipes import RECIPES
from llmtwin_assets_tests import tiny_model

PROMPT = "You are a writer. Write about the union."
TEXT = "Ambition must be made to counteract ambition."


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose rows are a whole number of 64-weight blocks, as 4-bit kernels want."""
    return tiny_model.build(tmp_path_factory.mktemp("wide"), hidden=128)


@pytest.mark.parametrize(
    ("form", "share", "cost"),
    [
        ("f16", 1.1, 0.01),
        ("q8_0", 0.7, 0.01),
        ("q4_0", 0.6, 0.1),
        ("int8", 0.7, 0.01),
        ("nf4", 0.6, 0.1),
    ],
)
def test_a_format_is_smaller_and_says_nearly_the_same(
    wide: Path, tmp_path: Path, form: str, share: float, cost: float
) -> None:
    formats.write(wide, tmp_path / form, "tiny", form)
    nats = []
    for directory in (wide, tmp_path / form):
        model, tokenizer = models.load(directory)
        [(some, tokens)] = models.nats_per_token(model, tokenizer, [PROMPT], [TEXT])
        nats.append(some / tokens)
    assert quantize.size(tmp_path / form) < share * quantize.size(wide)
    assert abs(nats[1] - nats[0]) < cost


def test_an_unknown_format_is_refused_with_the_known_ones(wide: Path, tmp_path: Path) -> None:
    with pytest.raises(formats.UnknownFormatError, match="q8_0"):
        formats.write(wide, tmp_path / "x", "tiny", "q3")


def test_super_blocks_need_llama_cpp(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(formats.QuantisationFailedError, match="llama-quantize is not on the PATH"):
        formats.write(wide, tmp_path / "x", "tiny", "q4_k_m")


def test_the_words_of_llama_quantize_reach_the_refusal(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "llama-quantize"
    program.write_text("#!/bin/sh\necho 'no such type' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(formats.QuantisationFailedError, match=r"code 3\. no such type"):
        formats.write(wide, tmp_path / "x", "tiny", "q4_k_m")


@pytest.mark.parametrize("form", ["gptq", "awq"])
def test_a_format_for_a_gpu_names_the_extra_it_needs(wide: Path, tmp_path: Path, form: str) -> None:
    with pytest.raises(backend.MissingExtraError, match=r"llm-twin\[gptq\]"):
        formats.write(wide, tmp_path / "x", "tiny", form, [TEXT])


def test_every_recipe_names_a_format_that_exists() -> None:
    assert {asdict(recipe)["weights"] for recipe in RECIPES.values()} <= set(formats.WRITERS)
