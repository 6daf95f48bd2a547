"""YAML as far as exports need it: scalars, lists and maps, read back the same by any reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def to_yaml(content: Mapping[str, Any], indent: str = "") -> str:
    """Nested dicts as YAML blocks; lists are of flow style."""
    lines = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{key}:\n{to_yaml(value, indent + '  ')}")
        elif isinstance(value, list):
            items = "".join(f"{indent}  - {_flow(item)}\n" for item in value)
            lines.append(f"{indent}{key}:\n{items}")
        else:
            lines.append(f"{indent}{key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        # Quoted, for names such as "no"; what is not printable is escaped as YAML wants it.
        plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
        return f'"{"".join(plain)}"'
    if isinstance(value, float) and "e" in (text := repr(value)) and "." not in text:
        return text.replace("e", ".0e")  # YAML 1.1 reads 1e-05 as text
    return json.dumps(value)
