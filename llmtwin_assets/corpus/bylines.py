"""Whether a byline is the author's. A piece of several hands is nobody's alone: not theirs."""

import re
import unicodedata

from llmtwin_assets.authors import Author

BY = re.compile(r"^\s*(?:written |posted |published )?by[:\s]+", re.IGNORECASE)
SEPARATOR = re.compile(r"\s*(?:,|;|&|\+|/|\band\b|\bwith\b|\bund\b|\bet\b|\by\b)\s*", re.IGNORECASE)


def is_by(byline: str, author: Author) -> bool:
    """Whether ``byline`` names the author, by their name or one of their other bylines, and nobody
    else. Case, accents and spaces do not matter."""
    names = {folded(name) for name in (author.name, author.id, *author.bylines)}
    text = BY.sub("", byline)
    if folded(text) in names:
        return True
    parts = [folded(part) for part in SEPARATOR.split(text) if part.strip()]
    return bool(parts) and all(part in names for part in parts)


def folded(name: str) -> str:
    """A name as it is compared: ``Ada  O'Neill-Björk`` is ``adaoneillbjork``."""
    decomposed = unicodedata.normalize("NFKD", name.strip().lstrip("@").casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())
