"""Values in a config by dotted path, set and removed in place: `datasets.0.target_dataset`.

For configs that are still being put together, so that nothing is known of their shape. Imports no
torch.
"""

from __future__ import annotations

from typing import Any


def put(node: Any, path: str, value: Any) -> None:
    """Set the value at a path. Entries of lists are made up to the one named: name no far one."""
    key, _, rest = path.partition(".")
    place: Any = key
    if isinstance(node, list):
        place = int(key)
        node += [{} for _ in range(place + 1 - len(node))]
    if not rest:
        node[place] = value
        return
    if isinstance(node, dict) and key not in node:
        node[key] = [] if rest.partition(".")[0].isdigit() else {}
    put(node[place], rest, value)


def take_out(node: Any, path: str) -> bool:
    """Remove what a dotted path leads to, of keys that may hold dots; whether it was there."""
    if isinstance(node, list):
        place, _, rest = path.partition(".")
        return place.isdigit() and int(place) < len(node) and take_out(node[int(place)], rest)
    if not isinstance(node, dict):
        return False
    if path in node:
        del node[path]
        return True
    return any(
        path.startswith(f"{key}.") and take_out(node[key], path[len(key) + 1 :]) for key in node
    )
