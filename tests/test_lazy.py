"""Packages import their names on first use, and tell a type checker the same as they do."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ctrkit
from ctrkit.lazy import lazy

ROOT = Path(ctrkit.__file__).parent
LAZY = sorted(
    ".".join(("ctrkit", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.rglob("__init__.py")
    if "= lazy(" in path.read_text()
)


def checked_imports(package: str) -> set[str]:
    """What the block for type checkers and the other imports of a package say."""
    tree = ast.parse(Path(importlib.import_module(package).__file__ or "").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0]
    own = [node for node in imports if node.module == package or str(node.module).startswith(f"{package}.")]
    return {name.asname or name.name for node in own for name in node.names} - {"lazy"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package `shop` of two modules, one of which says when it is imported."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("__all__ = ['till', 'pay', 'buy', 'back']")
    (tmp_path / "shop" / "till.py").write_text("import sys\nsys.opened = True\ndef pay(): return 'paid'\n")
    (tmp_path / "shop" / "buy.py").write_text("def buy(): return 'bought'\n")
    (tmp_path / "shop" / "back").mkdir()
    (tmp_path / "shop" / "back" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shop", "shop.till", "shop.buy", "shop.back"):
        monkeypatch.setitem(sys.modules, name, None)  # So that what is imported now is forgotten later.
        del sys.modules[name]
    shop = importlib.import_module("shop")
    homes = {"till": ["pay", "pay as settle"], "buy": ["buy"]}
    shop.__dict__["__getattr__"], shop.__dict__["__dir__"] = lazy("shop", homes, packages=["back"])
    return shop


@pytest.mark.parametrize("name", LAZY)
def test_a_type_checker_sees_what_is_offered(name: str) -> None:
    offered = set(importlib.import_module(name).__all__)
    assert checked_imports(name) == offered


@pytest.mark.parametrize("name", LAZY)
def test_every_offered_name_is_found_where_it_is_said_to_be(name: str) -> None:
    package = importlib.import_module(name)
    assert dir(package) == sorted(package.__all__)
    for offered in package.__all__:
        value = getattr(package, offered)
        assert getattr(value, "__name__", offered).split(".")[-1] in (offered, "build")


def test_the_packages_whose_light_names_must_not_wait_for_tensorflow_are_lazy() -> None:
    heavy = {"analysis", "datasets", "export", "metrics", "records", "serving", "training", "training.cluster"}
    assert {"ctrkit", *(f"ctrkit.{name}" for name in heavy)} <= set(LAZY)


def test_a_module_is_imported_when_its_name_is_used(package: ModuleType) -> None:
    assert "shop.till" not in sys.modules
    assert package.settle() == "paid"
    assert "shop.till" in sys.modules
    assert "settle" in vars(package), "the second use asks nobody"


def test_dir_tells_what_was_not_used_yet(package: ModuleType) -> None:
    assert dir(package) == ["back", "buy", "pay", "till"]


def test_a_package_below_is_a_name(package: ModuleType) -> None:
    assert package.back is sys.modules["shop.back"]


@pytest.mark.parametrize("first", ["module", "name"])
def test_a_name_wins_over_the_module_that_is_called_like_it(package: ModuleType, first: str) -> None:
    if first == "name":
        assert package.buy() == "bought"
    importlib.import_module("shop.buy")
    assert package.buy() == "bought"
    importlib.import_module("shop.till")
    assert isinstance(package.till, ModuleType)


def test_an_unknown_name_is_an_attribute_error_that_knows_its_package(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"^module 'shop' has no attribute 'sell'$") as caught:
        package.sell  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("sell", package)


def test_a_typing_slip_is_answered_with_the_right_name() -> None:
    found = subprocess.run([sys.executable, "-c", "import ctrkit; ctrkit.Schemma"], capture_output=True, text=True)
    assert "Did you mean: 'Schema'?" in found.stderr


def test_importing_ctrkit_imports_none_of_its_packages() -> None:
    program = "import sys, ctrkit; print(sorted(name for name in sys.modules if name.startswith('ctrkit.')))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['ctrkit.lazy', 'ctrkit.version']"
