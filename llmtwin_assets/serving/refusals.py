"""What a refusal looks like over HTTP: a status, and OpenAI's error shape with a plain sentence.

Only sentences that are meant for a stranger get out. Any other error is told in the log alone: one
of ours by its sentence, with secrets masked; a foreign one by its type and its place in the code,
because its message may hold anything.
"""

import logging
import os
import uuid
from typing import Any

from llmtwin_assets import masking
from llmtwin_assets.datasets.reviewing import BadInstructionError, UnknownPairError
from llmtwin_assets.retrieval.fitting import QuestionTooLongError
from llmtwin_assets.serving.endpoint import NoTwinError
from llmtwin_assets.serving.language_models import (
    EngineBusyError,
    EngineDownError,
    EngineRefusedError,
    ModelNotServedError,
    PromptTooLongError,
)
from resources.artifacts import DamagedArtifactError
from resources.errors import LlmTwinError
from resources.interactions import UnknownTraceError
from resources.vectors import NoIndexError

log = logging.getLogger("llmtwin.api")

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


class ApiError(LlmTwinError):
    """A refusal of the API: its sentences are written for whoever asked."""

    def __init__(
        self, status: int, code: str, item: str, problem: str, remedy: str, wait: int = 0
    ) -> None:
        super().__init__(item, problem, remedy)
        self.status, self.code, self.wait = status, code, wait

    def __reduce__(self) -> tuple[type[LlmTwinError], tuple[str, str, str]]:
        return LlmTwinError, (self.item, self.problem, self.remedy)


# Refusals of other modules whose sentences may be told, most special first.
TOLD: tuple[tuple[type[LlmTwinError], int, str], ...] = (
    (NoTwinError, 503, "no_twin"),
    (ModelNotServedError, 503, "model_not_served"),
    (EngineRefusedError, 503, "engine_refused"),
    (EngineBusyError, 503, "engine_busy"),
    (EngineDownError, 503, "engine_down"),
    (QuestionTooLongError, 413, "question_too_long"),
    (PromptTooLongError, 400, "context_length_exceeded"),
    (UnknownTraceError, 404, "trace_not_found"),
    (UnknownPairError, 404, "pair_not_found"),
    (BadInstructionError, 422, "instruction_refused"),
)


def as_reply(error: Exception, trace_id: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and body that tell a stranger about an error."""
    if isinstance(error, ApiError):
        return error.status, body(error.status, error.code, str(error))
    for kind, status, code in TOLD:
        if isinstance(error, kind):
            return status, body(status, code, str(error))
    if isinstance(error, NoIndexError):
        told = "index: this author's writing is not searchable yet. Materialise embeddings."
        return 503, body(503, "no_index", told)
    if isinstance(error, DamagedArtifactError):
        log.error("%s", for_log(error))
        told = "this author's record cannot be read. See the server's log."
        return 503, body(503, "damaged_record", told)
    reference = trace_id or str(uuid.uuid4())
    log.error("internal error %s: %s", reference, for_log(error))
    told = "internal error. If it happens again, look for the trace id in the server's log."
    reply = body(500, "internal_error", told)
    reply["error"]["trace_id"] = reference
    return 500, reply


def body(status: int, code: str, message: str) -> dict[str, Any]:
    """OpenAI's error shape."""
    kind = TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def for_log(error: BaseException) -> str:
    """An error's type and where in the code it was raised; and what it says, if that is ours."""
    if isinstance(error, LlmTwinError):
        return f"{_place(error)}: {masking.mask(str(error), masking.secrets_in(os.environ))}"
    return _place(error)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        where = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"
