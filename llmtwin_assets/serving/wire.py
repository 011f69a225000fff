"""What comes over the wire to the API: requests, and what is checked of them.

Unknown fields of a request are ignored, as OpenAI's clients send many; a field that asks for
something that is not offered here (tools, several choices, log probabilities) is refused.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from llmtwin_assets.retrieval.fitting import Turn
from llmtwin_assets.serving.answer import Variant
from llmtwin_assets.serving.language_models import Options
from llmtwin_assets.serving.refusals import ApiError
from llmtwin_assets.serving.sources import without_sources

LONGEST_QUESTION = 8_000  # characters
LONGEST_INSTRUCTION = 20_000  # characters
DEFAULT_TOKENS, MOST_TOKENS = 160, 4_096
MOST_MESSAGES = 500
NOT_OFFERED = ("tools", "functions", "tool_choice", "function_call", "logprobs", "audio")
BASE_SUFFIX = ":base"


def _whole(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("half of a character stands alone in it") from error
    return text


Text = Annotated[str, AfterValidator(_whole)]
Stop = Annotated[Text, Field(max_length=200)]
Identifier = Annotated[Text, Field(min_length=1, max_length=100)]


class Part(BaseModel):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: Text


class Message(BaseModel):
    """One turn. Its content is a text or a list of text parts."""

    role: Literal["system", "user", "assistant"]
    content: Text | list[Part]

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """Of OpenAI's options for streams, the one that is offered."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """``POST /v1/chat/completions``."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: Identifier
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    n: Literal[1] | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    sources_in_text: bool = True
    retrieval: bool = True

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_offered(cls, value: Any) -> Any:
        for name in NOT_OFFERED if isinstance(value, dict) else ():
            if value.get(name):
                raise ValueError(f"'{name}' is not offered here")
        return value

    @field_validator("messages")
    @classmethod
    def _has_a_question(cls, value: list[Message]) -> list[Message]:
        if not any(message.role == "user" for message in value):
            raise ValueError("there is no message of role 'user'")
        return value

    def options(self) -> Options:
        """How the model is to write."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Options(
            max_tokens=self.max_completion_tokens or self.max_tokens or DEFAULT_TOKENS,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(text for text in stop if text),
        )

    @property
    def question(self) -> str:
        """The last user message. Messages after it are ignored."""
        return self.messages[self._last].text.strip()

    @property
    def instruction(self) -> str:
        """The question with the client's system messages in front of it, as the first lines of what
        is asked: they cannot replace the twin's own system message, which it was trained with."""
        before = (m.text.strip() for m in self.messages[: self._last] if m.role == "system")
        return "\n\n".join([*filter(None, before), self.question])

    @property
    def history(self) -> list[Turn]:
        """The turns before the question, user and assistant in turn as chat templates want them:
        messages of one role in a row are joined, and a last question without an answer is left out.
        Markers and source lists of earlier answers are taken out: their numbers mean other
        passages."""
        turns: list[Turn] = []
        for message in self.messages[: self._last]:
            text = message.text if message.role == "user" else without_sources(message.text)
            if message.role == "system":
                continue
            if turns and turns[-1]["role"] == message.role:
                turns[-1]["content"] += f"\n\n{text}"
            else:
                turns.append({"role": message.role, "content": text})
        return turns[:-1] if turns and turns[-1]["role"] == "user" else turns

    @property
    def _last(self) -> int:
        return max(i for i, message in enumerate(self.messages) if message.role == "user")


class RagRequest(BaseModel):
    """``POST /rag``."""

    query: Text
    author: Identifier


class FeedbackRequest(BaseModel):
    """``POST /v1/authors/{author}/feedback``."""

    trace_id: Identifier
    rating: Literal[1, -1]
    better: Annotated[Text, Field(max_length=20_000)] | None = None


class DecisionRequest(BaseModel):
    """``POST /v1/authors/{author}/pairs/{pair}/decisions``."""

    verdict: Literal["accepted", "edited", "rejected"]
    instruction: Annotated[Text, Field(max_length=LONGEST_INSTRUCTION)] = ""
    reason: Annotated[Text, Field(max_length=1_000)] = ""

    @model_validator(mode="after")
    def _says_what_is_edited(self) -> "DecisionRequest":
        if self.verdict == "edited" and not self.instruction.strip():
            raise ValueError("an edited pair needs an 'instruction'")
        return self


def split_model(model: str) -> tuple[str, Variant]:
    """The author and the variant that a model's name means: ``author`` or ``author:base``."""
    author, colon, rest = model.partition(":")
    if colon and rest != BASE_SUFFIX[1:]:
        return model, "twin"  # which no author is called
    return author, "base" if colon else "twin"


def check_question(question: str) -> str:
    """The question; raises ``ApiError`` when it is empty (422) or too long (413)."""
    if not question.strip():
        raise ApiError(422, "empty_question", "the question", "it is empty", "Ask something")
    if len(question) > LONGEST_QUESTION:
        raise ApiError(
            413, "question_too_long", "the question",
            f"it is {len(question):,} characters long",
            f"Ask in at most {LONGEST_QUESTION:,} characters",
        )  # fmt: skip
    return question
