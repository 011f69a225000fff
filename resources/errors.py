"""The one shape every refusal takes: what was refused, why, and what to do about it.

Each kind of refusal is a subclass, defined in the room that raises it.
"""


class LlmTwinError(Exception):
    """A refusal a person can act on.

    ``item`` is the thing refused (a file, an author, a URL), ``problem`` what is wrong with it,
    ``remedy`` what to do. The message is the three in a sentence each.
    """

    def __init__(self, item: str, problem: str, remedy: str) -> None:
        super().__init__(f"{item}: {problem}. {remedy}.")
        self.item = item
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["LlmTwinError"], tuple[str, str, str]]:
        return type(self), (self.item, self.problem, self.remedy)


class UnknownSchemeError(LlmTwinError):
    """A storage URL names a backend that does not exist here."""

    def __init__(self, url: str, known: tuple[str, ...]) -> None:
        scheme = url.split(":", 1)[0]
        super().__init__(
            scheme + "://…",
            f"no storage backend is called '{scheme}'",
            f"Use a URL that begins with {' or '.join(known)}",
        )

    def __reduce__(self) -> tuple[type[LlmTwinError], tuple[str, str, str]]:
        return LlmTwinError, (self.item, self.problem, self.remedy)
