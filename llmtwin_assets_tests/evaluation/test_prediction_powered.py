"""Whether the intervals hold what they promise, in worlds whose truth is known."""

import numpy as np
import pytest

from llmtwin_assets.evaluation.prediction_powered import classical, prediction_powered

WORLDS = 500


def worlds(share: float, skill: float, labelled: int, seed: int):
    """Labels of so many answers, predictions for them and for 300 others, in 500 worlds in which
    this share is good; a judge of skill 1 knows, one of skill 0 guesses, and all are too kind."""
    draw = np.random.default_rng(seed)
    for _ in range(WORLDS):
        truth = (draw.random(labelled + 300) < share).astype(float)
        noise = draw.random(labelled + 300)
        guess = np.clip(skill * truth + (1 - skill) * noise + 0.15, 0, 1)
        yield truth[:labelled], guess[:labelled], guess[labelled:]


@pytest.mark.parametrize("labelled", [15, 40])
@pytest.mark.parametrize("skill", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_an_interval_of_95_percent_covers_the_truth_as_often(
    share: float, skill: float, labelled: int
) -> None:
    found = [prediction_powered(*world) for world in worlds(share, skill, labelled, seed=labelled)]
    assert np.mean([each.low <= share <= each.high for each in found]) >= 0.92


def test_a_good_judge_makes_it_narrower_and_a_bad_one_hardly_wider() -> None:
    def width(skill: float) -> float:
        ratios = []
        for labels, guessed, others in worlds(0.6, skill, 40, seed=3):
            ours, plain = prediction_powered(labels, guessed, others), classical(labels)
            ratios.append((ours.high - ours.low) / (plain.high - plain.low))
        return float(np.mean(ratios))

    assert width(0.95) < 0.65
    assert width(0.6) < 0.9
    assert width(0.0) < 1.01


def test_a_judge_that_is_wrong_everywhere_is_corrected() -> None:
    """It thinks that all is good; a tenth is."""
    labels = [1.0] * 4 + [0.0] * 36
    found = prediction_powered(labels, [0.9] * 40, [0.9] * 500)
    assert found.value == pytest.approx(0.1)
    assert found.weight == 0


def test_labels_that_are_all_the_same_still_leave_a_doubt() -> None:
    found = prediction_powered([1.0] * 12, [0.8] * 12, [0.8] * 100)
    assert found.value == found.high == 1
    assert found.low < 0.85


def test_one_label_is_refused() -> None:
    with pytest.raises(ValueError, match="spread"):
        classical([1.0])
