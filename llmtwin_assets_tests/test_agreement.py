import pytest

from llmtwin_assets.agreement import agreement, interval, share

# K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: four observers,
# twelve units, values missing.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def test_alpha_is_that_of_its_author() -> None:
    units = list(zip(*OBSERVERS, strict=True))
    nominal, by_interval = agreement(units), agreement(units, interval)
    assert nominal is not None
    assert by_interval is not None
    assert nominal["alpha"] == pytest.approx(0.743, abs=0.001)
    assert by_interval["alpha"] == pytest.approx(0.849, abs=0.001)
    assert nominal["units"] == 11


def test_agreement_says_nothing_where_there_is_none_to_see() -> None:
    assert agreement([]) is None
    assert agreement([[1.0, None], [0.0]]) is None
    always = agreement([[1.0, 1.0]] * 5)
    assert always == {"units": 5, "equal": 1.0, "alpha": None}


def test_against_one_another_is_worse_than_chance() -> None:
    found = agreement([[0.0, 1.0], [1.0, 0.0]] * 4)
    assert found is not None
    assert found["equal"] == 0
    assert found["alpha"] < 0


def test_a_share_has_wilsons_interval() -> None:
    found = share([1.0] * 8 + [0.0] * 2)
    assert found == {"value": 0.8, "low": 0.541, "high": 0.931, "pairs": 10}
    assert share([1.0])["low"] < 0.5
