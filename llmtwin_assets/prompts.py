"""The one prompt format. Training, evaluation and serving all build their prompts here.

Chat messages go in, a chat template turns them into text: the model's own, or one of
``templates/``, which a recipe names and the fine-tuned checkpoint then carries as its own. It knows
no author's data and no model; passages and instructions arrive as arguments.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets.records import Passage
from resources.errors import LlmTwinError

Turn = dict[str, str]  # role and content

SYSTEM = "You are {name}. Write in your own voice."

# What models of other families take for the end of a turn or the beginning of an instruction.
FOREIGN_CONTROL = re.compile(
    r"(?<=<)(?=/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|start_of_image)>|</?SYS>>)"
    r"|(?<=\[)(?=/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\])"
    r"|(?<=<)(?=｜)|(?<=｜)(?=>)"
    r"|(?<=#)(?=## (?:Instruction|Input|Response):)"
)

TEMPLATES = Path(__file__).parent / "templates"
PLAINEST = "alpaca"  # needs no control token, so that any model can be asked in it
CONTROL = re.compile(r"<\|\w+\|>|<\w+_of_turn>")
ROLES = ("system", "user", "assistant")


class UnknownTemplateError(LlmTwinError):
    """No chat template has this name, or the model has no tokens for it."""


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


def use_template(tokenizer: Any, name: str) -> None:
    """Give ``tokenizer`` the chat template called ``name``, a file of ``templates/``.

    With an empty name it keeps its own; a tokenizer without one gets Alpaca's. Raises
    ``UnknownTemplateError``, also when the template's control tokens are not in the vocabulary:
    pieced together from letters, they would end nothing.
    """
    if not name and tokenizer.chat_template:
        return
    path = TEMPLATES / f"{name or PLAINEST}.jinja"
    if path.name not in {known.name for known in TEMPLATES.iterdir()}:
        known = ", ".join(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))
        raise UnknownTemplateError(
            name, "no chat template has this name", f"Use one of {known}, or none for the model's"
        )
    source = path.read_text("utf-8")
    vocabulary = tokenizer.get_vocab()
    written = source.replace("'<|' + message.role + '|>", "".join(f"<|{r}|>" for r in ROLES))
    missing = sorted({token for token in CONTROL.findall(written) if token not in vocabulary})
    if missing:
        raise UnknownTemplateError(
            f"chat template '{name}'",
            f"the model's vocabulary has no {', '.join(missing)}",
            f"Use a template of the model's family, its own, or {PLAINEST}",
        )
    tokenizer.chat_template = source


def end_of_turn(tokenizer: Any) -> int:
    """Id of the token that ends an answer: what the template writes after the assistant's words,
    if that is a control token, else the tokenizer's end of sequence."""
    words = "WORDS"
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": words}]
    text: str = tokenizer.apply_chat_template(chat, tokenize=False)
    tail = tokenizer(text.rpartition(words)[2].lstrip(), add_special_tokens=False)["input_ids"]
    control = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return int(tail[0] if tail and tail[0] in control else tokenizer.eos_token_id)


def neutralise(text: str) -> str:
    """Break up control tokens such as ``<|im_end|>``, so that quoted text stays text."""
    return FOREIGN_CONTROL.sub(" ", text.replace("<|", "< |").replace("|>", "| >"))
