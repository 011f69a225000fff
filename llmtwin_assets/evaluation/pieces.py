"""Texts cut to comparable lengths. Pieces are spans of the text as it stands, so that punctuation
and line breaks stay. A word is what stands between blanks; in scripts without blanks, a
character."""

from collections.abc import Mapping, Sequence

from llmtwin_assets.features.words import RUN, first_words, length


def pieces(text: str, size: int, keep_short: bool = False) -> list[str]:
    """Pieces of ``size`` words, one after the other; what is left over joins the last. A text with
    fewer words is one piece if it has at least half as many, or if ``keep_short``."""
    found = list(RUN.finditer(text))
    count = len(found) // size
    if count == 0:
        return [text] if found and (keep_short or 2 * len(found) >= size) else []
    starts = [found[number * size].start() for number in range(count)]
    ends = [*(found[number * size - 1].end() for number in range(1, count)), found[-1].end()]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def equal_lengths(sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Sets of texts that are prompt by prompt about as long as each other: each text is cut to the
    length of the shortest that answers its prompt, but an answer of less than half the median cuts
    nobody. Sets have one text per prompt, in the same order."""
    lengths = {name: [length(text) for text in texts] for name, texts in sets.items()}
    rooms = [_room(list(each)) for each in zip(*lengths.values(), strict=True)]
    return {
        name: [first_words(text, room) for text, room in zip(texts, rooms, strict=True)]
        for name, texts in sets.items()
    }


def _room(lengths: list[int]) -> int:
    median = sorted(lengths)[len(lengths) // 2]
    return min((length for length in lengths if 2 * length >= median), default=0)
