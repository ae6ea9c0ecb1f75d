"""The docs name what there is, and what they name is there."""

import inspect
import json
import re
from pathlib import Path

import attrs
import pytest
import typer

from worldweave import maps
from worldweave.cli import app
from worldweave.request.sources import FORMS, Labels, Objects, Schedule
from worldweave.request.structure import from_plain
from worldweave_registry import Base, Modality, Model, Recipe, Weights, hooks

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="the docs are not part of the wheel"
)


def text(name):
    return (ROOT / name).read_text()


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", text(name), re.DOTALL)


GUIDE = "docs/plugins/2-hooks.md"
DESCRIBED = {
    "What a modality may say": Modality,
    "What a base may say": Base,
    "What weights say": Weights,
    "What a recipe says": Recipe,
    "What a model says": Model,
}


def section(title):
    """The part of the page on hooks under a title."""
    return text(GUIDE).split(f"## {title}\n")[1].split("\n## ")[0]


HOOKS = [name for name in vars(hooks) if name.startswith("worldweave_")]
PAGES = ["README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_stands_in_the_plugin_guide_with_every_argument(hook):
    arguments = ", ".join(inspect.signature(getattr(hooks, hook)).parameters)
    assert f"`{hook}({arguments})`" in section("The hooks")


@pytest.mark.parametrize(
    ("title", "field"),
    [(t, f.name) for t, kind in DESCRIBED.items() for f in attrs.fields(kind)],
)
def test_every_field_a_plugin_may_fill_stands_in_the_plugin_guide(title, field):
    assert f"`{field}`" in section(title)


def test_every_command_stands_in_the_docs():
    told = "".join(map(text, PAGES))
    for command in typer.main.get_command(app).commands:
        assert f"worldweave {command}" in told or f"make {command}" in told, command


@pytest.mark.parametrize("key", [*FORMS, "schedule", "linear", "interval"])
def test_every_form_of_a_map_stands_in_its_page(key):
    assert f'"{key}"' in text("docs/maps.md")


@pytest.mark.parametrize("kind", [*FORMS.values(), Labels, Objects, Schedule])
def test_python_users_find_every_form(kind):
    assert getattr(maps, kind.__name__) is kind


def test_the_json_of_the_maps_page_is_taken():
    for block in blocks("docs/maps.md", "json"):
        plain = json.loads(block)
        request = plain if "controls" in plain else {"controls": {"edge": plain}}
        assert from_plain(request).controls


def test_the_maps_of_the_maps_page_are_taken():
    rows = re.findall(r"^\|.*?\| (.*) \|$", text("docs/maps.md"), re.MULTILINE)
    forms = [json.loads(f) for row in rows for f in re.findall(r"`(\{.*?\})`", row)]
    for form in forms:
        from_plain({"controls": {"edge": {"map": form}}})
    assert len(forms) >= len(FORMS)


PYTHON = [page for page in PAGES if "```python\n" in text(page)]


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_in_the_docs_is_python(name):
    for block in blocks(name, "python"):
        compile(block, name, "exec")


def test_the_json_in_the_readme_is_a_request():
    (block,) = blocks("README.md", "json")
    assert set(from_plain(json.loads(block)).controls) == {"edge", "vis"}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
