"""Gates of the features room. All thresholds stand here, but for the one that the assets share."""

from llmtwin_assets.features.assets import LEAST_KEPT, chunks, cleaned_documents, embeddings
from llmtwin_assets.steps import Facts, Verdict, gate

FEWEST_WORDS = 1_000  # below this there is nothing to learn a voice from
LEAST_IN_ONE_LANGUAGE = 0.75  # share of the prose whose language is known
MOST_REPEATED = 0.5  # share of the text that is in documents that repeat earlier ones
MOST_BOILERPLATE = 0.3  # share of the rest that stands in a fifth of the documents


def corpus_is_not_empty(facts: Facts) -> Verdict:
    """The author has at least two documents (one is held out) and 1,000 words."""
    enough = facts["rows"] >= 2 and facts["words"] >= FEWEST_WORDS
    return Verdict(
        enough,
        f"{facts['rows']} documents with {facts['words']} words"
        + ("" if enough else "; add writing to the author's sources: at least 2 and 1,000"),
    )


def is_in_the_authors_language(facts: Facts) -> Verdict:
    """Three quarters of the prose are in one language: the one that ``authors.yaml`` gives the
    author, if it gives one. A twin writes in one voice."""
    found = facts["languages"]
    wanted = facts["language"] or next(iter(found), None)
    share = found.get(wanted, 0.0)
    told = ", ".join(f"{part:.0%} {code}" for code, part in list(found.items())[:3]) or "none known"
    passed = not found or share >= LEAST_IN_ONE_LANGUAGE
    remedy = (
        f"the author writes in '{wanted}' by authors.yaml: take out the sources in another "
        "language, or mend the entry"
        if facts["language"]
        else "take out the sources in another language, or list an author for each"
    )
    return Verdict(passed, f"languages of the prose: {told}" + ("" if passed else f"; {remedy}"))


def repeats_itself_little(facts: Facts) -> Verdict:
    """At most half of the text is in documents that repeat earlier ones: a twin would learn what is
    given ten times by heart."""
    repeated = facts["repeated"]
    passed = repeated <= MOST_REPEATED
    return Verdict(
        passed,
        f"{repeated:.0%} of the text is in documents that repeat earlier ones"
        + ("" if passed else "; give each text once: a source may be listed twice, or hold copies"),
    )


def is_not_boilerplate(facts: Facts) -> Verdict:
    """At most three tenths of the text are sentences that stand in a fifth of the documents:
    footers, notices and forms are nobody's voice."""
    boilerplate = facts["boilerplate"]
    passed = boilerplate <= MOST_BOILERPLATE
    return Verdict(
        passed,
        f"{boilerplate:.0%} of the text stands in many documents word for word"
        + (
            ""
            if passed
            else "; take footers and notices out of the sources ('drop_lines' of files)"
        ),
    )


def nothing_lost_in_cleaning(facts: Facts) -> Verdict:
    """Cleaning keeps at least 0.999 of the visible characters of every document."""
    return Verdict(
        facts["kept_share"] >= LEAST_KEPT,
        f"at least {facts['kept_share']:.5f} of each document kept",
    )


def something_is_held_out(facts: Facts) -> Verdict:
    """At least one document trains nothing, so that the twin can be measured on it."""
    passed = 0 < facts["held_out"] < facts["rows"]
    remedy = "" if passed else "; add documents that differ from those there are"
    return Verdict(passed, f"{facts['held_out']} of {facts['rows']} held out{remedy}")


def nothing_lost_in_chunking(facts: Facts) -> Verdict:
    """Chunks cover at least 0.999 of the visible characters of every document."""
    return Verdict(facts["coverage"] >= LEAST_KEPT, f"smallest coverage {facts['coverage']:.5f}")


def no_chunk_over_the_limit(facts: Facts) -> Verdict:
    """No chunk is longer than the embedder reads."""
    return Verdict(
        facts["longest"] <= facts["limit"],
        f"longest chunk {facts['longest']} tokens, the embedder reads {facts['limit']}",
    )


def points_equal_chunks(facts: Facts) -> Verdict:
    """The index has one point for every chunk."""
    return Verdict(
        facts["points"] == facts["chunks"], f"{facts['points']} points, {facts['chunks']} chunks"
    )


checks = [
    *map(
        gate(cleaned_documents),
        (
            corpus_is_not_empty,
            is_in_the_authors_language,
            repeats_itself_little,
            is_not_boilerplate,
            nothing_lost_in_cleaning,
            something_is_held_out,
        ),
    ),
    *map(gate(chunks), (nothing_lost_in_chunking, no_chunk_over_the_limit)),
    gate(embeddings)(points_equal_chunks),
]
