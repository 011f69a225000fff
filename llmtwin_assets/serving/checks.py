"""Gates of the serving room."""

from llmtwin_assets.serving.assets import endpoint
from llmtwin_assets.steps import Facts, Verdict, gate


def serves_what_was_evaluated(facts: Facts) -> Verdict:
    """The served model is the one that the report is about."""
    return Verdict(
        facts["twin"] == facts["evaluated"],
        f"serves {facts['twin']}, evaluated {facts['evaluated']}",
    )


checks = [gate(endpoint)(serves_what_was_evaluated)]
