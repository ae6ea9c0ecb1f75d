"""A batch: lines merged and named, each on its own, resumed where it was stopped."""

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import worldweave.generate.load
import worldweave.generate.pipeline
from worldweave import Problems, WorldweaveError
from worldweave.generate.batch import SUMMARY, Batch, Watch, switch
from worldweave.generate.batch_jobs import merged, name_problem, placed, read_jobs
from worldweave.io import video
from worldweave.request.structure import from_plain, to_plain
from worldweave.request.walk import anchored
from worldweave_registry import discover

QUICK = {"video": "in.mp4", "steps": 1, "guidance": 0, "max_frames": 9}


def write(file, *lines):
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts) + "\n", "utf-8")
    return file


@pytest.fixture
def table(tmp_path, clip):
    """A folder with a video and a common request."""
    video.write(tmp_path / "in.mp4", clip, 24)
    write(tmp_path / "common.json", QUICK)
    return tmp_path


@pytest.fixture
def jobs(tmp_path):
    """Write lines and read them back as jobs."""

    def jobs_(*lines, common=None):
        return read_jobs(write(tmp_path / "jobs.jsonl", *lines), common)

    return jobs_


def quiet(item, *_):
    pass


@pytest.fixture
def run(table):
    """Run a batch over the common request; return the state of each name."""

    def run_(*lines, item=quiet, step=quiet, again=False, out=table / "out"):
        file = write(table / "jobs.jsonl", *lines)
        batch = Batch(
            read_jobs(file, table / "common.json"),
            out,
            catalog=discover(),
            source=file.name,
        )
        items = batch.run(Watch(item=item, step=step), again=again)
        return {item.name: item for item in items}

    return run_


def states(items):
    return {name: item.state for name, item in items.items()}


def the_problem(items, name):
    (problem,) = items[name].problems
    return problem


# Merging


def test_objects_merge_key_by_key_and_all_else_replaces():
    shared = {"seed": 1, "steps": 2, "controls": {"edge": {"map": 1, "options": {}}}}
    own = {"seed": 3, "controls": {"edge": {"map": 0.5}, "vis": {"map": 0}}}
    assert merged(shared, own) == {
        "seed": 3,
        "steps": 2,
        "controls": {"edge": {"map": 0.5, "options": {}}, "vis": {"map": 0}},
    }


def test_null_takes_away_at_any_depth():
    shared = {"seed": 1, "controls": {"edge": {"map": 1, "video": "e.mp4"}, "vis": {}}}
    own = {"seed": None, "fps": None, "controls": {"edge": {"map": None}, "vis": None}}
    assert merged(shared, own) == {"controls": {"edge": {"video": "e.mp4"}}}
    fresh = {"controls": {"edge": {"map": None}}}
    assert merged({}, fresh) == {"controls": {"edge": {}}}


def test_a_map_of_another_form_replaces_and_one_of_the_same_merges():
    def of(value):
        return {"controls": {"edge": {"map": value}}}

    feather = {"feather": 1, "pixels": 8}
    assert merged(of(feather), of({"pixels": 4})) == of({"feather": 1, "pixels": 4})
    assert merged(of(feather), of({"rule": "x"})) == of({"rule": "x"})
    assert merged(of(feather), of({"feather": 0.5})) == of(
        {"feather": 0.5, "pixels": 8}
    )
    # An option may have the name of a form.
    options = {"controls": {"edge": {"options": {"max": 1}}}}
    more = {"controls": {"edge": {"options": {"file": 2}}}}
    both = {"controls": {"edge": {"options": {"max": 1, "file": 2}}}}
    assert merged(options, more) == both


@settings(max_examples=40)
@given(st.recursive(st.integers(), lambda v: st.dictionaries(st.text(), v)))
def test_merging_with_nothing_or_itself_changes_nothing(plain):
    assert merged(plain, plain) == plain
    if isinstance(plain, dict):
        assert merged({}, plain) == plain
        assert merged(plain, {}) == plain


def test_merging_changes_neither_side():
    shared = {"controls": {"edge": {"map": 1}}}
    own = {"controls": {"edge": {"map": None}}}
    merged(shared, own)
    assert shared == {"controls": {"edge": {"map": 1}}}
    assert own == {"controls": {"edge": {"map": None}}}


# File names

names = st.sampled_from(["a.mp4", "b/c.npy", "/d.png", "base"])
maps = st.recursive(
    names
    | st.floats(0, 1)
    | st.fixed_dictionaries({"file": names})
    | st.fixed_dictionaries({"learned": names})
    | st.fixed_dictionaries({"rule": names})
    | st.fixed_dictionaries({"prompt": names}),
    lambda m: (
        st.fixed_dictionaries({"product": st.lists(m, max_size=2)})
        | st.fixed_dictionaries({"max": st.lists(m, max_size=2)})
        | st.fixed_dictionaries({"invert": m})
        | st.fixed_dictionaries({"feather": m, "pixels": st.just(3)})
    ),
    max_leaves=4,
)
longs = st.fixed_dictionaries(
    {},
    optional={
        "map": st.none() | maps,
        "video": st.none() | names,
        "weights": st.none() | names,
        "options": st.fixed_dictionaries({"file": names, "video": names}),
    },
)
requests = st.fixed_dictionaries(
    {"prompt": names, "video": st.none() | names},
    optional={
        "controls": st.dictionaries(names, maps | longs, max_size=3),
        "labels": st.none()
        | names
        | st.fixed_dictionaries(
            {"file": names},
            optional={"classes": st.none() | names | st.just({"file": "a.png"})},
        ),
        "objects": st.fixed_dictionaries({"masks": names}),
    },
)


@settings(max_examples=100)
@given(requests)
@example({"controls": {"edge": {"learned": "base"}, "vis": {"learned": "b.npy"}}})
@example({"controls": {"edge": {"map": {"invert": {"file": "a.png"}}}}})
def test_file_names_are_placed_before_reading_as_they_are_after_it(plain):
    folder = Path("/here/there")
    before = json.dumps(plain)
    now = to_plain(from_plain(placed(plain, folder)))
    assert now == to_plain(anchored(from_plain(plain), folder))
    assert json.dumps(plain) == before


def test_files_of_a_line_and_of_the_common_request_have_their_own_folders(tmp_path):
    (tmp_path / "deep").mkdir()
    common = tmp_path / "deep" / "common.yaml"
    common.write_text("video: a.mp4\ncontrols: {edge: {map: m.npy, video: e.mp4}}\n")
    file = write(tmp_path / "jobs.jsonl", {"controls": {"edge": "n.npy"}})
    (job,) = read_jobs(file, common)
    assert job.request.video == str(tmp_path / "deep" / "a.mp4")
    assert job.request.controls["edge"].map == str(tmp_path / "n.npy")
    assert job.request.controls["edge"].video == str(tmp_path / "deep" / "e.mp4")


def test_a_short_control_keeps_what_the_line_does_not_say(jobs, tmp_path):
    common = write(tmp_path / "c.json", {"controls": {"edge": 0.5}, "labels": "l.mp4"})
    schedule = {"controls": {"edge": {"schedule": {"linear": [1, 0]}}}}
    (job,) = jobs({**schedule, "labels": {"length": "hold"}}, common=common)
    assert job.request.controls["edge"].map == 0.5
    assert job.request.controls["edge"].schedule.linear == (1, 0)
    assert job.request.labels.file == str(tmp_path / "l.mp4")


# Lines and names


def test_blank_lines_count_but_do_nothing(jobs):
    found = jobs("", {"seed": 1}, "  ", {"seed": 2}, "")
    assert [(job.line, job.name) for job in found] == [(2, "0002"), (4, "0004")]


BAD_LINES = {
    "no JSON": ("{'seed': 1}", "line 2 is not JSON: ", "at column 2; correct it there"),
    "a list": ("[1]", "line 2 must be a JSON object, not list"),
    "a comment": ("# seed", "line 2 is a comment; there are none in JSON, remove it"),
    "a key twice": ('{"seed": 1, "seed": 2}', "line 2: 'seed' is given twice"),
    "a typo": ({"promt": "x"}, "line 2: promt is unknown; did you mean 'prompt'?"),
    "a deep typo": (
        {"name": "x", "controls": {"edge": {"map": {"rule": "a", "soft": 1}}}},
        "line 2 (x): controls.edge.map.soft is unknown",
    ),
    "a kind": ({"seed": "3"}, "line 2: seed: expected a whole number, got '3'"),
    "a folder": ({"name": "a/b"}, "line 2: name 'a/b' is no name for a file; give"),
    "no text": ({"name": 7}, "line 2: name is 7; give text"),
    "a name twice": ({"name": "good"}, "line 2 (good) would write good.mp4, as line 1"),
    "a name in other letters": ({"name": "GOOD"}, "would write GOOD.mp4, as line 1"),
    "the name of a control": (
        {"name": "good.edge"},
        "line 2 (good.edge) would write good.edge.mp4, as line 1 (good) does; give it",
    ),
    "nested far": ('{"controls": ' * 5000, "line 2 is nested too deeply"),
    "no number": ('{"seed": NaN}', "line 2 is not JSON: NaN is no", "at column 10;"),
    "a video without a name": ({"video": ""}, "line 2: video: expected a file name"),
    "labels without a name": ({"labels": ""}, "labels.file: expected a file name"),
    "a map without a name": ({"controls": {"vis": ""}}, "vis.map: expected a file na"),
    "a name that is a list": ({"name": [1] * 2000}, "name is [1, 1, 1, 1, 1, 1, ...];"),
}


@pytest.mark.parametrize("case", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_told_by_number_and_the_others_stay(case, jobs, tmp_path):
    line, *parts = case
    good = {"name": "good", "controls": {"edge": 1}}
    first, second, third = jobs(good, line, {"seed": 3})
    assert first.problems == third.problems == ()
    assert third.request.seed == 3
    assert second.request is None
    (problem,) = second.problems
    assert problem.startswith(f"{tmp_path / 'jobs.jsonl'}: line 2")
    for part in parts:
        assert part in problem


def test_all_problems_of_a_line_are_told_at_once(jobs):
    (job,) = jobs({"seed": "x", "controls": {"edge": {"mapp": 1}}, "steps": 0.5})
    assert len(job.problems) == 3


def test_a_line_that_is_not_utf8_is_bad_alone(tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"seed": 1}\r\n{"prompt": "\xff"}\r\n{"seed": 2}')
    first, second, third = read_jobs(file)
    assert (first.request.seed, third.request.seed) == (1, 2)
    assert second.problems == (
        f"{file}: line 2 is not text (UTF-8) at byte 13; give a request in JSON, "
        "saved as UTF-8",
    )


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_lines_is_refused(content, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text(content)
    with pytest.raises(Problems, match="has no lines; give one JSON object a line"):
        read_jobs(file)


@pytest.mark.parametrize("whole", [{"seed": 1, "steps": 2}, [{"seed": 1}, {}]])
def test_a_file_that_is_one_piece_of_json_is_told_so(whole, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text(json.dumps(whole, indent=1))
    with pytest.raises(Problems, match="one piece of JSON over several lines"):
        read_jobs(file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Problems, match=r"cannot read .*gone.jsonl: No such file"):
        read_jobs(tmp_path / "gone.jsonl")


def test_what_is_wrong_with_the_common_request_is_told_once(jobs, tmp_path):
    common = write(tmp_path / "c.json", {"promt": "x"})
    with pytest.raises(Problems, match=r"c.json: promt is unknown") as caught:
        jobs({}, {}, common=common)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["a", "night 2", "0.5", "guidance=2.5", "été", "a.b"])
def test_a_name_that_can_be_a_file_is_taken(name):
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\0", ".a", "a\n", "-a", "a.", " a", "*"]
)
def test_a_name_that_cannot_is_refused(name):
    assert "is no name for a file" in name_problem(name)


def test_a_name_no_file_system_holds_is_refused():
    assert "too long" in name_problem("é" * 51)


# From lines to videos


def test_good_lines_are_made_and_bad_ones_told(run, table):
    told = []
    items = run(
        {"name": "one", "prompt": "day"},
        {"name": "typo", "sed": 1},
        {"name": "gone", "video": "gone.mp4", "guidance": 101},
        {"name": "two", "controls": {"edge": 0.5}},
        item=lambda item, number, count: told.append((item.name, number, count)),
    )
    assert states(items) == {
        "one": "made",
        "typo": "failed",
        "gone": "failed",
        "two": "made",
    }
    # The bad ones first, before anything is loaded.
    assert told == [("typo", 0, 0), ("gone", 0, 0), ("one", 1, 2), ("two", 2, 2)]
    guidance, file = items["gone"].problems
    assert guidance.startswith("jobs.jsonl: line 3 (gone): guidance is 101")
    assert "gone.mp4" in file
    assert sorted(path.name for path in (table / "out").iterdir()) == [
        "one.manifest.json",
        "one.mp4",
        "one.report.html",
        "summary.json",
        "two.edge.mp4",
        "two.manifest.json",
        "two.mp4",
        "two.report.html",
    ]


def test_the_summary_is_up_to_date_at_every_moment(run, table):
    seen = []

    def look(*_):
        seen.append(json.loads((table / "out" / SUMMARY).read_text("utf-8")))

    items = run({"name": "one"}, {"nam": 1}, {"name": "two"}, step=look)
    now = [[item["state"] for item in summary["items"]] for summary in seen]
    assert now[0] == ["waiting", "failed", "waiting"]
    assert now[-1] == ["made", "failed", "waiting"]
    look()
    assert seen[-1]["counts"] == {"made": 2, "failed": 1}
    assert seen[-1]["items"] == [
        {**attrs.asdict(item), "problems": list(item.problems)}
        for item in items.values()
    ]
    assert seen[-1]["items"][0]["seconds"] > 0


def made_at(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}


def test_what_is_done_is_left_as_it_is(run, table):
    lines = [{"name": "one", "controls": {"edge": {"map": 1}}}, {"seed": 2}]
    run(*lines)
    before = made_at(table / "out")
    begun = []
    items = run(*lines, {"name": "new"}, step=lambda name, *_: begun.append(name))
    assert states(items) == {
        "one": "done before",
        "0002": "done before",
        "new": "made",
    }
    assert set(begun) == {"new"}
    assert before.items() <= made_at(table / "out").items()


def test_another_request_of_a_finished_name_fails_unless_told_to_replace(run, table):
    run({"name": "one"}, {"name": "two"})
    before = made_at(table / "out")
    lines = [{"name": "one", "seed": 5, "prompt": "day"}, {"name": "two"}]
    items = run(*lines)
    assert states(items) == {"one": "failed", "two": "done before"}
    assert the_problem(items, "one") == (
        f"jobs.jsonl: line 1 (one): {table / 'out' / 'one.mp4'} was made before "
        "changes of prompt, seed; give another name, or --again to replace it"
    )
    assert made_at(table / "out") == before
    items = run(*lines, again=True)
    assert states(items) == {"one": "made", "two": "done before"}
    assert states(run(*lines)) == {"one": "done before", "two": "done before"}


def test_an_input_that_changed_is_noticed(run, table, clip):
    run({"name": "one"})
    video.write(table / "in.mp4", clip[::-1].copy(), 24)
    items = run({"name": "one"})
    assert "before a change of the file of video; give" in the_problem(items, "one")
    assert states(run({"name": "one"}, again=True)) == {"one": "made"}


def test_a_result_that_is_damaged_is_noticed_and_one_that_is_gone_made_anew(run, table):
    run({"name": "one"})
    file = table / "out" / "one.mp4"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    items = run({"name": "one"})
    assert "one.mp4 is not the file that its manifest records" in (
        the_problem(items, "one")
    )
    file.unlink()
    assert states(run({"name": "one"})) == {"one": "made"}
    assert file.read_bytes() == whole
    (table / "out" / "one.manifest.json").unlink()  # as if stopped just before it
    assert states(run({"name": "one"})) == {"one": "made"}
    (table / "out" / "one.manifest.json").write_text("{}")
    items = run({"name": "one"})
    assert "is not a manifest" in the_problem(items, "one")


def test_a_fault_of_one_item_does_not_stop_the_others(run, table, capsys):
    def fail(name, *_):
        if name == "one":
            raise KeyError("no such cloud")

    items = run({"name": "one"}, {"name": "two"}, step=fail)
    assert states(items) == {"one": "failed", "two": "made"}
    problem = the_problem(items, "one")
    assert "a fault of worldweave or a plugin: KeyError: 'no such cloud'" in problem
    assert "Traceback" in capsys.readouterr().err
    assert not (table / "out" / "one.mp4").exists()


def test_what_goes_wrong_late_is_that_items_alone(run, table):
    """Between the check and its turn an input may go."""
    (table / "late.mp4").write_bytes((table / "in.mp4").read_bytes())
    items = run(
        {"name": "one"},
        {"name": "two", "video": "late.mp4"},
        {"name": "three"},
        step=lambda *_: (table / "late.mp4").unlink(missing_ok=True),
    )
    assert states(items) == {"one": "made", "two": "failed", "three": "made"}
    assert "late.mp4" in the_problem(items, "two")


def test_an_interrupt_keeps_what_is_done(run, table):
    def stop(name, *_):
        if name == "two":
            raise KeyboardInterrupt

    lines = [{"name": "one"}, {"name": "two"}, {"name": "three"}]
    with pytest.raises(KeyboardInterrupt):
        run(*lines, step=stop)
    summary = json.loads((table / "out" / SUMMARY).read_text("utf-8"))
    assert [item["state"] for item in summary["items"]] == [
        "made",
        "waiting",
        "waiting",
    ]
    assert states(run(*lines)) == {
        "one": "done before",
        "two": "made",
        "three": "made",
    }


def test_a_result_may_not_replace_what_another_line_is_made_from(run, table):
    items = run({"name": "in"}, {"name": "other"}, out=table)
    assert "writing" in (problem := items["in"].problems[-1])
    assert "would replace the video of line 2; choose another folder" in problem
    assert states(items)["other"] == "made"


def test_no_result_replaces_the_files_that_say_what_to_do(table, jobs):
    kept = [table / "summary.json", table / "one.report.html"]
    for file in kept:
        file.write_text("{}")
    listed = jobs({"name": "one", **QUICK})
    watch = Watch(item=quiet, step=quiet)
    batch = Batch(listed, table, catalog=discover(), source="j", kept=kept)
    with pytest.raises(WorldweaveError, match=r"would replace the file .*summary.json"):
        batch.run(watch)
    batch = Batch(listed, table, catalog=discover(), source="j", kept=kept[1:])
    (item,) = batch.run(watch)
    assert "one.report.html would replace the file" in item.problems[-1]


def test_a_result_may_not_replace_what_it_is_made_from(run, table):
    items = run({"name": "in"}, out=table)
    assert "would replace the video of this request" in the_problem(items, "in")


def test_a_device_that_is_none_is_told_before_anything(table, jobs):
    batch = Batch(jobs({}), table / "out", catalog=discover(), source="jobs.jsonl")
    with pytest.raises(WorldweaveError, match="cannot compute on device 'abacus'"):
        batch.run(Watch(item=quiet, step=quiet), device="abacus")
    assert not (table / "out").exists()


def test_a_folder_that_cannot_be_made_is_told(table, jobs):
    (table / "file").touch()
    batch = Batch(jobs({}), table / "file", catalog=discover(), source="jobs.jsonl")
    with pytest.raises(WorldweaveError, match=r"cannot make the folder .*file"):
        batch.run(Watch(item=quiet, step=quiet))


@pytest.fixture
def loads(monkeypatch):
    """Everything that is loaded from now on, by name, in order."""
    found = []

    def noting(module, function, what):
        real = getattr(module, function)

        def noted(*arguments, **named):
            found.append(what(arguments[0]))
            return real(*arguments, **named)

        monkeypatch.setattr(module, function, noted)

    noting(worldweave.generate.load, "load_base", lambda base: f"base {base.name}")
    noting(worldweave.generate.pipeline, "load_branch", lambda modality: modality.name)
    return found


def test_a_base_is_loaded_once_and_a_branch_when_first_needed(run, loads):
    released = {"compat": "cosmos-transfer1"}
    items = run(
        {"name": "a"},
        {"name": "b", **released},
        {"name": "c", "controls": {"edge": 0.5, "vis": 0}},
        {"name": "d", **released},
        {"name": "e", "controls": {"edge": 0.4, "vis": 0.5}},
        {"name": "f", "controls": {"edge": 0.3}},
        {"name": "bad", "controls": {"depth": 2}},
    )
    assert set(states(items).values()) == {"made", "failed"}
    assert loads == ["base tiny-world", "edge", "vis", "base tiny-world"]


def test_a_branch_goes_when_no_later_item_needs_it(pipeline, branch_file, source):
    """Enabled before: edge and vis, each from a file of the user's."""
    from worldweave.request.check import weights_problems
    from worldweave.request.plan import make_plan

    files = {name: branch_file(name) for name in ("edge", "vis")}
    plain = {
        "video": str(source),
        "controls": {"edge": {"weights": str(files["edge"])}},
    }
    plan = make_plan(from_plain(plain), discover(), weights_problems)
    before = dict(pipeline.active)
    try:
        switch(pipeline, plan, [{}, {"vis": files["vis"]}])
        assert pipeline.active == before  # nothing loaded, nothing freed
        switch(pipeline, plan, [{}, {"vis": None}])
        assert pipeline.active == {"edge": before["edge"]}
        other = from_plain({**plain, "controls": {"edge": 0.5}})
        switch(pipeline, make_plan(other, discover(), weights_problems), [])
        assert list(pipeline.active) == ["edge"]
        assert not pipeline.active["edge"].is_users_file
    finally:
        for name, file in files.items():
            pipeline.enable(name, weights=file)
