"""Gates of the data set room."""

import math

from llmtwin_assets.datasets import review
from llmtwin_assets.datasets.assets import instruct_dataset
from llmtwin_assets.steps import Facts, Verdict, gate

ASSET = "instruct_dataset"
FEWEST_SAMPLES = 8
USABLE = 0.5  # least share of the candidates' words that is kept
COVERED = 0.8  # least share of the author's text whose topic is in the train rows
SAME_LANGUAGE = 0.8  # least share of held-out words in a language that train rows have
WORDS_PER_SAMPLE = 100  # of prose, where there is nothing to measure it by
TRAIN_SHARE = 0.85  # of an author's text


def answers_are_verbatim(facts: Facts) -> Verdict:
    """Every answer whose origin is the author is a verbatim span of the author's cleaned text."""
    return Verdict(
        facts["verbatim"] == facts["authored"],
        f"{facts['verbatim']} of {facts['authored']} verbatim",
    )


def nothing_held_out_in_train(facts: Facts) -> Verdict:
    """No train sample comes from a held-out document or shares eight words in a row with one, or
    with the texts that ask what was forgotten."""
    leaking = facts["leaking"]
    remedy = "; the split is broken: materialise cleaned_documents and this data set anew"
    return Verdict(
        leaking == 0, f"{leaking} of {facts['train']} leak" + (remedy if leaking else "")
    )


def no_answer_twice(facts: Facts) -> Verdict:
    """No two samples have the same instruction, nor two passages the same or nearly the same text,
    held out or not."""
    return Verdict(facts["duplicates"] == 0, f"{facts['duplicates']} duplicates")


def no_secrets(facts: Facts) -> Verdict:
    """No sample holds a secret or personal data that should have been masked."""
    return Verdict(facts["unmasked"] == 0, f"{facts['unmasked']} hold what should be masked")


def most_is_usable(facts: Facts) -> Verdict:
    """At least half of the candidates' words are kept: a corpus of boilerplate or repeats is no
    voice."""
    kept, dropped = facts["words"]["kept"], facts["words"]["dropped"]
    enough = kept >= USABLE * (kept + dropped)
    worst = next((reason for reason in facts["dropped"] if reason != review.REASON), "")
    return Verdict(
        enough,
        f"{facts['rows']} of {facts['candidates']} candidates kept"
        + ("" if enough else f"; most were dropped as '{worst}': take that out of the sources"),
    )


def enough_to_train_on(facts: Facts) -> Verdict:
    """There are at least eight train samples and something held out."""
    train, held_out = facts["train"], facts["rows"] - facts["train"]
    missing = max(FEWEST_SAMPLES - train, 0)
    each = facts["train_words"] / train if train else WORDS_PER_SAMPLE
    words = math.ceil(missing * each / TRAIN_SHARE / 10) * 10
    remedy = ""
    if missing:
        remedy = f"; add about {words} words of prose, in paragraphs of 30 words or more"
    elif not held_out:
        remedy = "; add a document, so that one can be held out"
    return Verdict(not remedy, f"{train} to train on, {held_out} held out{remedy}")


def languages_agree(facts: Facts) -> Verdict:
    """What is held out is in a language that is trained on: else nothing measures the twin. Text
    whose language cannot be told counts as one more language."""
    train, held_out = facts["languages"]["train"], facts["languages"]["held-out"]
    whole = sum(held_out.values())
    shared = sum(count for code, count in held_out.items() if code in train)
    share = shared / whole if whole else 1.0
    names = ", ".join(sorted(code or "one that cannot be told" for code in train))
    return Verdict(
        share >= SAME_LANGUAGE,
        f"{share:.0%} of the held-out words are in a language to train on: {names or 'none'}"
        + ("" if share >= SAME_LANGUAGE else "; give each language an author of its own"),
    )


def topics_are_covered(facts: Facts) -> Verdict:
    """The train samples come from texts about at least four fifths of what the author writes on."""
    share = facts["topic_coverage"]
    return Verdict(share >= COVERED, f"{share:.0%} of the text, in {facts['topics']} topics")


checks = [
    *map(
        gate(instruct_dataset),
        (
            answers_are_verbatim,
            nothing_held_out_in_train,
            no_answer_twice,
            no_secrets,
            most_is_usable,
            enough_to_train_on,
            languages_agree,
            topics_are_covered,
        ),
    )
]
