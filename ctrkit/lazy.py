"""Names of a package that are imported when first used: the light ones never wait for TensorFlow (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

Getattr = Callable[[str], Any]
Dir = Callable[[], list[str]]


def lazy(package: str, homes: Mapping[str, Iterable[str]], *, packages: Iterable[str] = ()) -> tuple[Getattr, Dir]:
    """Make the `__getattr__` and `__dir__` of a package whose names are imported on first use.

    A package writes the same imports for type checkers, who are to know nothing of this::

        if TYPE_CHECKING:
            from ctrkit.export.exported import Exported, open_exported
        else:
            __getattr__, __dir__ = lazy(__name__, {"exported": ["Exported", "open_exported"]})

    Args:
        package: the `__name__` of the package; its `__all__` is what `dir` lists.
        homes: module below the package -> its names, each as after `import`: `"build"` or `"build as build_adult"`.
        packages: modules below the package that are names themselves.
    """
    module = sys.modules[package]
    found = {}
    for home, names in homes.items():
        for name in names:
            original, _, alias = name.partition(" as ")
            found[alias or original] = (f"{package}.{home}", original)
    below = frozenset(packages)
    if not found.keys().isdisjoint(homes):
        _let_names_win(module, found.keys() & homes.keys())

    def getattr_(name: str) -> Any:
        if name in below:
            return import_module(f"{package}.{name}")  # Which makes it an attribute of the package.
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        home, original = found[name]
        value = getattr(import_module(home), original)
        setattr(module, name, value)
        return value

    def dir_() -> list[str]:
        return sorted(module.__all__)

    return getattr_, dir_


def _let_names_win(module: ModuleType, names: Iterable[str]) -> None:
    """Keep `ctrkit.records.prepare` the function: importing the submodule of that name must not hide it."""
    names = frozenset(names)

    class Package(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if not (name in names and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    module.__class__ = Package
