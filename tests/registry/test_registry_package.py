"""The package is light, and what it exports is there."""

import subprocess
import sys
from pathlib import Path

import worldweave_registry

HEAVY = {"torch", "numpy", "cv2", "triton", "transformers", "rich", "typer"}


def modules_after(statement: str) -> set[str]:
    """Import in a fresh process and return the top-level modules it holds."""
    root = Path(worldweave_registry.__file__).parents[1]
    program = f"import sys; sys.path.insert(0, {str(root)!r}); {statement}; " + (
        "print(*sys.modules)"
    )
    names = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    return {name.partition(".")[0] for name in names}


def test_importing_it_imports_nothing_heavy() -> None:
    names = modules_after("import worldweave_registry")
    assert "worldweave_registry" in names
    assert names.isdisjoint(HEAVY)


def test_finding_no_plugins_imports_nothing_heavy() -> None:
    names = modules_after(
        "import worldweave_registry as w; w.discover({'WORLDWEAVE_PLUGINS': ''})"
    )
    assert names.isdisjoint(HEAVY)


def test_it_stands_on_attrs_and_pluggy_alone() -> None:
    new = modules_after("import worldweave_registry") - modules_after("pass")
    outside = {
        name
        for name in new - set(sys.stdlib_module_names)
        if not name.startswith("_") and name != "worldweave_registry"
    }
    assert outside == {"attr", "attrs", "pluggy"}


def test_every_exported_name_is_there_and_in_order() -> None:
    names = worldweave_registry.__all__
    assert [name for name in names if not hasattr(worldweave_registry, name)] == []
    assert len(set(names)) == len(names)
