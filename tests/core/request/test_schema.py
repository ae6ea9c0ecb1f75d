"""The schema and the reader of requests agree, whatever they are given."""

import copy
import json
import re
from pathlib import Path

import attrs
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave import Problems
from worldweave.generate.batch_jobs import read_jobs
from worldweave.request import sources
from worldweave.request.maps.check import map_problems
from worldweave.request.maps.schedule import schedule_problems
from worldweave.request.plain import read_plain
from worldweave.request.schema import DRAFT, LIMITS, json_schema
from worldweave.request.sources import FORMS
from worldweave.request.spec import Request, value_problems
from worldweave.request.structure import from_plain

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SCHEMA = jsonschema.Draft202012Validator(json_schema())
needs_docs = pytest.mark.skipif(
    not DOCS.exists(), reason="the docs are not part of the wheel"
)
EXAMPLES = sorted(
    path for path in DOCS.glob("examples/*") if path.suffix in (".json", ".yaml")
)

# What a field may be, said once more and by hand: the tests would prove nothing if
# they took it from where the schema takes it.
text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6)
name = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
part = st.floats(0, 1) | st.sampled_from([0, 1])
seconds = st.floats(0, 100) | st.integers(0, 9)
rate = st.none() | st.sampled_from([24, 29.97])
box = st.tuples(part, part, part, part).map(list)
timing = {
    "match": st.sampled_from(["frames", "time", None]),
    "fps": rate,
    "length": st.sampled_from(["error", "hold", "loop"]),
}


def thing(needed, **optional):
    return st.fixed_dictionaries(needed, optional=optional)


def lists(items):
    return st.lists(items, min_size=1, max_size=3)


boxes = thing({"box": box}, value=part, start=seconds, end=st.none() | st.just(7.5))
moments = thing({"time": seconds}, value=part, box=st.none() | box)
leaves = st.one_of(
    part,
    name,
    thing({"file": name}, **timing),
    thing({"boxes": lists(boxes)}, outside=part),
    thing({"keyframes": lists(moments)}, outside=part),
    thing({"rule": text}),
    thing({"prompt": text}, allow_empty=st.booleans()),
    thing({"foreground": part, "background": part}),
    thing({"learned": name}, scale=part),
)
maps = st.recursive(
    leaves,
    lambda inner: st.one_of(
        thing({"product": lists(inner)}),
        thing({"max": lists(inner)}),
        thing({"invert": inner}),
        thing({"feather": inner, "pixels": seconds}),
    ),
    max_leaves=4,
)
schedules = thing(
    {},
    linear=st.none() | st.tuples(part, part).map(list),
    interval=st.none() | st.tuples(seconds, seconds).map(list),
)
free = st.dictionaries(text, st.none() | st.booleans() | st.lists(text), max_size=2)
controls = maps | thing(
    {},
    map=st.none() | maps,
    video=st.none() | name,
    options=free,
    weights=st.none() | name,
    schedule=st.none() | schedules,
)
labels = name | thing(
    {"file": name},
    layout=st.sampled_from(["plain", "isaac", "carla"]),
    classes=st.none() | name | free,
    **timing,
)
requests = thing(
    {},
    base=text,
    prompt=text,
    negative_prompt=text,
    video=st.none() | name,
    controls=st.dictionaries(text, controls, max_size=3),
    labels=st.none() | labels,
    objects=st.none() | thing({}, masks=text, classifier=text),
    steps=st.none() | st.integers(1, 1000),
    guidance=st.none() | st.floats(0, 100),
    seed=st.integers(0, 2**31 - 1),
    sigma_max=st.floats(0.01, 80),
    fps=rate,
    overlap=st.integers(0, 9),
    max_frames=st.none() | st.integers(1, 9),
    compat=st.sampled_from([None, "cosmos-transfer1"]),
)


def structured(plain):
    """The request, or None where the reader refuses."""
    try:
        return from_plain(plain)
    except Problems:
        return None


def places(plain, path=()):
    """Every path into *plain*, but not into what a plugin or a table defines."""
    yield path
    if path[-1:] in (("options",), ("classes",)) and isinstance(plain, dict):
        return
    if isinstance(plain, dict):
        items = plain.items()
    else:
        items = enumerate(plain) if isinstance(plain, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def at(plain, path):
    for key in path:
        plain = plain[key]
    return plain


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == DRAFT


@needs_docs
def test_the_published_schema_is_what_the_classes_say():
    published = (DOCS / "request.schema.json").read_text("utf-8")
    assert json.loads(published) == json_schema(), (
        "run: worldweave schema --out docs/request.schema.json"
    )


@settings(max_examples=60)
@given(requests)
def test_what_may_be_asked_both_accept(plain):
    from_plain(plain)
    SCHEMA.validate(plain)


@settings(max_examples=60)
@given(requests, st.data())
def test_an_unknown_key_at_any_depth_both_refuse(plain, data):
    objects = [
        path
        for path in places(plain)
        if isinstance(at(plain, path), dict)
        # Keys of their own: any text is a modality, an option, a class.
        and path[-1:] not in (("controls",), ("options",), ("classes",))
    ]
    path = data.draw(st.sampled_from(objects))
    key = data.draw(st.sampled_from(["mapp", "treshold", "Seed", "", "a b"]))
    at(plain, path)[key] = data.draw(st.sampled_from([None, 0.5, "low", {}]))
    said = key if key.isalpha() else repr(key)
    with pytest.raises(Problems, match=rf"{said} is unknown|object of .*{key}"):
        from_plain(plain)
    assert not SCHEMA.is_valid(plain)


JUNK = [None, True, 1, 0.5, "", "x", "a\0", [], [1], {}, {"zzz": 1}, {"rule": "x"}]
JUNK += [[None]]


@settings(max_examples=200)
@given(requests, st.data())
def test_where_anything_stands_anywhere_both_say_the_same(plain, data):
    path = data.draw(st.sampled_from(list(places(plain))[1:] or [()]))
    if not path:
        plain = data.draw(st.sampled_from(JUNK))
    else:
        at(plain, path[:-1])[path[-1]] = data.draw(st.sampled_from(JUNK))
    made = structured(plain)
    if made is None:
        assert not SCHEMA.is_valid(plain)
    elif not SCHEMA.is_valid(plain):
        assert problems_of_values(made), plain


@settings(max_examples=80)
@given(requests, st.data())
def test_where_a_key_is_missing_both_say_the_same(plain, data):
    inner = [path for path in places(plain) if path and isinstance(path[-1], str)]
    if not inner:
        return
    path = data.draw(st.sampled_from(inner))
    del at(plain, path[:-1])[path[-1]]
    assert SCHEMA.is_valid(plain) == (structured(plain) is not None)


FILLED = {
    "base": "b",
    "video": "in.mp4",
    "controls": {
        "edge": {"file": "m.npy", "match": "time", "fps": 24, "length": "loop"},
        "vis": {
            "map": {"boxes": [{"box": [0, 0, 1, 1], "start": 1, "end": 2}]},
            "video": "v.mp4",
            "weights": "w.safetensors",
            "schedule": {"linear": [0, 1], "interval": [1, 2]},
        },
        "seg": {"keyframes": [{"time": 0, "value": 1, "box": [0, 0, 1, 1]}]},
        "depth": {"prompt": "a car", "allow_empty": True},
        "hdmap": {"learned": "base", "scale": 1},
    },
    "labels": {
        "file": "l.mp4",
        "layout": "isaac",
        "classes": "c.json",
        "match": "time",
    },
    "objects": {"masks": "labels", "classifier": "rule"},
    "compat": "cosmos-transfer1",
    "max_frames": 9,
}


@pytest.mark.parametrize("value", [None, "", "a\0b", True, 7.5, "zzz", [], {}])
@pytest.mark.parametrize("path", list(places(FILLED))[1:], ids=str)
def test_each_kind_of_value_both_take_or_both_refuse(path, value):
    plain = copy.deepcopy(FILLED)
    at(plain, path[:-1])[path[-1]] = value
    made = structured(plain)
    if made is None:
        assert not SCHEMA.is_valid(plain)
    else:
        assert SCHEMA.is_valid(plain) or problems_of_values(made)


@pytest.mark.parametrize("name", ["edge", "a b", "a\0b"])
def test_each_name_of_a_modality_both_take_or_both_refuse(name):
    plain = {"controls": {name: 0.5}}
    assert SCHEMA.is_valid(plain) == (structured(plain) is not None)


def problems_of_values(request):
    """What the later checks find, but for files that are not there."""
    found = value_problems(request)
    for name, control in request.controls.items():
        if control.map is not None:
            found += map_problems(name, control.map)
        found += schedule_problems(name, control.schedule)
    absent = ("no video", "there is no file", "neither a number nor a file", "SDEdit")
    return [line for line in found if not any(part in line for part in absent)]


WHOLE = ("steps", "seed", "overlap", "max_frames")
BOUNDS = [
    (kind, field, keyword, schema[keyword])
    for (kind, field), limit in LIMITS.items()
    for schema in [limit.get("items", limit)]
    for keyword in ("minimum", "maximum", "exclusiveMinimum", "minItems")
    if keyword in schema and (kind, field) != (Request, "overlap")
]


def limited(kind, field, value):
    """A request in which only *field* of *kind* is worth a look."""
    if kind is Request:
        return {"video": "in.mp4", field: value}
    if kind is sources.Labels:
        return {"labels": {"file": "l.mp4", field: value}}
    if kind is sources.Schedule:
        return {"controls": {"edge": {"map": 1, "schedule": {field: [value, value]}}}}
    if field == "box":
        value = [value, 0.1, 0.9, 0.9] if value < 0.5 else [0.1, 0.1, 0.9, value]
    if kind is sources.Box:
        form = {"boxes": [{"box": [0, 0, 1, 1], field: value}]}
    elif kind is sources.Keyframe:
        moment = {"time": 0, "value": 1, "box": [0, 0, 1, 1], field: value}
        form = {"keyframes": [moment]}
    elif isinstance(value, int) and field in ("boxes", "keyframes", "product", "max"):
        item = {"boxes": {"box": [0, 0, 1, 1]}, "keyframes": {"time": 0}}
        form = {field: [item.get(field, 0.5)] * value}
    else:
        needed = {
            sources.File: {"file": __file__},
            sources.Boxes: {"boxes": [{"box": [0, 0, 1, 1]}]},
            sources.Keyframes: {"keyframes": [{"time": 0, "box": [0, 0, 1, 1]}]},
            sources.Salient: {"foreground": 1, "background": 0},
            sources.Learned: {"learned": "base"},
            sources.Feather: {"feather": 1, "pixels": 1},
        }
        form = {**needed[kind], field: value}
    return {"video": "in.mp4", "controls": {"edge": form}}


@pytest.mark.parametrize(("kind", "field", "keyword", "limit"), BOUNDS)
def test_every_limit_is_that_of_the_checks(kind, field, keyword, limit):
    """At the limit both accept, beyond it both refuse."""
    step = 1 if field in WHOLE or keyword == "minItems" else 1e-6
    step = -step if "inimum" in keyword or keyword == "minItems" else step
    is_exclusive = keyword.startswith("exclusive")
    good = limited(kind, field, limit - step if is_exclusive else limit)
    bad = limited(kind, field, limit if is_exclusive else limit + step)
    assert SCHEMA.is_valid(good)
    assert not SCHEMA.is_valid(bad)
    if kind is not sources.Labels:  # whose rate is checked where it is used
        assert problems_of_values(from_plain(good)) == []
        assert problems_of_values(from_plain(bad)) != []


def test_a_limit_is_set_for_fields_that_are_there():
    for kind, field in LIMITS:
        assert field in attrs.fields_dict(kind)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_number_outside_0_to_1_is_no_map(value):
    assert not SCHEMA.is_valid({"controls": {"edge": value}})
    assert not SCHEMA.is_valid({"controls": {"edge": {"map": value}}})
    assert not SCHEMA.is_valid({"controls": {"edge": {"invert": value}}})


def test_every_form_of_a_map_is_in_the_schema_by_its_key():
    defs = json_schema()["$defs"]
    named = {choice["$ref"] for choice in defs["map"]["oneOf"] if "$ref" in choice}
    assert named == {f"#/$defs/{form.__name__}" for form in FORMS.values()}
    for key, form in FORMS.items():
        assert key in defs[form.__name__]["required"]


def test_only_options_classes_and_modalities_have_keys_of_their_own():
    def open_objects(schema, path):
        if isinstance(schema, list):
            for item in schema:
                yield from open_objects(item, path)
        elif isinstance(schema, dict):
            kinds = schema.get("type")
            is_object = "object" in (kinds if isinstance(kinds, list) else [kinds])
            if is_object and schema.get("additionalProperties") is not False:
                yield path
            for key, value in schema.items():
                yield from open_objects(value, path if key == "anyOf" else key)

    assert set(open_objects(json_schema(), "")) == {"options", "classes", "controls"}


def test_descriptions_are_those_of_the_docstrings():
    schema = json_schema()
    file = schema["$defs"]["File"]
    assert file["description"] == sources.File.__doc__.splitlines()[0]
    rate = file["properties"]["fps"]["description"]
    assert rate == "The rate of a file that states none, or a wrong one."
    # "match, fps, length: as of `File`."
    assert schema["$defs"]["Labels"]["properties"]["fps"]["description"] == rate
    # "match, fps, length" share a line there, and one here.
    shared = [schema["$defs"]["Labels"]["properties"][n] for n in ("match", "length")]
    assert all(each["description"] for each in shared)
    assert all(each.get("description") for each in schema["properties"].values())
    assert "None" not in json.dumps(schema)


@needs_docs
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_a_request(file):
    plain = read_plain(file)
    from_plain(plain, where=file.name)
    SCHEMA.validate(plain)


def json_in_docs():
    """Every block of JSON in the docs that is a request, by page and number."""
    for page in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]:
        blocks = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for number, block in enumerate(blocks):
            yield pytest.param(block, id=f"{page.name}-{number}")


@needs_docs
@pytest.mark.parametrize("block", list(json_in_docs()) if DOCS.exists() else [])
def test_every_request_and_map_in_the_docs_passes(block):
    plain = json.loads(block)
    if not isinstance(plain, dict):
        return
    if not set(plain) & {"controls", "video", "steps", "labels"}:
        if not set(plain) & {*FORMS, "map"}:
            return  # another file: a table of classes, say
        plain = {"controls": {"edge": plain}}
    SCHEMA.validate(plain)
    from_plain(copy.deepcopy(plain))


@needs_docs
@pytest.mark.parametrize("key", ["Request", "Control"])
def test_every_field_stands_in_the_page_on_requests(key):
    schema = json_schema()
    fields = schema if key == "Request" else schema["$defs"][key]
    page = (DOCS / "requests.md").read_text("utf-8")
    for field in fields["properties"]:
        assert f"`{field}`" in page, field


@needs_docs
def test_the_example_of_a_batch_has_no_problems():
    jobs = read_jobs(DOCS / "examples/jobs.jsonl", DOCS / "examples/scalars.json")
    assert [job.problems for job in jobs] == [(), (), ()]
    assert [job.name for job in jobs] == ["night", "day", "free"]
