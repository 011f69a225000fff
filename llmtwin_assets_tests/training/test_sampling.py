import pytest
import torch

from llmtwin_assets.training.sampling import draw

LOGITS = torch.tensor([0.1, 2.0, -1.0, 1.5, 0.0])


def shares(
    logits: torch.Tensor, temperature: float, top_p: float, draws: int = 2000
) -> list[float]:
    """How often each word is drawn when the random numbers are spread evenly."""
    chances = [(n + 0.5) / draws for n in range(draws)]
    words = draw(logits.repeat(draws, 1), [temperature] * draws, [top_p] * draws, chances)
    return [words.count(word) / draws for word in range(len(logits))]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draw(LOGITS[None], [0.0], [1.0], [0.999]) == [1]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_words_are_drawn_as_often_as_the_model_says(temperature: float) -> None:
    expected = (LOGITS / temperature).softmax(-1)
    assert shares(LOGITS, temperature, 1.0) == pytest.approx(expected.tolist(), abs=1e-3)


def test_top_p_leaves_out_what_is_not_needed_to_reach_it() -> None:
    odds = LOGITS.softmax(-1)
    kept = odds * torch.tensor([0, 1, 0, 1, 0])  # 0.51 + 0.31 reach 0.8
    assert float(kept.sum()) >= 0.8
    assert shares(LOGITS, 1.0, 0.8) == pytest.approx((kept / kept.sum()).tolist(), abs=1e-3)


def test_top_p_holds_for_flat_odds_over_many_words() -> None:
    flat = torch.zeros(1, 4000)
    words = {draw(flat, [1.0], [0.5], [n / 1000])[0] for n in range(1000)}
    assert len(words) > 900


def test_rows_are_drawn_by_their_own_settings() -> None:
    rows = LOGITS.repeat(3, 1)
    assert draw(rows, [0.0, 1.0, 1.0], [1.0, 0.01, 1.0], [0.9, 0.9, 0.9999]) == [1, 1, 2]


def test_a_word_that_is_ruled_out_is_never_drawn() -> None:
    ruled = LOGITS.clone()
    ruled[1] = float("-inf")
    assert shares(ruled, 1.0, 1.0)[1] == 0
