"""The next token of each row, drawn from its logits. It keeps no state: the random number of each
draw comes from the caller, so that a seed gives the same text whatever the rows beside it."""

from collections.abc import Sequence
from typing import Any

LIKELY = 512  # words; the smallest set that holds top_p of the probability is seldom larger


def draw(
    logits: Any, temperatures: Sequence[float], top_ps: Sequence[float], chances: Sequence[float]
) -> list[int]:
    """One token per row of ``logits`` (rows x words, fp32).

    The words are ordered from the likeliest; those after the smallest set that holds ``top_p`` of
    the probability are left out; ``chance``, a number from 0 up to 1, picks among the rest.
    Temperature 0 takes the likeliest.
    """
    import torch

    def column(values: Sequence[float]) -> Any:
        return torch.tensor(values, dtype=torch.float32, device=logits.device)[:, None]

    greedy = [temperature <= 0 for temperature in temperatures]
    heat = column(
        [1.0 if likeliest else t for likeliest, t in zip(greedy, temperatures, strict=True)]
    )
    share = column([0.0 if likeliest else p for likeliest, p in zip(greedy, top_ps, strict=True)])
    chance = column(chances)
    odds = (logits / heat).softmax(-1)
    likely, words = odds.topk(min(LIKELY, odds.shape[1]))
    found = _pick(likely, words, share, chance)
    short = likely.sum(-1) < share[:, 0]
    if bool(short.any()):  # too dear for rows that do not need it
        every, words = odds[short].sort(-1, descending=True)
        found[short] = _pick(every, words, share[short], chance[short])
    tokens: list[int] = found.tolist()
    return tokens


def _pick(likely: Any, words: Any, share: Any, chance: Any) -> Any:
    """A word per row, given odds from the likeliest on and the words they belong to."""
    import torch

    before = likely.cumsum(-1) - likely
    kept = likely.where((before < share) | (before == 0), 0.0)
    reach = kept.cumsum(-1)
    place = torch.searchsorted(reach, chance * reach[:, -1:], right=True)
    last = (kept > 0).sum(-1, keepdim=True) - 1  # rounding must not go past what is left
    return words.gather(1, place.minimum(last))[:, 0]
