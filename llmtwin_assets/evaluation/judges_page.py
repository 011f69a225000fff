"""What judges said, as tables and sentences for the report's page. Figures come from ``panel.py``;
how a page looks is not known here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmtwin_assets.evaluation.marks import KINDS, SYSTEMS

Table = tuple[str, list[str], list[list[str]]]  # caption, head, rows; a row begins with its name
UNKNOWN = "–"


def tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """Who writes more like the author, the marks, and what judges cost, a column or row each."""
    judges = [each for each in found["judges"] if not each["void"]]
    if judges:
        yield _verdicts(found, judges)
        yield _marks(found, judges)
    yield _costs(found["judges"])


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """How far the judges agree, and what each is worth."""
    for what, each in found["agreement"].items():
        alpha = each["alpha"]
        chance = (
            "all verdicts are the same, so that chance would agree as well"
            if alpha is None
            else f"Krippendorff's alpha {alpha:.2f}; 1 is agreement, 0 chance"
        )
        yield (
            f"On {what}, two judges say the same in {each['equal']:.0%} of the cases "
            f"({chance}; {each['units']} judged)."
        )
    if len(found["judges"]) > 1 and not found["agreement"]:
        yield "Fewer than two judges can be believed, so that nothing is said of agreement."
    for each in found["judges"]:
        yield f"{each['name']}: {each['because']}."


def _verdicts(found: Mapping[str, Any], judges: Sequence[Mapping[str, Any]]) -> Table:
    columns = _columns(found, judges)
    rows = [
        [question, *(ranged(each["scores"].get(question)) for _, each in columns)]
        for question in found["scores"]
    ]
    head = ["Which is more like the author", *(name for name, _ in columns)]
    return "Share of pairs, by judges who saw the author's text and not the names", head, rows


def _marks(found: Mapping[str, Any], judges: Sequence[Mapping[str, Any]]) -> Table:
    columns = _columns(found, judges)
    head = ["Whose answers", *(f"{name}: {kind}" for name, _ in columns for kind in KINDS)]
    rows = [
        [
            system,
            *(
                ranged(each["marks"].get(system, {}).get(kind))
                for _, each in columns
                for kind in KINDS
            ),
        ]
        for system in SYSTEMS
        if system in found["marks"]
    ]
    return "Marks from 1 to 3, by judges who do not know the author", head, rows


def _columns(
    found: Mapping[str, Any], judges: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Each judge, and all of them together where they are several."""
    together = [("All", found)] if len(judges) > 1 else []
    return [*((each["name"], each) for each in judges), *together]


def _costs(judges: Sequence[Mapping[str, Any]]) -> Table:
    head = ["Judge", "Calls", "Tokens", "Money", "At most, as estimated", "Unanswered"]
    rows = []
    for each in judges:
        cost, most = each["cost"], each["estimate"]
        lost = ", ".join(f"{kind} {count}" for kind, count in each["unanswered"].items())
        rows.append(
            [
                each["name"],
                str(cost["calls"]),
                str(cost["tokens_in"] + cost["tokens_out"]),
                _money(cost["money"]),
                f"{most['tokens_in'] + most['tokens_out']} tokens, {_money(most['money'])}",
                lost or "0",
            ]
        )
    return "What this report cost", head, rows


def ranged(found: Mapping[str, float] | None) -> str:
    """A figure with its interval."""
    if found is None:
        return UNKNOWN
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _money(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"
