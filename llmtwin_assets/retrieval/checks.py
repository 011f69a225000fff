"""Gates of the retrieval room."""

from llmtwin_assets.retrieval.assets import retrieval_report
from llmtwin_assets.steps import Facts, Verdict, gate

LEAST_RECALL = 0.5  # of passage questions, among the first 10; chance is 10 of all chunks


def search_finds_passages(facts: Facts) -> Verdict:
    """At least half of the passage questions find their passage among the first ten."""
    scores = facts["scores"]["passage"]
    return Verdict(
        scores["questions"] > 0 and scores["recall_at_10"] >= LEAST_RECALL,
        f"recall@10 {scores['recall_at_10']:.2f} on {scores['questions']} questions",
    )


checks = [gate(retrieval_report)(search_finds_passages)]
