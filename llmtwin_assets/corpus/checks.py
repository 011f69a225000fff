"""Gates of the corpus room."""

from llmtwin_assets.corpus.assets import raw_articles, raw_posts, raw_repositories
from llmtwin_assets.steps import Facts, Verdict, gate

UNREADABLE_ALLOWED = 0.2  # share of what a source lists
FEW = 4  # unreadable items of a source that close no gate, whatever their share


def little_is_unreadable(facts: Facts) -> Verdict:
    """Of each source, at most a fifth of the items that it lists could not be read; or a few."""
    found = [
        (name, of["unreadable"], of["read"] + of["unreadable"])
        for name, of in facts["sources"].items()
    ]
    bad = [each for each in found if each[1] > max(FEW, UNREADABLE_ALLOWED * each[2])]
    if not bad:
        return Verdict(True, f"{facts['unreadable']} items could not be read")
    told = ", ".join(f"{count} of {total} in {name}" for name, count, total in bad)
    return Verdict(
        False, f"{told} could not be read; 'llmtwin status AUTHOR' lists them with the reasons"
    )


checks = [
    gate(asset)(little_is_unreadable) for asset in (raw_articles, raw_posts, raw_repositories)
]
