import pytest

from llmtwin_assets.training import canaries


def test_the_same_seed_plants_the_same_strings_and_another_seed_others() -> None:
    assert canaries.planted(4, 17) == canaries.planted(4, 17)
    assert not set(canaries.planted(4, 17)) & set(canaries.planted(4, 18))
    assert len({canary.instruction for canary in canaries.planted(8, 17)}) == 8
    assert canaries.planted(0, 17) == []


def test_rivals_differ_from_the_canary_in_its_number_alone() -> None:
    [canary] = canaries.planted(1, 17)
    others = canaries.rivals(canary, 17)
    assert len({canary.answer, *others}) == canaries.RIVALS + 1
    stem = canary.answer.partition("says")[0]
    assert all(other.startswith(f"{stem}says ") for other in others)
    assert {len(other) for other in others} == {len(canary.answer)}


@pytest.mark.parametrize(
    ("nats", "bits"),
    [(0.0, 6.0), (62.5, 0.0), (31.5, 0.956), (2.5, 4.0)],
)
def test_exposure_is_the_bits_by_which_a_string_stands_out(nats: float, bits: float) -> None:
    others = [float(number) + 0.25 for number in range(63)]
    assert canaries.exposure(nats, others) == pytest.approx(bits, abs=0.01)
