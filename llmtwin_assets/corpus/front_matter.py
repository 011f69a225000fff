"""The head of a Markdown file: YAML between ``---``, TOML between ``+++``, or a JSON object. Loaded
without types of its own making, without aliases, and no deeper than people write.
"""

import json
import re
import tomllib
from typing import Any

import yaml

from llmtwin_assets.corpus.reading import UnreadableItemError

LARGEST = 100_000  # characters
YAML_HEAD = re.compile(
    r"\A---[ \t]*\n(.*?)(?:^---|^\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
TOML_HEAD = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
JSON_HEAD = re.compile(r'\A\{\s*"')


class _Loader(yaml.SafeLoader):
    """YAML without aliases: they make a small text a large value."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not read here")
        return super().compose_node(parent, index)


def split(text: str, name: str) -> tuple[dict[str, Any], str]:
    """The head as a mapping, empty without one, and the body. Raises ``UnreadableItemError``."""
    for language, pattern, load in (
        ("YAML", YAML_HEAD, _yaml),
        ("TOML", TOML_HEAD, tomllib.loads),
    ):
        match = pattern.match(text)
        if match:
            return _loaded(name, language, load, match[1]), text[match.end() :]
    if JSON_HEAD.match(text):
        return _json_head(text, name)
    return {}, text


def load_yaml(text: str, name: str) -> Any:
    """The value of a small YAML text from an unknown hand. Raises ``UnreadableItemError``."""
    return _guarded(name, "YAML", _yaml, text)


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a subclass of SafeLoader


def _loaded(name: str, language: str, load: Any, head: str) -> dict[str, Any]:
    value = _guarded(name, language, load, head)
    if value is not None and not isinstance(value, dict):
        raise UnreadableItemError(name, "its front matter is not a mapping", "Mend it")
    return {str(key): item for key, item in (value or {}).items()}


def _guarded(name: str, language: str, load: Any, text: str) -> Any:
    if len(text) > LARGEST:
        raise UnreadableItemError(
            name, f"its front matter has more than {LARGEST} characters", "Cut it"
        )
    try:
        return load(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise UnreadableItemError(
            name, f"its front matter is not {language} ({why})", "Mend it"
        ) from error


def _json_head(text: str, name: str) -> tuple[dict[str, Any], str]:
    """A JSON object at the top; a text that only looks like one has no head."""
    try:
        value, end = json.JSONDecoder().raw_decode(text[:LARGEST])
    except (ValueError, RecursionError):
        return {}, text
    return dict(value), text[end:].removeprefix("\n")
