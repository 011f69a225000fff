"""Several judges, asked the same: what each says, whether it can be believed, and how far those who
can agree.

What they are asked is in ``judge.py`` (who writes more like the author) and ``marks.py`` (accuracy
and style from 1 to 3). A judge that fails its planted questions is void, and only its name and the
reason are left of it. What it may cost is said before the first call; budgets are the judges' own.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from llmtwin_assets.agreement import agreement, interval
from llmtwin_assets.evaluation import judge, marks
from resources.addresses import shown
from resources.chat_model import ChatModel, Cost, Failure, raise_if_silent


@dataclass(frozen=True)
class Asked:
    """What every judge is asked."""

    pairs: list[judge.Pair]
    items: list[marks.Item]
    excerpts: Sequence[str]

    def prompts(self) -> list[Any]:
        """The pairs' prompts, then the items'."""
        return [*judge.prompts(self.pairs, self.excerpts), *marks.prompts(self.items)]


@dataclass(frozen=True)
class Said:
    """What one judge said, by pair and by item."""

    won: list[float | None]
    marks: list[dict[str, float] | None]
    figures: dict[str, Any]  # what the report keeps of it


def questions(
    subjects: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    author: Sequence[str],
    excerpts: Sequence[str],
    seed: int,
) -> Asked:
    """What judges are asked about systems that wrote one text for each subject, as the author did;
    ``excerpts`` are other texts of the author, for the judges to know the style by."""
    return Asked(
        judge.pairs(subjects, systems, author, seed),
        marks.items(subjects, systems, author, seed),
        excerpts,
    )


def ask(
    judges: Sequence[ChatModel], asked: Asked, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Ask every judge everything. Returns ``judges``, what each said and cost; ``scores`` and
    ``marks`` over those that are not void; their ``agreement``; ``void``, if none is left; and
    ``because``.

    Raises ``SilentModelError`` and ``KeyNotAcceptedError``; what was answered until then is kept by
    the judges and costs nothing the next time.
    """
    prompts, names = asked.prompts(), _names(judges)
    estimates = [model.estimate(prompts) for model in judges]
    for name, model, cost in zip(names, judges, estimates, strict=True):
        say(f"judge {name}: at most {cost.told()}{_within(model, cost)}")
    said = [
        _one(name, model, cost, asked, prompts)
        for name, model, cost in zip(names, judges, estimates, strict=True)
    ]
    sound = [each for each in said if not each.figures["void"]]
    won = [_middle(values) for values in zip(*(each.won for each in sound), strict=True)]
    given = [_middle_marks(values) for values in zip(*(each.marks for each in sound), strict=True)]
    return {
        "void": not sound,
        "because": "; ".join(f"{each.figures['name']}: {each.figures['because']}" for each in said),
        "judges": [each.figures for each in said],
        "scores": judge.scores(asked.pairs, won) if sound else {},
        "marks": marks.means(asked.items, given) if sound else {},
        "agreement": _agreement(asked, sound),
    }


def _one(name: str, model: ChatModel, estimate: Cost, asked: Asked, prompts: list[Any]) -> Said:
    before = model.spent()
    replies = model.answer(prompts)
    failed = [reply for reply in replies if isinstance(reply, Failure)]
    raise_if_silent(f"judge {name}", failed, len(replies))
    failures = Counter(failure.kind for failure in failed)
    count = 2 * len(asked.pairs)
    verdicts, given = judge.read(replies[:count]), marks.read(replies[count:])
    scores = judge.scores(asked.pairs, verdicts.won)
    problems = [*judge.problems(scores, verdicts.named), *marks.problems(asked.items, given)]
    disagreed, answered = verdicts.won.count(0.5), len(verdicts.won) - verdicts.won.count(None)
    passed = f"it passed its planted questions; its orders disagreed on {disagreed} of {answered}"
    because = f"it is void: {'; '.join(problems)}{_remedy(failures)}" if problems else passed
    figures = {
        "name": name,
        "void": bool(problems),
        "because": because,
        "scores": {} if problems else scores,
        "marks": {} if problems else marks.means(asked.items, given),
        "disagreed": disagreed,
        "unanswered": dict(sorted(failures.items())),
        "estimate": vars(estimate),
        "cost": vars(model.spent().since(before)),
    }
    return Said(verdicts.won, given, figures)


def _remedy(failures: Mapping[str, int]) -> str:
    if failures.get("budget"):
        return f"; its budget left {failures['budget']} questions unasked: raise it"
    return "; choose a stronger one"


def _agreement(asked: Asked, sound: Sequence[Said]) -> dict[str, Any]:
    """By what was asked, how far the judges agree; the planted questions, on which all agree who
    are believed, are left out. Nothing with fewer than two judges."""
    if len(sound) < 2:
        return {}
    verdicts = [
        [each.won[place] for each in sound]
        for place, pair in enumerate(asked.pairs)
        if pair.question not in judge.PLANTED
    ]
    found = {"who is nearer to the author": agreement(verdicts)}
    for kind in marks.KINDS:
        units = [
            [given[kind] if (given := each.marks[place]) else None for each in sound]
            for place, item in enumerate(asked.items)
            if item.system in marks.SYSTEMS
        ]
        found[f"marks for {kind}"] = agreement(units, interval)
    return {name: each for name, each in found.items() if each is not None}


def _names(judges: Sequence[ChatModel]) -> list[str]:
    """Their models, with the address where two have the same."""
    models = [model.model for model in judges]
    return [
        model.model if models.count(model.model) == 1 else f"{model.model} at {shown(model.url)}"
        for model in judges
    ]


def _within(model: ChatModel, cost: Cost) -> str:
    if model.budget is None:
        return ", without a budget"
    spent = model.spent()
    used = spent.money if spent.money is not None else spent.tokens_in + spent.tokens_out
    most = cost.money if cost.money is not None else cost.tokens_in + cost.tokens_out
    enough = "" if used + most <= model.budget else "; it may end before all is asked"
    return f"; {used:.4g} of its budget of {model.budget:.4g} are spent{enough}"


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _middle_marks(values: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    return {kind: fmean(each[kind] for each in known) for kind in marks.KINDS} if known else None
