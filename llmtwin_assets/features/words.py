"""Words and their sequences, for everything that compares texts: leaks, copies, duplicates, style.

Words are runs of letters, so that case, punctuation and line breaks hide nothing. It knows no model
and no file.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

EIGHT = 8  # words in a row: long enough that two people rarely write the same by accident

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
OTHER = UNSPACED.pattern[1:-1]  # letters of scripts without blanks: each is a word
RUN = re.compile(rf"[{OTHER}][^\w\s{OTHER}]*|[^\s{OTHER}]+")  # a word, punctuation and all


def words(text: str) -> list[str]:
    """The words of ``text``, case folded, in order. Scripts that put no space between words (Thai,
    Japanese, Chinese) give one word per character."""
    if text.isascii():
        return WORD.findall(text.casefold())
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return WORD.findall(UNSPACED.sub(r" \g<0> ", plain))


def ngrams(sequence: Sequence[str], n: int = EIGHT) -> Iterator[tuple[str, ...]]:
    """Every run of ``n`` words in a row; none when the text is shorter."""
    return zip(*(sequence[start:] for start in range(n)), strict=False)


def length(text: str) -> int:
    """How many words a text has, as a reader counts them."""
    return len(RUN.findall(text))


def first_words(text: str, count: int) -> str:
    """The beginning of ``text`` as it stands, ``count`` words (as ``length`` counts them) long, or
    all of it to its last word."""
    found = [match.end() for _, match in zip(range(count), RUN.finditer(text), strict=False)]
    return text[: found[-1]] if found else ""
