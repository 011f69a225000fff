"""What has to hold before a twin may serve. All thresholds stand here.

Each gate is a function from a report's facts to a verdict, whose sentence says what to do when it
stays shut. Dagster is not known here.
"""

from collections.abc import Mapping
from typing import Any

from llmtwin_assets.steps import Facts, Verdict

MOST_COPIED = 0.01  # share of the twin's eight-word runs that stand in the text it learned from
MOST_EMPTY = 0.1  # share of the twin's answers
LEAST_VARIED = 0.7  # part of the author's own share of new 3-grams
MOST_FORGOTTEN = 0.6  # nats per token of plain prose that training may cost
MOST_UNFOLLOWED = 0.5  # share of short instructions that the base followed and the twin may not

NO_NUMBER = "what text costs the model is not a number"
TWIN, BASE, FEW_SHOT, DEPLOYED = "twin", "base", "few_shot", "deployed"


def predicts_better_than_base(facts: Facts) -> Verdict:
    """The twin predicts the author's unseen text at least as well as the base model does."""
    nats = {name: facts["found"]["systems"][name]["nats"] for name in (TWIN, BASE)}
    if None in nats.values():
        return Verdict(False, f"{NO_NUMBER}; train again, at a lower rate")
    passed = nats[TWIN] <= nats[BASE]
    return Verdict(
        passed,
        f"{nats[TWIN]:.3f} nats per held-out token, the base model {nats[BASE]:.3f}"
        + ("" if passed else "; train longer, or add more writing"),
    )


def sounds_more_like_the_author(facts: Facts) -> Verdict:
    """By the admitted measures of style, the twin is surely nearer to the author than the base
    model by at least one (the whole interval is above 0), nearer by most than the base model with
    examples in its prompt, and surely farther than either by none. A report with few prompts cannot
    be sure of every measure; its intervals say how sure it is."""
    if not facts["style_decides"]:
        return Verdict(True, "the recipe proves the plumbing, not the prose; style was not asked")
    against = facts["found"]["style"]["nearer"]
    if "unmeasured" in facts["found"]["style"]:
        return Verdict(False, f"style was not measured: {facts['found']['style']['unmeasured']}")
    if not against[BASE]:
        return Verdict(
            False,
            "no measure of style can tell this author from others; add writing by the author, or "
            "reference writers of the same kind",
        )
    base, prompted = (list(against[name].values()) for name in (BASE, FEW_SHOT))
    ahead = sum(each["value"] > 0 for each in prompted)
    passed = (
        any(each["low"] > 0 for each in base)
        and 2 * ahead > len(prompted)
        and all(each["high"] >= 0 for each in (*base, *prompted))
    )
    told = "; ".join(
        f"nearer than {name.replace('_', '-')} by {_all(against[name])}"
        for name in (BASE, FEW_SHOT)
    )
    return Verdict(passed, told if passed else f"not {told}; train longer, or ask more prompts")


def copies_little(facts: Facts) -> Verdict:
    """Under 1 % of the twin's eight-word runs, outside of marked quotations, are copied."""
    copied = facts["found"]["copied_8grams"][TWIN]
    return Verdict(
        copied < MOST_COPIED,
        f"{copied:.2%} of its eight-word runs stand in the text it learned from"
        + ("" if copied < MOST_COPIED else "; train on fewer passes, or at a lower rate"),
    )


def is_not_degenerate(facts: Facts) -> Verdict:
    """Few answers are empty, and what the twin writes does not run in circles."""
    health = facts["found"]["health"]
    empty, varied, own = (
        health[TWIN]["empty"],
        health[TWIN]["distinct"],
        health["held_out"]["distinct"],
    )
    passed = empty <= MOST_EMPTY and varied >= LEAST_VARIED * own
    return Verdict(
        passed,
        f"{empty:.0%} of the answers are empty, {varied:.0%} of its 3-grams are new (the author's: "
        f"{own:.0%})" + ("" if passed else "; train at a lower rate, or on more varied passages"),
    )


def forgets_little(facts: Facts) -> Verdict:
    """Plain prose costs the twin little more than the base, and it still follows instructions."""
    twin, base = (facts["found"]["systems"][name] for name in (TWIN, BASE))
    if None in (twin["prose"], base["prose"]):
        return Verdict(False, f"{NO_NUMBER}; train again, at a lower rate")
    cost, lost = twin["prose"] - base["prose"], base["followed"] - twin["followed"]
    passed = cost <= MOST_FORGOTTEN and lost <= MOST_UNFOLLOWED
    return Verdict(
        passed,
        f"plain prose costs {cost:+.2f} nats per token more than the base model pays, "
        f"{twin['followed']:.0%} of short instructions are followed (base: {base['followed']:.0%})"
        + ("" if passed else "; train on fewer tokens, or add general pairs to the data"),
    )


def not_worse_than_deployed(facts: Facts) -> Verdict:
    """On the same prompts, no measure of style says that the twin that serves now is nearer to the
    author: no interval of the difference is wholly below 0."""
    against = facts["found"]["style"]["nearer"].get(DEPLOYED)
    if against is None:
        return Verdict(True, "no other twin serves yet")
    if not against:
        return Verdict(True, "no measure of style can compare it with the twin that serves")
    worse = [
        f"{measure}: {_interval(found)}" for measure, found in against.items() if found["high"] < 0
    ]
    if worse:
        return Verdict(
            False,
            f"farther from the author than the twin that serves by {'; '.join(worse)}; that one "
            "stays: train on more writing, or longer",
        )
    return Verdict(True, f"as near as the twin that serves, or nearer: {_all(against)}")


def judge_is_sound(facts: Facts) -> Verdict:
    """Where judges were asked, at least one told planted bad answers from good ones."""
    judged = facts["found"].get("judge")
    if not judged:
        return Verdict(True, "no judge is set")
    return Verdict(not judged["void"], judged["because"])


def verdicts(facts: Facts) -> dict[str, Verdict]:
    """What every gate says of a report, by the gate's name."""
    return {judge.__name__: judge(facts) for judge in judges}


def _interval(found: Mapping[str, Any]) -> str:
    return f"{found['value']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})"


def _all(against: Mapping[str, Any]) -> str:
    return "; ".join(f"{measure} {_interval(found)}" for measure, found in against.items())


judges = (
    predicts_better_than_base,
    sounds_more_like_the_author,
    copies_little,
    is_not_degenerate,
    forgets_little,
    not_worse_than_deployed,
    judge_is_sound,
)
