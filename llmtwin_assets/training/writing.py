"""Many texts from one model, written as the engine writes answers: the same forward pass, the same
8-bit product, the same drawing of tokens. So what is measured of a text is what a reader gets, at a
fraction of the time that transformers takes.

What is asked, and what the texts are for, is not known here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets.training import models
from llmtwin_assets.training.batch import Batch
from llmtwin_assets.training.generation import Generation, Options

Progress = Callable[[int, int], None]  # texts done, and of all


class Writer:
    """Writes with the model of a directory. The engine's part is a Llama model on a CPU; another
    model, or one on a GPU, writes with transformers.

    ``model`` cannot be used for anything else afterwards: the engine takes its weights apart.
    """

    def __init__(self, directory: Path, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer, self._window = model, tokenizer, models.window(directory)
        self._batch: Batch | None = None
        if _is_plain_llama(model):
            self._batch, self._model = Batch(model, tokenizer, self._window), None

    def write(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        temperature: float = 0.8,
        top_p: float = 0.95,
        seed: int = 0,
        progress: Progress = lambda done, total: None,
    ) -> list[str]:
        """One text per prompt. The same seed gives the same texts; with the engine, whatever the
        other prompts are. A prompt that leaves no room for an answer is cut at its start."""
        if self._batch is None:
            return models.generate(
                self._model, self._tokenizer, prompts, max_new_tokens=max_new_tokens,
                temperature=temperature, top_p=top_p, seed=seed, progress=progress,
            )  # fmt: skip
        room = max(self._window - max_new_tokens, 1)
        answers = [
            Generation(
                "", "", models.encode(self._tokenizer, prompt)[-room:],
                Options(max_new_tokens, temperature, top_p, seed + place, min_tokens=0),
            )
            for place, prompt in enumerate(prompts)
        ]  # fmt: skip
        _write_all(self._batch, answers, progress)
        return ["".join(answer) for answer in answers]


def _write_all(batch: Batch, answers: Sequence[Generation], progress: Progress) -> None:
    """Every answer to its end. Prompts that begin alike come after one another, and each is read
    whole before anything is written: nobody waits for a first word."""
    import torch

    unread = sorted(answers, key=lambda answer: answer.prompt)
    done = 0
    with torch.inference_mode():
        while unread or batch.busy:
            while unread and not batch.full:
                batch.add(unread.pop(0))
            batch.read_all()
            batch.turn()
            over = sum(answer.finish_reason is not None for answer in answers)
            if over > done:
                done = over
                progress(done, len(answers))


def _is_plain_llama(model: Any) -> bool:
    config = model.config
    return (
        model.device.type == "cpu"
        and config.model_type == "llama"
        and config.hidden_act == "silu"
        and getattr(config, "quantization_config", None) is None
    )
