"""Tasks of EleutherAI's lm-eval, asked of one model: what it could do before it learned to write as
one author, measured as others measure it. Off unless a deployment names tasks.

At most ``QUESTIONS`` of a task are asked, the first ones, so that a report stays a matter of
minutes; the standard error says what that is worth. Prompts are the task's own, without a chat
template. Which models are asked is not known here.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llmtwin_assets.training.backend import need
from resources.artifacts import sha256
from resources.errors import LlmTwinError

QUESTIONS = 200
BATCH = 16
RESAMPLES = 1000  # for standard errors that no formula gives
NO_METRIC = ("name", "alias", "sample_len")

Score = dict[str, Any]  # metrics: name -> value and error (None: not known); questions


class TaskNotRunError(LlmTwinError):
    """A task that lm-eval does not know, whose data cannot be had, or that failed."""


def decisive(names: Sequence[str], folder: str) -> list[str]:
    """What decides scores, apart from the model: tasks, how they are asked, and the files of a
    folder of tasks by content. Raises ``MissingExtraError``."""
    need("lm_eval", "lm-eval", "LLMTWIN_LM_EVAL")
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file()) if folder else []
    content = [[path.name, sha256(path)] for path in files]
    text = json.dumps([version("lm_eval"), QUESTIONS, content])
    return [*names, hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]]


def score(name: str, folder: str, model: Any, tokenizer: Any) -> Score:
    """One task, asked of a model of ``transformers``. ``folder`` holds tasks of one's own, as YAML;
    it may be empty. Raises ``TaskNotRunError``."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    known = _own_tasks(folder) if folder else None
    if known is None or name not in known.all_tasks:
        known = _all_tasks(folder)
    if name not in known.all_tasks:
        raise TaskNotRunError(
            f"lm-eval's task {name}",
            "there is none of this name",
            "Take a name that 'lm-eval ls tasks' prints, or set LLMTWIN_LM_EVAL_TASKS to the "
            "folder of its YAML",
        )
    try:
        found = simple_evaluate(
            HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH),
            tasks=[name],
            task_manager=known,
            limit=QUESTIONS,
            bootstrap_iters=RESAMPLES,
            log_samples=False,
        )
    except OSError as error:  # no file, no network, no such data set
        raise TaskNotRunError(
            f"lm-eval's task {name}",
            f"its data cannot be had ({type(error).__name__})",
            "Let the machine that measures reach the data, put them into its cache (HF_HOME), or "
            "take the task out of LLMTWIN_LM_EVAL; the next report asks again",
        ) from error
    except Exception as error:  # tasks are anybody's code: one loses itself only
        raise TaskNotRunError(
            f"lm-eval's task {name}",
            f"it failed ({type(error).__name__})",
            f"Run 'lm-eval run --tasks {name}' by hand to see why, or take it out of "
            "LLMTWIN_LM_EVAL",
        ) from error
    return _score(name, found)


def _own_tasks(folder: str) -> Any:
    """lm-eval's catalogue of a folder alone."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder, include_defaults=False)


@cache
def _all_tasks(folder: str) -> Any:
    """The catalogue of all that lm-eval brings, and of a folder: it takes ten seconds to read."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder or None)


def _score(name: str, found: Any) -> Score:
    """The task's own figures, or those of its members where it has none of its own."""
    results, counts = found["results"], found["n-samples"]
    of_members = name not in results
    rows = results if of_members else {name: results[name]}
    metrics = {}
    for task, row in rows.items():
        for key, value in row.items():
            metric, _, kind = key.partition(",")
            if metric in NO_METRIC or metric.endswith("_stderr") or not _is_number(value):
                continue
            shown = metric if kind in ("", "none") else f"{metric} ({kind})"
            error = row.get(f"{metric}_stderr,{kind}")
            metrics[f"{task}: {shown}" if of_members else shown] = {
                "value": float(value),
                "error": float(error) if _is_number(error) else None,
            }
    return {"metrics": metrics, "questions": sum(each["effective"] for each in counts.values())}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
