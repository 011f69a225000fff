"""What a model should still be able to do after it has learned to write as one author: predict
plain modern prose, and follow a short instruction.

The prose is Python's own reference topics, which come with every installation; the instructions are
ours, and a rule tells whether a reply follows each (as in Zhou et al. 2023, "Instruction-following
evaluation for large language models", arXiv 2311.07911, which also holds that a rule beats a judge
where a rule will do). Small models follow few of them: what counts is the change from the base
model. Nothing of it may be trained on. Models are not known here.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

PARAGRAPHS = 24
SHORTEST, LONGEST = 250, 700  # characters of a paragraph
ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)


@dataclass(frozen=True)
class Instruction:
    """What is asked, and the rule that a reply follows."""

    text: str
    follows: Callable[[str], bool]


@cache
def prose() -> tuple[str, ...]:
    """Paragraphs of plain prose, the same on every run of one Python version."""
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    found = list(
        dict.fromkeys(
            " ".join(paragraph.split())
            for name in sorted(topics)
            for paragraph in re.split(r"\n\s*\n", topics[name])
            if _is_prose(paragraph)
        )
    )
    return tuple(found[index * len(found) // PARAGRAPHS] for index in range(PARAGRAPHS))


def texts() -> list[str]:
    """All that is asked: the paragraphs, then the instructions."""
    return [*prose(), *(instruction.text for instruction in INSTRUCTIONS)]


def followed(replies: Sequence[str]) -> float:
    """Share (0 to 1) of ``INSTRUCTIONS`` that the replies, in their order, follow."""
    pairs = zip(INSTRUCTIONS, replies, strict=True)
    return sum(instruction.follows(reply) for instruction, reply in pairs) / len(INSTRUCTIONS)


def _is_prose(paragraph: str) -> bool:
    text = " ".join(paragraph.split())
    letters = sum(character.isalpha() or character == " " for character in text)
    return (
        SHORTEST <= len(text) <= LONGEST
        and text[0].isupper()
        and text.endswith(".")
        and letters >= 0.9 * len(text)
    )


def _has(pattern: str) -> Callable[[str], bool]:
    return lambda reply: re.search(pattern, reply, re.IGNORECASE) is not None


def _items(count: int) -> Callable[[str], bool]:
    return lambda reply: len(ITEM.findall(reply)) == count


def _words(most: int) -> Callable[[str], bool]:
    return lambda reply: 0 < len(reply.split()) <= most


def _upper(reply: str) -> bool:
    return reply.isupper()


INSTRUCTIONS = (
    Instruction("Answer with one word only: what colour is a ripe banana?", _words(1)),
    Instruction("Is water wet? Begin your answer with Yes or No.", _has(r"^\W*(yes|no)\b")),
    Instruction("List three fruits as bullet points.", _items(3)),
    Instruction("What is the capital of France?", _has(r"\bparis\b")),
    Instruction("What is two plus three?", _has(r"\b(5|five)\b")),
    Instruction("Repeat exactly: The kettle is on the stove.", _has(r"^\W*the kettle is on the")),
    Instruction("Write hello in capital letters and nothing else.", _upper),
    Instruction("Name the days of the weekend.", _has(r"saturday.*sunday|sunday.*saturday")),
    Instruction("Write a sentence about rain with the word umbrella.", _has(r"\bumbrellas?\b")),
    Instruction("Translate into French: good morning.", _has(r"\bbonjour\b")),
    Instruction("How do you boil an egg? Begin with the word First.", _has(r"^\W*first\b")),
    Instruction("In at most fifteen words, say what a bicycle is.", _words(15)),
    Instruction("Give the opposite of the word hot.", _has(r"\bcold\b")),
    Instruction("Give two numbered steps for locking a door.", _items(2)),
    Instruction("Which is larger, an ant or an elephant?", _has(r"\belephant\b")),
    Instruction("Answer with the word Done and nothing else.", _words(1)),
)
