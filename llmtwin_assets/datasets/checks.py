"""Gates of the data set room."""

from llmtwin_assets.datasets.assets import instruct_dataset
from llmtwin_assets.steps import Facts, Verdict, gate

FEWEST_SAMPLES = 8


def answers_are_verbatim(facts: Facts) -> Verdict:
    """Every answer is a verbatim span of the author's cleaned text."""
    return Verdict(
        facts["verbatim"] == facts["rows"], f"{facts['verbatim']} of {facts['rows']} verbatim"
    )


def nothing_held_out_in_train(facts: Facts) -> Verdict:
    """No train sample comes from a held-out document or shares eight words in a row with one."""
    leaking = facts["leaking"]
    remedy = "; the split is broken: materialise cleaned_documents and this data set anew"
    return Verdict(
        leaking == 0, f"{leaking} of {facts['train']} leak" + (remedy if leaking else "")
    )


def no_answer_twice(facts: Facts) -> Verdict:
    """No two samples have the same answer."""
    return Verdict(facts["duplicates"] == 0, f"{facts['duplicates']} duplicates")


def enough_to_train_on(facts: Facts) -> Verdict:
    """There are at least eight train samples and something held out."""
    enough = facts["train"] >= FEWEST_SAMPLES and facts["rows"] > facts["train"]
    return Verdict(
        enough,
        f"{facts['train']} to train on, {facts['rows'] - facts['train']} held out"
        + ("" if enough else "; add prose in paragraphs of 30 words or more to the sources"),
    )


checks = [
    *map(
        gate(instruct_dataset),
        (answers_are_verbatim, nothing_held_out_in_train, no_answer_twice, enough_to_train_on),
    )
]
