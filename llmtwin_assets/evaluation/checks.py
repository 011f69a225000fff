"""Gates of the evaluation room."""

from llmtwin_assets.evaluation.assets import eval_report
from llmtwin_assets.steps import Facts, Verdict, gate

MOST_EMPTY = 0.2  # share of the twin's answers


def not_worse_than_base(facts: Facts) -> Verdict:
    """The twin predicts the author's unseen text at least as well as the base model does."""
    nats = facts["found"]["nats"]
    return Verdict(
        nats["twin"] <= nats["base"],
        f"{nats['twin']:.3f} nats per held-out token, the base model {nats['base']:.3f}"
        + ("" if nats["twin"] <= nats["base"] else "; train longer, or add more writing"),
    )


def answers_are_not_empty(facts: Facts) -> Verdict:
    """At most a fifth of the twin's answers are empty."""
    empty = facts["found"]["health"]["twin"]["empty"]
    return Verdict(empty <= MOST_EMPTY, f"{empty:.0%} of the answers are empty")


judges = (not_worse_than_base, answers_are_not_empty)
checks = [*map(gate(eval_report), judges)]
