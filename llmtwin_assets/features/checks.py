"""Gates of the features room."""

from llmtwin_assets.features.assets import LEAST_KEPT, chunks, cleaned_documents, embeddings
from llmtwin_assets.steps import Facts, Verdict, gate

FEWEST_WORDS = 1_000  # below this there is nothing to learn a voice from


def corpus_is_not_empty(facts: Facts) -> Verdict:
    """The author has at least two documents (one is held out) and 1,000 words."""
    enough = facts["rows"] >= 2 and facts["words"] >= FEWEST_WORDS
    return Verdict(
        enough,
        f"{facts['rows']} documents with {facts['words']} words"
        + ("" if enough else "; add writing to the author's sources: at least 2 and 1,000"),
    )


def nothing_lost_in_cleaning(facts: Facts) -> Verdict:
    """Cleaning keeps at least 0.999 of the visible characters of every document."""
    return Verdict(
        facts["kept_share"] >= LEAST_KEPT,
        f"at least {facts['kept_share']:.5f} of each document kept",
    )


def something_is_held_out(facts: Facts) -> Verdict:
    """At least one document trains nothing, so that the twin can be measured on it."""
    return Verdict(0 < facts["held_out"] < facts["rows"], f"{facts['held_out']} held out")


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
        (corpus_is_not_empty, nothing_lost_in_cleaning, something_is_held_out),
    ),
    *map(gate(chunks), (nothing_lost_in_chunking, no_chunk_over_the_limit)),
    gate(embeddings)(points_equal_chunks),
]
