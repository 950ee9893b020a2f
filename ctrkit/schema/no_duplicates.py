"""YAML in which no key stands twice."""

from __future__ import annotations

from typing import Any

import yaml


class NoDuplicates(yaml.SafeLoader):
    """Refuses a key that is there twice, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"{name!r} is there twice{node.start_mark}")
        return super().construct_mapping(node, deep)
