"""A plugin that goes wrong is a row in a table and nobody else's trouble."""

from collections.abc import Callable

import pytest

from worldweave_registry import Catalog, State

HEAD = "import worldweave_registry as ww\n@ww.hookimpl\n"
ONE = "ww.Modality(name='x', summary='x', license='MIT', preprocessor=None)"
Install = Callable[..., None]
Found = Callable[..., Catalog]
Supplying = Callable[..., str]

WRONG = {
    "missing dependency": (
        "import open3d_not_installed",
        "ModuleNotFoundError: No module named 'open3d_not_installed'",
    ),
    "missing module": (
        None,
        "ModuleNotFoundError: No module named 'acme_bad_depth'",
    ),
    "exit": ("exit(3)", "SystemExit: 3"),
    "an error like the panics of Rust": (
        "class Panic(BaseException):\n    pass\nraise Panic('index out of range')",
        "Panic: index out of range",
    ),
    "the end of a generator": ("raise GeneratorExit", "GeneratorExit"),
    "the end of a generator in the hook": (
        HEAD + "def worldweave_modalities():\n    raise GeneratorExit\n    yield\n",
        "GeneratorExit",
    ),
    "exit with words": (
        "raise SystemExit('no licence key')",
        "SystemExit: no licence key",
    ),
    "syntax": ("def f(:", "SyntaxError: invalid syntax (acme_bad_depth.py, line 1)"),
    "many lines": ("raise OSError('one\\n  two')", "OSError: one; two"),
    "exit in the hook": (
        HEAD + "def worldweave_modalities():\n    exit('in the hook')\n",
        "SystemExit: in the hook",
    ),
    "error in a generator": (
        HEAD + f"def worldweave_modalities():\n    yield {ONE}\n    1 / 0\n",
        "ZeroDivisionError: division by zero",
    ),
    "wrong name": (
        HEAD
        + f"def worldweave_modalities():\n    return [{ONE.replace('x', 'A B', 1)}]",
        "Modality has name 'A B'; expected lower-case letters, digits and _, "
        "a letter first, such as 'hd_map'",
    ),
    "misspelt hook": (
        HEAD + "def worldweave_modalites():\n    return []",
        "unknown hook 'worldweave_modalites'; did you mean 'worldweave_modalities'?",
    ),
    "no hook": (
        "x = 3",
        "implements no hook; there are worldweave_modalities, worldweave_bases, "
        "worldweave_fetch, worldweave_map, worldweave_objects, worldweave_foreground, "
        "worldweave_models",
    ),
    "undecorated": (
        "def worldweave_modalities():\n    return []",
        "worldweave_modalities needs @worldweave.hookimpl above it",
    ),
    "wrapper": (
        "import worldweave_registry as ww\n@ww.hookimpl(wrapper=True)\n"
        "def worldweave_fetch(uri):\n    return (yield)",
        "worldweave_fetch is a wrapper, which is never called",
    ),
    "forgotten return": (
        HEAD + "def worldweave_modalities():\n    []",
        "worldweave_modalities() returned None, expected a list of Modality",
    ),
    "no list": (
        HEAD + f"def worldweave_modalities():\n    return {ONE}",
        "worldweave_modalities() returned a Modality, expected a list of Modality",
    ),
    "names only": (
        HEAD + "def worldweave_modalities():\n    return ['depth']",
        "worldweave_modalities() returned a list holding a str, "
        "expected a list of Modality",
    ),
    "a dict": (
        HEAD + f"def worldweave_modalities():\n    return {{'x': {ONE}}}",
        "worldweave_modalities() returned a dict holding a str, "
        "expected a list of Modality",
    ),
    "none among them": (
        HEAD + f"def worldweave_modalities():\n    return [{ONE}, None]",
        "worldweave_modalities() returned a list holding a NoneType, "
        "expected a list of Modality",
    ),
    "the class itself": (
        HEAD + "def worldweave_modalities():\n    return [ww.Modality]",
        "worldweave_modalities() returned a list holding a type, "
        "expected a list of Modality",
    ),
    "an error that cannot be told": (
        "class Mute(Exception):\n    def __str__(self):\n        1 / 0\nraise Mute",
        "Mute",
    ),
    "a number": (
        HEAD + "def worldweave_bases():\n    return 3",
        "worldweave_bases() returned an int, expected a list of Base",
    ),
    "modality for a base": (
        HEAD + f"def worldweave_bases():\n    return [{ONE}]",
        "worldweave_bases() returned a list holding a Modality, "
        "expected a list of Base",
    ),
    "the same twice": (
        HEAD + f"def worldweave_modalities():\n    return [{ONE}, {ONE}]",
        "describes 'x' 2 times in its modalities",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_went_wrong_is_told_and_the_neighbours_are_unharmed(
    install: Install, found: Found, supplying: Supplying, what: str
) -> None:
    source, problem = WRONG[what]
    install("acme-a", supplying("edge", bases=("tiny",)))
    install("acme-bad", source)
    install("acme-z", supplying("lidar"))
    catalog = found("acme-a", "acme-bad", "acme-z")
    assert [plugin.state for plugin in catalog.plugins] == [
        State.READY,
        State.BROKEN,
        State.READY,
    ]
    bad = catalog.plugins[1]
    assert bad.problem == problem
    assert bad.modalities == ()
    assert bad.bases == ()
    assert list(catalog.modalities) == ["edge", "lidar"]
    assert list(catalog.bases) == ["tiny"]


def test_a_broken_plugin_answers_no_hook(install: Install, found: Found) -> None:
    install(
        "acme-bad",
        HEAD
        + "def worldweave_fetch(uri):\n    return '/bad'\n"
        + "@ww.hookimpl\ndef worldweave_bases():\n    1 / 0\n",
    )
    assert found("acme-bad").hook.worldweave_fetch(uri="hf://x") is None


@pytest.mark.parametrize("where", ["", HEAD + "def worldweave_modalities():\n    "])
def test_ctrl_c_passes(install: Install, found: Found, where: str) -> None:
    install("acme-bad", where + "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        found("acme-bad")


def test_a_hook_of_a_later_worldweave_may_be_optional(
    install: Install, found: Found
) -> None:
    install(
        "acme-new",
        HEAD
        + f"def worldweave_modalities():\n    return [{ONE}]\n"
        + "@ww.hookimpl(optionalhook=True)\ndef worldweave_sounds():\n    return []\n",
    )
    (plugin,) = found("acme-new").plugins
    assert plugin.state is State.READY
    assert plugin.hooks == ("worldweave_modalities",)


def test_a_class_must_be_called_first(install: Install, found: Found) -> None:
    install("acme-bad", "class Plugin: pass", value="acme_bad_depth:Plugin")
    assert found("acme-bad").plugins[0].problem == (
        "entry point 'acme_bad_depth:Plugin' is a class; name a module or an instance"
    )


def test_an_entry_point_that_is_none_is_told(install: Install, found: Found) -> None:
    install("acme-bad", "", value="acme-bad!")
    assert found("acme-bad").plugins[0].problem == (
        "entry point 'acme-bad!' is not 'package.module' or 'package.module:name'"
    )


@pytest.mark.parametrize("word", ["modalities", "bases"])
def test_two_plugins_of_a_distribution_cannot_supply_one_name(
    install: Install, found: Found, supplying: Supplying, word: str
) -> None:
    source = supplying("x") if word == "modalities" else supplying(bases=("x",))
    install("acme", source, plugin="one")
    install("acme", source, plugin="two")
    one, two = found("acme").plugins
    assert one.state is State.READY
    assert two.state is State.BROKEN
    assert two.problem == f"'x' is already among the {word} of plugin 'one@acme'"


def test_two_distributions_may_ship_the_same_module(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme", supplying("depth"))
    install("fork", None, value="acme_depth")
    assert list(found("acme", "fork").modalities) == ["depth@acme", "depth@fork"]


def test_what_a_plugin_prints_stays_off_standard_output(
    install: Install,
    found: Found,
    supplying: Supplying,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("acme-loud", "print('Hello from Acme')\n" + supplying("depth"))
    assert found("acme-loud").plugins[0].state is State.READY
    assert capsys.readouterr() == ("", "Hello from Acme\n")


def test_tracing_tells_of_the_descriptions(
    install: Install,
    found: Found,
    supplying: Supplying,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("acme-depth", supplying("depth"))
    found("acme-depth", WORLDWEAVE_TRACE="1")
    trace = capsys.readouterr().err
    assert trace.startswith("worldweave: depth@acme-depth worldweave_modalities() -> ")
    assert trace.count("\n") == 1


def test_tracing_shows_how_a_plugin_broke(
    install: Install, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme-bad", "def deep():\n    1 / 0\ndeep()\n")
    assert found("acme-bad").plugins[0].state is State.BROKEN
    assert capsys.readouterr().err == ""
    found("acme-bad", WORLDWEAVE_TRACE="1")
    trace = capsys.readouterr().err
    assert trace.startswith("worldweave: depth@acme-bad cannot be loaded\nTraceback")
    assert 'acme_bad_depth.py", line 2, in deep' in trace
