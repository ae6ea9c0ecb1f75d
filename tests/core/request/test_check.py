"""A request is looked at as a whole before anything is read."""

import re

import attrs
import pytest

from worldweave import (
    Control,
    Modality,
    PluginError,
    Problems,
    Request,
    Weights,
    WeightsError,
)
from worldweave.request.check import (
    Prepared,
    branch_weights,
    examine,
    make_preprocessor,
    raise_all,
    weights_problems,
)
from worldweave_registry import Catalog, Hooks, Plugin, State, discover

CATALOG = discover()
TINY = CATALOG.find_base("tiny-world")
GREEN = Weights(base="tiny-world", uri="green.safetensors", license="MIT")
FOG = Modality(
    name="fog",
    summary="for tests",
    license="MIT",
    preprocessor=None,
    default_map=0.25,
    weights=[attrs.evolve(GREEN, base="huge"), attrs.evolve(GREEN, part="dit"), GREEN],
)


@attrs.frozen(kw_only=True)
class Brush:
    """A preprocessor whose options refuse in every way a plugin might."""

    width: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    hidden: int = attrs.field(default=0, init=False)
    colour: str = attrs.field(default="red", converter=str.lower)

    def __call__(self, frames):
        return frames


class Bare:
    """A preprocessor that is no attrs class."""

    def __call__(self, frames):
        return frames


@attrs.frozen(kw_only=True)
class Sunk:
    """A preprocessor that cannot be built unless with a depth, and from no seed."""

    depth: int = 0

    def __attrs_post_init__(self):
        if self.depth == 0:
            raise RuntimeError("no depth\nto sink to")
        if self.depth < 0:
            raise SystemExit(self.depth)

    @classmethod
    def released(cls, seed):
        raise TypeError(f"{seed} is no seed")


def painted(kind, **options):
    modality = attrs.evolve(FOG, preprocessor=f"{__name__}:{kind}")
    return make_preprocessor("fog", modality, options)


def with_fog(**supplied):
    plugin = Plugin(
        name="fog",
        distribution="acme",
        version="1",
        state=State.READY,
        **{"modalities": (FOG,), **supplied},
    )
    return Catalog(plugins=(*CATALOG.plugins, plugin), hook=Hooks({}))


def look(catalog=CATALOG, **fields):
    return examine(Request(**{"video": "unread.mp4", **fields}), catalog)


def test_a_good_request_has_no_problems_and_reads_no_file():
    base, prepared, problems = look(
        prompt="a red car", controls={"edge": Control(map=1.0), "vis": Control()}
    )
    assert problems == []
    assert base == TINY
    assert list(prepared) == ["edge", "vis"]


def test_a_map_left_out_is_the_default_of_the_modality():
    _, prepared, _ = look(
        with_fog(), controls={"fog": Control(video="x.mp4"), "edge": Control(map=0.9)}
    )
    assert prepared["fog"].map == 0.25
    assert prepared["edge"].control.map == 0.9


@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_a_modality_at_zero_is_left_out(zero):
    controls = {"edge": Control(map=zero), "vis": Control(map=1e-6)}
    assert list(look(controls=controls)[1]) == ["vis"]


def test_a_modality_at_zero_must_still_exist_and_know_its_options():
    controls = {
        "egde": Control(map=0),
        "edge": Control(map=0, options={"treshold": "low"}),
    }
    _, prepared, problems = look(controls=controls)
    assert prepared == {}
    assert [problem.split(";")[0] for problem in problems] == [
        "no plugin supplies the modality 'egde'",
        "'edge' has no option 'treshold'",
    ]


def test_a_modality_at_zero_needs_no_control():
    controls = {"fog": Control(map=0), "edge": Control(map=1.0)}
    assert look(with_fog(), controls=controls)[2] == []


def test_problems_of_every_kind_are_found_in_one_look():
    problems = look(
        with_fog(),
        base="tiny-world",
        prompt="a purpel car",
        negative_prompt="xylophones",
        steps=0,
        overlap=9,
        controls={
            "egde": Control(),
            "vis": Control(options={"strength": "loud"}),
            "fog": Control(),
        },
    )[2]
    for part in ("purpel", "xylo", "steps", "overlap", "egde", "'loud'", "'fog'"):
        assert sum(part in problem for problem in problems) == 1
    assert len(problems) == 7


def test_an_unknown_base_leaves_the_rest_to_be_looked_at():
    base, _, problems = look(base="tiny", prompt="xylophones", seed=-1)
    assert base is None
    assert len(problems) == 2  # the prompt is the base's to judge


@pytest.mark.parametrize(("overlap", "count"), [(-1, 1), (0, 0), (8, 0), (9, 1)])
def test_overlap_is_shorter_than_a_chunk(overlap, count):
    problems = look(overlap=overlap)[2]
    assert len(problems) == count
    assert all("give 0 to 8" in problem for problem in problems)


def test_a_base_without_a_check_takes_any_prompt():
    silent = attrs.evolve(TINY, name="silent", check_prompt=None)
    catalog = with_fog(bases=(silent,))
    assert look(catalog, base="silent", prompt="xylophones")[2] == []


def test_options_are_the_fields_of_the_preprocessor():
    assert painted("Brush", width=7, colour="BLUE") == Brush(width=7, colour="blue")
    assert isinstance(painted("Bare"), Bare)
    with pytest.raises(Problems, match="'fog' has no option 'wdth'; did you mean 'wi"):
        painted("Brush", wdth=7)
    with pytest.raises(Problems, match="no option 'hidden'; it has: width, colour"):
        painted("Brush", hidden=7)
    with pytest.raises(Problems, match="'fog' has no option 'width'; it has: none"):
        painted("Bare", width=7)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 0}, "'width' must be >= 1: 0"),
        ({"width": "x"}, "not supported between"),
        ({"colour": 3}, "doesn't apply to a 'int' object"),
    ],
)
def test_whatever_an_option_refuses_is_one_line_that_names_the_modality(options, said):
    with pytest.raises(Problems, match=f"^option of 'fog': .*{re.escape(said)}") as got:
        painted("Brush", **options)
    assert len(str(got.value).splitlines()) == 1


def test_all_unknown_options_are_named():
    with pytest.raises(Problems) as caught:
        painted("Brush", a=1, b=2, width=3)
    assert len(caught.value.problems) == 2


def test_unknown_options_and_refused_values_are_told_together():
    with pytest.raises(Problems) as caught:
        painted("Brush", wdth=1, width=0)
    unknown, refused = caught.value.problems
    assert "no option 'wdth'" in unknown
    assert refused == "option of 'fog': 'width' must be >= 1: 0"


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "RuntimeError: no depth; to sink to"), ({"depth": -1}, "SystemExit: -1")],
)
def test_what_cannot_be_built_is_the_plugins_fault(options, said):
    says = f"^the preprocessor of 'fog' cannot be built: {said}; report it to"
    with pytest.raises(PluginError, match=says):
        painted("Sunk", **options)
    with pytest.raises(Problems, match="has no option 'x'") as caught:
        painted("Sunk", x=1, **options)
    assert said in caught.value.problems[1]


def test_drawing_released_settings_may_fail_too():
    modality = attrs.evolve(FOG, preprocessor=f"{__name__}:Sunk")
    with pytest.raises(PluginError, match="cannot be built: TypeError: 7 is no seed"):
        make_preprocessor("fog", modality, {}, released_seed=7)


def test_what_is_no_preprocessor_is_the_plugins_fault():
    modality = attrs.evolve(FOG, preprocessor="collections:OrderedDict")
    with pytest.raises(PluginError, match=r"made a OrderedDict; .* callable .* report"):
        make_preprocessor("fog", modality, {})


def test_the_branch_is_the_one_trained_for_the_base():
    assert branch_weights(FOG, "tiny-world") is FOG.weights[2]
    with pytest.raises(WeightsError, match=r"'small' \(it has: huge, tiny-world\); tr"):
        branch_weights(FOG, "small")
    bare = attrs.evolve(FOG, weights=[])
    with pytest.raises(WeightsError, match=r"\(it has: none\).*train fog --base small"):
        branch_weights(bare, "small")


def test_weights_of_the_users_own_must_be_a_file(tmp_path):
    def problems(weights):
        control = Control(map=1.0, weights=weights)
        prepared = Prepared(modality=FOG, control=control, preprocessor=None)
        return weights_problems("fog", prepared, TINY)

    there = tmp_path / "x.safetensors"
    there.touch()
    assert problems(there) == []
    assert problems(None) == []
    for gone in (tmp_path, tmp_path / "y.safetensors"):
        assert problems(gone) == [
            f"weights of 'fog': there is no file {gone}; check the path"
        ]


def test_the_same_problem_is_told_once():
    raise_all([])
    with pytest.raises(Problems) as caught:
        raise_all(["b", "a", "b"])
    assert caught.value.problems == ("b", "a")


def test_one_modality_under_two_names_is_a_problem():
    request = Request(controls={"edge": Control(), "edge@worldweave": Control()})
    _, _, problems = examine(request, discover())
    assert (
        "'edge' and 'edge@worldweave' are one modality; ask for it by one name"
        in problems
    )
