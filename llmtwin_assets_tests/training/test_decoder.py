from pathlib import Path
from typing import Any

import pytest
import torch

from llmtwin_assets.training import models
from llmtwin_assets.training.decoder import (
    Decoder,
    Matrix,
    NotServableError,
    Prompt,
    Rows,
    in_8_bits,
)
from llmtwin_assets_tests import tiny_model

WINDOW = 256
EXACT, ROUNDED = 1e-4, 0.01  # logits; a token more or less of context changes some by 0.1
IDS = [(7 * n * n + 3 * n) % 500 for n in range(200)]


def even_model(directory: Path, seed: int = 0) -> Path:
    """The tiny model with matrices that 8 bits hold exactly: whole numbers up to 127, by 1,024."""
    from safetensors.torch import load_file, save_file

    path = tiny_model.build(directory, seed) / "model.safetensors"
    tensors = load_file(path)
    for name, weight in tensors.items():
        if weight.ndim == 2:
            whole = (weight.float() * 1024).round().clamp(-126, 126)
            rows = torch.arange(len(whole))
            whole[rows, (rows * 7) % whole.shape[1]] = 127
            tensors[name] = (whole / 1024).to(weight.dtype)
    save_file(tensors, path, metadata={"format": "pt"})
    return directory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return even_model(tmp_path_factory.mktemp("tiny"))


def loaded(tiny: Path, dtype: str = "float32") -> tuple[Decoder, Any]:
    return Decoder(models.load(tiny, dtype)[0], WINDOW), models.load(tiny, dtype)[0]


def read(decoder: Decoder, ids: list[int]) -> Prompt:
    prompt = Prompt(decoder)
    decoder.read(prompt, ids)
    return prompt


def rows_of(decoder: Decoder, lengths: list[int]) -> Rows:
    rows = Rows(decoder, 16)
    for length in lengths:
        rows.join(read(decoder, IDS[:length]))
    return rows


@torch.inference_mode()
def test_its_logits_are_those_of_transformers(tiny: Path) -> None:
    decoder, model = loaded(tiny)
    expected = model(torch.tensor([IDS[:80]])).logits[0]
    prompt, rows = Prompt(decoder), Rows(decoder, 2)
    found = [decoder.read(prompt, IDS[:50]), decoder.read(prompt, IDS[50:70])]
    rows.join(prompt)
    found += [decoder.step(rows, [token])[0] for token in IDS[70:80]]  # few rows: in bf16
    for logits, place in zip(found[:2], (49, 69), strict=True):
        assert torch.allclose(logits, expected[place], atol=EXACT)
    for logits, place in zip(found[2:], range(70, 80), strict=True):
        assert torch.allclose(logits, expected[place], atol=ROUNDED)
        assert not torch.allclose(logits, expected[place - 1], atol=10 * ROUNDED)


@torch.inference_mode()
def test_rows_of_any_length_take_their_next_token_together(tiny: Path) -> None:
    decoder, model = loaded(tiny)
    lengths = [5, 90, 64, 31]
    found = decoder.step(rows_of(decoder, lengths), [IDS[length] for length in lengths])
    for row, length in enumerate(lengths):
        expected = model(torch.tensor([IDS[: length + 1]])).logits[0, -1]
        assert torch.allclose(found[row], expected, atol=ROUNDED)


@torch.inference_mode()
def test_a_row_that_leaves_or_joins_changes_nothing_for_the_others(tiny: Path) -> None:
    decoder, model = loaded(tiny)
    rows = rows_of(decoder, [20, 90, 33])
    rows.leave(0)  # the last row takes its place
    rows.join(read(decoder, IDS[:61]))
    rows.leave(2)
    rows.join(read(decoder, IDS[:12]))
    assert rows.lengths == [33, 90, 12]
    found = decoder.step(rows, [IDS[length] for length in rows.lengths])
    for row, length in enumerate((33, 90, 12)):
        expected = model(torch.tensor([IDS[: length + 1]])).logits[0, -1]
        assert torch.allclose(found[row], expected, atol=ROUNDED)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@torch.inference_mode()
def test_logits_do_not_depend_on_the_rows_beside_to_the_last_bit(tiny: Path, dtype: str) -> None:
    decoder, _ = loaded(tiny, dtype)

    def written(others: list[int]) -> torch.Tensor:
        rows = rows_of(decoder, [40, *others])
        steps = [decoder.step(rows, [IDS[n]] * (1 + len(others)))[0] for n in range(40)]
        return torch.stack(steps)

    alone = written([])
    for count in (1, 2, 5, 8, 15):
        assert torch.equal(written([(37 * n) % 150 + 1 for n in range(count)]), alone), count


@torch.inference_mode()
def test_a_row_may_fill_the_whole_window(tiny: Path) -> None:
    decoder, model = loaded(tiny)
    ids = (IDS * 2)[:WINDOW]
    prompt, rows = Prompt(decoder), Rows(decoder, 1)
    for start in range(0, WINDOW - 1, 100):
        decoder.read(prompt, ids[start : min(start + 100, WINDOW - 1)])
    rows.join(prompt)
    found = decoder.step(rows, [ids[-1]])
    assert rows.lengths == [WINDOW]
    assert torch.allclose(found[0], model(torch.tensor([ids])).logits[0, -1], atol=ROUNDED)


def test_8_bits_hold_a_matrix_to_half_a_step_of_its_largest_number() -> None:
    weight = torch.randn(7, 64) * torch.tensor([[1e-3], [1.0], [50.0], [0.0], [1.0], [1.0], [1.0]])
    numbers, scale = in_8_bits(weight)
    wrong = (numbers * scale[:, None] - weight).abs().amax(1)
    assert bool((wrong <= weight.abs().amax(1) / 127 / 2 * 1.001).all())
    assert bool((numbers[3] == 0).all())


@pytest.mark.parametrize("inputs", [8, 33, 40, 64, 72])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_of_any_width_is_multiplied(inputs: int, bias: bool) -> None:
    layers = [torch.nn.Linear(inputs, outputs, bias=bias) for outputs in (5, 16)]
    rows = torch.randn(3, 2 * inputs)[:, :inputs]  # not contiguous
    expected = torch.cat([layer(rows) for layer in layers], -1)
    matrix = Matrix(*layers)
    assert torch.allclose(matrix.many(rows), expected, atol=1e-5)
    assert torch.allclose(matrix.few(rows), expected, atol=0.02)


def test_a_model_of_another_architecture_is_refused(tiny: Path) -> None:
    model, _ = models.load(tiny)
    model.config.model_type = "mamba"
    with pytest.raises(NotServableError, match="mamba"):
        Decoder(model, WINDOW)
