"""An import path is checked when written and loaded when needed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worldweave_registry import Catalog, Lazy, PluginError


def message(lazy: Lazy) -> str:
    with pytest.raises(PluginError) as caught:
        lazy.load()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_writing_a_path_imports_nothing(site: Path) -> None:
    (site / "lazy_late.py").write_text("VALUE = 3")
    lazy = Lazy("lazy_late:VALUE")
    assert "lazy_late" not in sys.modules
    assert lazy.load() == 3
    del sys.modules["lazy_late"]


def test_a_path_may_lead_into_a_class() -> None:
    assert Lazy("fractions:Fraction.from_float").load()(0.5) == 0.5


def test_a_path_prints_as_it_is_written() -> None:
    assert str(Lazy("fractions:Fraction")) == "fractions:Fraction"


def test_who_names_a_path_does_not_make_it_another() -> None:
    assert Lazy("a:B", plugin="x@y") == Lazy("a:B")
    assert hash(Lazy("a:B", plugin="x@y")) == hash(Lazy("a:B"))


def test_a_missing_module_is_named() -> None:
    assert message(Lazy("acme_gone.depth:Net")) == (
        "cannot load 'acme_gone.depth:Net': ModuleNotFoundError: No module named "
        "'acme_gone'; check the spelling, or reinstall the plugin"
    )


def test_a_missing_name_gets_a_suggestion() -> None:
    assert message(Lazy("fractions:Fractoin")) == (
        "cannot load 'fractions:Fractoin': 'fractions' has no 'Fractoin'; "
        "did you mean 'Fraction'?"
    )


def test_a_missing_name_in_a_class_is_told_with_the_class() -> None:
    assert "'fractions.Fraction' has no 'thirds'" in message(
        Lazy("fractions:Fraction.thirds")
    )


def test_a_missing_dependency_is_told_from_a_missing_module(site: Path) -> None:
    (site / "lazy_needs.py").write_text("import open3d_gone")
    assert message(Lazy("lazy_needs:Net")) == (
        "cannot load 'lazy_needs:Net': ModuleNotFoundError: No module named "
        "'open3d_gone'; install the package that provides 'open3d_gone'"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no GPU\\nat all')", "RuntimeError: no GPU; at all"),
        ("raise SystemExit('no licence key')", "SystemExit: no licence key"),
        ("def broken(:", "SyntaxError: invalid syntax (lazy_bad.py, line 1)"),
        ("class Panic(BaseException): pass\nraise Panic('ouch')", "Panic: ouch"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def __getattr__(name): raise SystemExit('no')", "SystemExit: no"),
    ],
)
def test_whatever_a_module_raises_is_one_line(
    site: Path, source: str, reason: str
) -> None:
    (site / "lazy_bad.py").write_text(source)
    assert message(Lazy("lazy_bad:Net")) == f"cannot load 'lazy_bad:Net': {reason}"


def test_the_cause_is_kept_for_whoever_debugs(site: Path) -> None:
    (site / "lazy_cause.py").write_text("1 / 0")
    with pytest.raises(PluginError) as caught:
        Lazy("lazy_cause:Net").load()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_ctrl_c_during_a_load_passes(site: Path) -> None:
    (site / "lazy_stop.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Lazy("lazy_stop:Net").load()


def test_the_plugin_that_names_a_bad_path_is_named(
    install: Callable[..., None],
    found: Callable[..., Catalog],
    supplying: Callable[..., str],
) -> None:
    install("acme-sense", supplying("depth", bases=("tiny",)), plugin="sense")
    catalog = found("acme-sense")
    preprocessor = catalog.find("depth").preprocessor
    assert preprocessor is not None
    assert "named by plugin 'sense@acme-sense': " in message(preprocessor)
    assert "named by plugin 'sense@acme-sense': " in message(
        catalog.find_base("tiny").autoencoder
    )


REPORT = "report it to acme-sense 0.2.0: https://acme.example/issues"


@pytest.mark.parametrize(
    ("source", "path", "end"),
    [
        ("1 / 0", "lazy_sense:Net", f"ZeroDivisionError: division by zero; {REPORT}"),
        ("", "lazy_sense:Net", f"'lazy_sense' has no 'Net'; {REPORT}"),
        (
            "from worldweave import Sound",
            "lazy_sense:Net",
            f"--upgrade worldweave; {REPORT}",
        ),
        # What the user can mend is no fault of the plugin.
        ("import open3d_gone", "lazy_sense:Net", "that provides 'open3d_gone'"),
        ("raise MemoryError", "lazy_sense:Net", "MemoryError"),
        (
            "import worldweave_registry as ww\nraise ww.WorldweaveError('no key')",
            "lazy_sense:Net",
            "named by plugin 'sense@acme-sense': no key",
        ),
    ],
)
def test_whom_to_tell_is_told_where_the_plugin_is_at_fault(
    site: Path, source: str, path: str, end: str
) -> None:
    (site / "lazy_sense.py").write_text(source)
    try:
        text = message(Lazy(path, plugin="sense@acme-sense", report=REPORT))
    finally:
        sys.modules.pop("lazy_sense", None)
    assert text.endswith(end)


def test_what_a_recipe_names_has_the_plugin_of_the_recipe(
    install: Callable[..., None], found: Callable[..., Catalog], site: Path
) -> None:
    source = (
        "import worldweave_registry as ww\n"
        "RECIPE = ww.Recipe(steps=3, learning_rate=1, dataset='lazy_gone:make')\n"
        "@ww.hookimpl\ndef worldweave_modalities():\n"
        "    return [ww.Modality(name='fog', summary='x', license='MIT',\n"
        "        preprocessor=None, recipe='acme_sense_depth:RECIPE')]\n"
    )
    install("acme-sense", source)
    named = found("acme-sense").find("fog").recipe
    assert named is not None
    recipe = named.load()
    assert recipe == sys.modules["acme_sense_depth"].RECIPE
    assert message(recipe.dataset).startswith(
        "cannot load 'lazy_gone:make', named by plugin 'depth@acme-sense': "
    )
    assert recipe.dataset.report == "report it to the author of acme-sense 0.2.0"


def test_tracing_shows_how_a_path_could_not_be_loaded(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "lazy_traced.py").write_text("\n\n1 / 0")
    monkeypatch.setenv("WORLDWEAVE_TRACE", "1")
    message(Lazy("lazy_traced:Net"))
    trace = capsys.readouterr().err
    assert trace.startswith("worldweave: cannot load 'lazy_traced:Net'\nTraceback")
    assert 'lazy_traced.py", line 3' in trace
