"""Gates of the corpus room."""

from llmtwin_assets.corpus.assets import raw_articles, raw_posts, raw_repositories
from llmtwin_assets.steps import Facts, Verdict, gate

UNREADABLE_ALLOWED = 0.2  # share of a listing's items


def little_is_unreadable(facts: Facts) -> Verdict:
    """At most a fifth of the items that a source lists could not be read."""
    total = facts["rows"] + facts["unreadable"]
    return Verdict(
        facts["unreadable"] <= UNREADABLE_ALLOWED * total,
        f"{facts['unreadable']} of {total} items could not be read; "
        "'llmtwin status AUTHOR' lists them with the reasons",
    )


checks = [
    gate(asset)(little_is_unreadable) for asset in (raw_articles, raw_posts, raw_repositories)
]
