"""The one prompt format. Training, evaluation and serving all build their prompts here.

Chat messages go in, the model's own chat template turns them into text. It knows no author's data
and no model; passages and instructions arrive as arguments.
"""

import re
from collections.abc import Sequence
from typing import Any

from llmtwin_assets.records import Passage

Turn = dict[str, str]  # role and content

SYSTEM = "You are {name}. Write in your own voice."

# What models of other families take for the end of a turn or the beginning of an instruction.
FOREIGN_CONTROL = re.compile(
    r"(?<=<)(?=/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|start_of_image)>|</?SYS>>)"
    r"|(?<=\[)(?=/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\])"
    r"|(?<=<)(?=｜)|(?<=｜)(?=>)"
)


def messages(
    name: str,
    instruction: str,
    passages: Sequence[Passage] = (),
    history: Sequence[Turn] = (),
) -> list[Turn]:
    """The chat that asks ``name`` to follow ``instruction``, with what they published as notes.

    ``history`` holds the turns before (``role`` user or assistant, ``content``), oldest first; they
    stand between the system message and the instruction.
    """
    notes = "\n\n".join(f"[{p.number}] {p.title}\n{p.text}" for p in passages)
    question = (
        f"From what you have published:\n\n{notes}\n\n{instruction}" if notes else instruction
    )
    return [
        {"role": "system", "content": SYSTEM.format(name=name)},
        *({"role": turn["role"], "content": neutralise(turn["content"])} for turn in history),
        {"role": "user", "content": neutralise(question)},
    ]


def render(tokenizer: Any, chat: Sequence[Turn]) -> str:
    """The text a model reads before it answers: the template of ``tokenizer`` with the chat."""
    text: str = tokenizer.apply_chat_template(
        list(chat), tokenize=False, add_generation_prompt=True
    )
    return text


def neutralise(text: str) -> str:
    """Break up control tokens such as ``<|im_end|>``, so that quoted text stays text."""
    return FOREIGN_CONTROL.sub(" ", text.replace("<|", "< |").replace("|>", "| >"))
