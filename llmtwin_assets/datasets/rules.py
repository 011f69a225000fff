"""Rules that a row of training data has to pass, as polars expressions over its ``instruction``,
``answer`` and ``language``. Each reason names what is wrong; a row gets the first that applies.
They look at one row at a time, and know neither duplicates nor held-out text.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from llmtwin_assets.features.words import UNSPACED
from llmtwin_assets.masking import mask

if TYPE_CHECKING:
    import polars as pl

SHORTEST, LONGEST = 3, 1_200  # words of an answer
TELLING = 20  # words from which on the language of an answer is believed
MAIN_LANGUAGE = 0.1  # share of an author's words from which on a language is theirs
VARIED = 2.0  # least different words by the root of all (Guiraud), of at least ``TELLING`` words
LETTERS = 0.5  # least share of letters among the visible characters of prose
CODE_LINES = 0.5  # share of at least three lines that look like code, from which on a text is code
TAGS = 3  # HTML tags from which on a text is markup
WORDS_PER_LINK = 8  # a text with more links than that is a list of them
WORDS_PER_CHROME = 40  # a text with more of a site's own phrases than that is none of the author's

UNUSUAL = r"[^\x20-\x7E\n]"
BROKEN = r"[\x{FFFD}\x00-\x08\x0B\x0C\x0E-\x1F]"
TAG = r"</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>"
CODE_LINE = (
    r"(?m)^[ \t]*(?:def \w+\(.*|class \w+[(:{].*|import [\w.]+(?: as \w+)?|from [\w.]+ import .*"
    r"|.*[;{}]|(?:const |let |var )?[\w.\[\]]+ ?=[^=].*|[\w.]+\(.*\)|return \w+|\$ .*|@\w+.*)"
    r"[ \t]*$"
)
LINK = r"https?://|\bwww\."
CHROME = (
    r"(?i)\b(?:share this (?:post|article|page)|subscribe (?:now|today|for free)|thanks for reading"
    r"|(?:leave|post) a comment|all rights reserved|(?:terms of (?:use|service)|privacy policy)"
    r"|(?:we use|accept(?: all)?) cookies|sign up (?:for|to) (?:our|my|the|this)"
    r"|follow (?:me|us) on|click (?:here|below|the link)|read more|log ?in to|start writing today"
    r"|upgrade to paid|\d+ min(?:ute)? read|originally published (?:at|on|in))\b"
)
MODEL_VOICE = (
    r"(?i)\bas an? (?:ai|artificial intelligence|large)(?: language)? model\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|language model|virtual assistant)\b"
    r"|\b(?:my|the) (?:knowledge|training) cut-?off\b"
    r"|\bi (?:cannot|can't|can’t) (?:fulfil|assist with)"
    r"|^(?:certainly|sure|of course)[!,] here(?:'s|’s| is| are)\b"
)
INJECTION = (
    r"(?i)\b(?:ignore|disregard|forget) (?:all |any )?(?:of )?(?:the |your |my )?(?:previous|prior"
    r"|above|earlier|preceding|system) (?:instructions?|prompts?|messages?|rules)\b"
    r"|\byou are now (?:dan\b|in developer mode|jailbroken|unrestricted)"
    r"|\b(?:reveal|print|repeat|show) (?:me )?(?:your|the) (?:system|hidden|initial) prompt\b"
    r"|<\|(?:im_start|im_end|endoftext|system|user|assistant|eot_id|start_header_id)\|>"
    r"|\[/?INST\]|<</?SYS>>|</?(?:system|assistant)>"
)
# Whatever ``mask`` finds has one of these; most rows have none, and are not looked at twice.
SUSPICIOUS = (
    r"@|\S{15,}|at ?[)\]]|-----BEGIN|(?:\d[ ()./\-\x{A0}\x{202F}]{0,3}){7}|\d\.\d|::"
    r"|[\dA-Fa-f]:[\dA-Fa-f:]|[A-Za-z]{2}\d\d|[:=>]\s{0,3}[\"']|[A-Z0-9_] ?= ?\S"
)


def measured(rows: "pl.DataFrame") -> "pl.DataFrame":
    """The rows with what rules and score count of an answer: ``words`` (a character each in scripts
    without blanks), ``distinct`` ones, ``visible`` characters and ``letters`` among them."""
    import polars as pl

    answer, apart, pieces = pl.col("answer"), UNSPACED.pattern, pl.col("pieces")
    # Splitting at blanks and looking for what is rare costs half of looking for words and letters,
    # and most texts have nothing that needs to be looked at twice.
    lines = answer.str.to_lowercase().str.replace_all("\n", " ", literal=True)
    rows = rows.with_columns(pieces=lines.str.split(" "), unusual=answer.str.contains(UNUSUAL))
    strange = pl.when("unusual").then(answer)
    alone = pl.when(strange.str.contains(apart)).then(answer).str.extract_all(apart)
    blanks = pieces.list.len() - 1 + answer.str.count_matches("\t", literal=True)
    visible = answer.str.len_chars() - blanks
    in_order = pieces.list.len() - pieces.list.count_matches("")
    return rows.with_columns(
        words=strange.str.count_matches(r"\S+").fill_null(in_order) + alone.list.len().fill_null(0),
        distinct=pieces.list.n_unique() + alone.list.n_unique().fill_null(0),
        visible=visible,
        letters=visible - answer.str.count_matches(r"[^\p{L}\p{M}\s]"),
    ).drop("pieces", "unusual")


def main_languages(rows: "pl.DataFrame") -> list[str]:
    """The languages that make up at least a tenth of the words of ``measured`` rows."""
    import polars as pl

    told = rows.filter(pl.col("language").is_not_null())
    shares = told.group_by("language").agg(pl.col("words").sum() / told["words"].sum())
    return sorted(shares.filter(pl.col("words") >= MAIN_LANGUAGE)["language"])


def reasons(languages: Collection[str]) -> "dict[str, pl.Expr]":
    """reason -> whether a ``measured`` row with its ``traits`` is to be dropped for it, in the
    order of their say."""
    import polars as pl

    instruction, answer, words = pl.col("instruction"), pl.col("answer"), pl.col("words")
    telling, several = pl.when("telling").then(answer), pl.when("several").then(answer)
    lines = several.str.count_matches(r"(?m)^\s*\S").fill_null(0)
    return {
        "empty": (instruction.str.strip_chars() == "") | (answer.str.strip_chars() == ""),
        "broken characters": telling.str.contains(BROKEN) | instruction.str.contains(BROKEN),
        "instructs a model": telling.str.contains(INJECTION) | instruction.str.contains(INJECTION),
        "markup": answer.str.count_matches(TAG) >= TAGS,
        "code": (lines > 2) & (several.str.count_matches(CODE_LINE) >= CODE_LINES * lines)
        | (pl.col("letters") < LETTERS * pl.col("visible")),
        "links": answer.str.count_matches(LINK) * WORDS_PER_LINK > words,
        "too short": words < SHORTEST,
        "too long": words > LONGEST,
        "a model's phrases": telling.str.contains(MODEL_VOICE),
        "boilerplate": telling.str.count_matches(CHROME) * WORDS_PER_CHROME > words,
        "repetition": (words >= TELLING) & (pl.col("distinct") < VARIED * words.sqrt()),
        "another language": (words >= TELLING)
        & pl.col("language").is_not_null()
        & ~pl.col("language").is_in(list(languages)),
    }


def traits(rows: "pl.DataFrame") -> "pl.DataFrame":
    """The rows with whether their answer has ``several`` lines and whether it holds anything
    ``telling``: most have not, and need no look for each thing by itself."""
    import polars as pl

    answer = pl.col("answer")
    anything = "|".join((BROKEN, INJECTION, MODEL_VOICE, CHROME))
    return rows.with_columns(
        telling=answer.str.contains(anything), several=answer.str.contains("\n", literal=True)
    )


def first_reason(rows: "pl.DataFrame", languages: Collection[str]) -> "pl.Series":
    """For each ``measured`` row the first reason to drop it; null for those that pass."""
    import polars as pl

    said = [pl.when(wrong).then(pl.lit(why)) for why, wrong in reasons(languages).items()]
    return traits(rows).select(reason=pl.coalesce(said)).to_series()


def unmasked(rows: "pl.DataFrame") -> "pl.Series":
    """Whether a row holds a secret or personal data that should have been masked."""
    import polars as pl

    text = rows.select(text=pl.concat_str("instruction", "answer", separator="\n")).to_series()
    suspicious = text.str.contains(SUSPICIOUS)
    found = [look and mask(each) != each for look, each in zip(suspicious, text, strict=True)]
    return pl.Series("unmasked", found, dtype=pl.Boolean)
