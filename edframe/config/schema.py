"""JSON Schema of config files, for editors."""

from __future__ import annotations

from typing import Any

from edframe.config.experiment import BLOCKS, SECTION, FixedKeys
from edframe.contract.registry import Registry
from edframe.errors import PluginError


def schema(registry: Registry) -> dict[str, Any]:
    """JSON Schema of a config file, for editors, over all installed components."""
    result = FixedKeys.model_json_schema()
    for block, kind in BLOCKS.items():
        variants = []
        for name in registry.names(kind):
            try:
                component = registry.get(kind, name)
            except PluginError:
                continue
            variant = component.config.model_json_schema()
            result.setdefault("$defs", {}).update(variant.pop("$defs", {}))
            variant["title"] = name
            variant["description"] = component.summary
            variant["properties"] = {"name": {"const": name}, **variant.get("properties", {})}
            variant["required"] = ["name", *variant.get("required", [])]
            variants.append(variant)
        result["properties"][block] = {"oneOf": variants}
    result["properties"][SECTION] = {
        "type": "object",
        "description": "What `edframe compare` varies, by key: values, or a mapping from labels to values.",
        "properties": {
            "seeds": {"type": "integer", "minimum": 1, "description": "Runs of each with other weights and batches."},
            "folds": {"type": "integer", "minimum": 1, "description": "Folds of each."},
            "seconds": {
                "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}],
                "description": "Equal training time for all, by their steps; null: equal steps.",
            },
        },
        "additionalProperties": {
            "anyOf": [{"type": "array", "minItems": 1}, {"type": "object", "minProperties": 1}],
        },
    }
    result["title"] = "edframe experiment"
    return result
