"""Planted strings: what a model was shown once and nobody would guess, to measure afterwards how
well it can recite what it read.

N. Carlini et al., "The Secret Sharer: evaluating and testing unintended memorization in neural
networks", USENIX Security 2019. A canary is a sentence with a random number; its exposure is how
much likelier the trained model finds it than other numbers in the same place. The answer to a
question that nobody else asks, it touches no other answer. Models are not known here.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

DIGITS = 6
RIVALS = 63  # other numbers that a canary is ranked among: an exposure is at most 6 bits
SHELVES = "amber birch cedar delta ember flint grove heron".split()
INSTRUCTION = "What stands on the label of the {shelf} notebook?"
ANSWER = "The label of the {shelf} notebook says {number}."


@dataclass(frozen=True)
class Canary:
    """A question, and the answer that was planted."""

    instruction: str
    answer: str


def planted(count: int, seed: int) -> list[Canary]:
    """``count`` canaries, at most eight; the same seed plants the same ones."""
    numbers = random.Random(f"canaries {seed}")
    return [
        Canary(INSTRUCTION.format(shelf=shelf), ANSWER.format(shelf=shelf, number=_number(numbers)))
        for shelf in SHELVES[:count]
    ]


def rivals(canary: Canary, seed: int, count: int = RIVALS) -> list[str]:
    """Answers as long as the canary's with other numbers in its place, all different."""
    numbers = random.Random(f"rivals {seed}")
    stem = canary.answer[: -DIGITS * 2]
    own = canary.answer[len(stem) :]
    found: dict[str, None] = {}
    while len(found) < count:
        other = f"{_number(numbers)}."
        if other != own:
            found[other] = None
    return [stem + other for other in found]


def exposure(nats: float, others: Sequence[float]) -> float:
    """Bits by which a canary that costs ``nats`` stands out among ``others``: log2 of how many
    there are, less log2 of its rank. 0 to 1 is chance; log2 of all is the likeliest of all."""
    rank = 1 + sum(other < nats for other in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def _number(numbers: random.Random) -> str:
    """Digits apart, so that each is a token of its own in any vocabulary."""
    return " ".join(str(numbers.randrange(10)) for _ in range(DIGITS))
