"""A pipeline that lives on: threads share it, plugins come, go and fail."""

import gc
import logging
import threading
import weakref

import numpy as np
import pytest
import torch

import worldweave
from worldweave import (
    Control,
    CosmosBranch,
    PluginError,
    Problems,
    Request,
    WorldweaveError,
)
from worldweave.request.plan import make_plan
from worldweave_registry import Catalog, Lazy, Plugin, State, discover

FAST = {"steps": 2, "guidance": 0.0}
PROMPT = "a street by day"


@pytest.fixture
def live(branch_file):
    """A pipeline of one's own, with edge enabled."""
    return worldweave.load(modalities=["edge"], weights={"edge": branch_file("edge")})


def base_tensors(pipeline):
    parts = (pipeline.base.dit, pipeline.base.autoencoder, pipeline.base.text_encoder)
    modules = [part for part in parts if isinstance(part, torch.nn.Module)]
    return [t for module in modules for t in module.state_dict().values()]


def during_a_generation(pipeline, clip, action, **settings):
    """Call *action* in a thread of its own while a generation is in its first step."""
    threads = []

    def once(_):
        if not threads:
            before = dict(pipeline.active)
            threads.append(threading.Thread(target=action))
            threads[0].start()
            threads[0].join(timeout=0.5)
            # It waits, and nothing has changed meanwhile.
            assert threads[0].is_alive()
            assert pipeline.active == before

    made = pipeline.generate(PROMPT, video=clip, progress=once, **FAST, **settings)
    threads[0].join(timeout=60)
    assert not threads[0].is_alive()
    return made


@pytest.mark.parametrize("is_enabled_later", [True, False])
def test_the_set_of_now_is_all_that_counts_not_how_it_came_about(
    live, clip, branch_file, is_enabled_later
):
    pointers = [t.data_ptr() for t in base_tensors(live)]
    contents = [t.clone() for t in base_tensors(live)]
    if is_enabled_later:
        live.generate(PROMPT, video=clip, **FAST)
        live.enable("vis", weights=branch_file("vis"))
        live.disable("edge")
        live.enable("edge", weights=branch_file("edge"))
        wanted = ("edge", "vis")
    else:
        live.enable("vis", weights=branch_file("vis"))
        live.generate(PROMPT, video=clip, maps={"edge": 0.5, "vis": 0.5}, **FAST)
        live.disable("vis")
        wanted = ("edge",)
    built = worldweave.load(
        modalities=wanted, weights={name: branch_file(name) for name in wanted}
    )
    ours = live.generate(PROMPT, video=clip, **FAST)
    theirs = built.generate(PROMPT, video=clip, **FAST)
    assert np.array_equal(ours.frames, theirs.frames)
    assert [t.data_ptr() for t in base_tensors(live)] == pointers
    assert all(map(torch.equal, base_tensors(live), contents))


def test_disabling_frees_the_branch_at_once(live, clip):
    live.generate(PROMPT, video=clip, **FAST)
    branch = live.active["edge"].branch
    tensors = [weakref.ref(t) for t in branch.parameters()]
    module = weakref.ref(branch)
    del branch
    live.disable("edge")
    gc.collect()
    assert module() is None
    assert not any(tensor() is not None for tensor in tensors)


def test_what_another_thread_enables_waits_for_the_generation_and_says_so(
    live, clip, branch_file, caplog
):
    alone = live.generate(PROMPT, video=clip, **FAST)
    seen = []

    def enable():
        live.enable("vis", weights=branch_file("vis"))
        seen.append("enabled")

    with caplog.at_level(logging.WARNING, logger="worldweave"):
        made = during_a_generation(live, clip, enable)
    assert np.array_equal(made.frames, alone.frames)
    assert list(made.controls) == ["edge"]
    assert seen == ["enabled"]
    assert "vis" in live.active
    assert caplog.messages == [
        "a generation is running; 'vis' is enabled once it has ended"
    ]


def test_what_another_thread_disables_still_ends_its_generation(live, clip, caplog):
    alone = live.generate(PROMPT, video=clip, **FAST)
    made = during_a_generation(live, clip, lambda: live.disable("edge"))
    assert np.array_equal(made.frames, alone.frames)
    assert not live.active
    assert "'edge' is disabled once it has ended" in caplog.text


def test_what_a_callback_switches_is_for_the_next_generation(
    live, clip, branch_file, caplog
):
    alone = live.generate(PROMPT, video=clip, **FAST)
    left = weakref.ref(live.active["edge"].branch)
    seen = []

    def switch(tick):
        if not seen:
            live.enable("vis", weights=branch_file("vis"))
            live.disable("edge")
            with pytest.raises(WorldweaveError, match="'edge' is not enabled"):
                live.disable("edge")
        seen.append(list(live.active))

    made = live.generate(PROMPT, video=clip, progress=switch, **FAST)
    assert np.array_equal(made.frames, alone.frames)
    assert all(names == ["edge"] for names in seen)
    assert list(live.active) == ["vis"]
    assert left() is None
    assert caplog.text.count("once it has ended") == 2


def test_what_a_failing_generation_has_switched_is_switched_all_the_same(live, clip):
    def stop(tick):
        live.disable("edge")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live.generate(PROMPT, video=clip, progress=stop, **FAST)
    assert not live.active


def test_a_plan_whose_branch_was_disabled_is_refused(live, clip):
    request = Request(
        prompt=PROMPT, video=clip, controls={"edge": Control(map=1.0)}, steps=2
    )
    plan = make_plan(request, live.catalog, lambda *_: [])
    live.disable("edge")
    with pytest.raises(Problems, match=r"call enable\('edge'\) first"):
        live.follow(plan)


def test_one_modality_is_not_enabled_under_two_names(live, branch_file):
    with pytest.raises(WorldweaveError, match="enabled already, as 'edge'"):
        live.enable("edge@worldweave", weights=branch_file("edge"))


def test_nothing_is_said_where_nothing_waits(live, branch_file, caplog):
    live.enable("vis", weights=branch_file("vis"))
    live.disable("vis")
    assert not caplog.messages


def test_two_threads_that_generate_get_what_each_would_alone(live, clip):
    alone = {
        seed: live.generate(PROMPT, video=clip, seed=seed, **FAST) for seed in (1, 2)
    }
    made = {}

    def one(seed):
        made[seed] = live.generate(PROMPT, video=clip, seed=seed, **FAST)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for seed in alone:
        assert np.array_equal(made[seed].frames, alone[seed].frames)


class Raising(CosmosBranch):
    """Fails in the middle of the denoising."""

    def forward(self, latent, step, hint):
        raise RuntimeError("the flux\ncapacitor is missing")


class Leaving(CosmosBranch):
    def forward(self, latent, step, hint):
        raise SystemExit("no licence key")


class TooMany(CosmosBranch):
    """Gives more residuals than the base has blocks."""

    def forward(self, latent, step, hint):
        return super().forward(latent, step, hint) * 3


class Full(CosmosBranch):
    def forward(self, latent, step, hint):
        raise torch.OutOfMemoryError("no room for 3 GB")


@pytest.fixture
def with_branch(branch_file):
    """A pipeline with a modality 'own' whose branch is of the given class."""

    def load(kind):
        own = worldweave.Modality(
            name="own",
            summary="for tests",
            license="MIT",
            preprocessor=None,
            branch=Lazy(
                f"{__name__}:{kind.__name__}",
                report="report it to own 1: https://example.com/own/issues",
            ),
        )
        plugin = Plugin(
            name="own",
            distribution="own",
            version="1",
            state=State.READY,
            modalities=(own,),
        )
        found = discover()
        catalog = Catalog(plugins=(*found.plugins, plugin), hook=found.hook)
        files = {"own": branch_file("own"), "edge": branch_file("edge")}
        return worldweave.load(modalities=files, weights=files, catalog=catalog)

    return load


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Raising, "RuntimeError: the flux; capacitor is missing"),
        (Leaving, "SystemExit: no licence key"),
        (TooMany, "'own' gave 9 residuals but the base has 6 blocks"),
    ],
)
def test_a_branch_that_fails_is_named_with_whom_to_tell(with_branch, clip, kind, says):
    live = with_branch(kind)
    with pytest.raises(PluginError) as failure:
        live.generate(PROMPT, video=clip, controls={"own": clip}, **FAST)
    assert says in str(failure.value)
    assert str(failure.value).endswith(
        "; report it to own 1: https://example.com/own/issues"
    )
    # And all else goes on working.
    live.disable("own")
    assert len(live.generate(PROMPT, video=clip, **FAST).frames) == len(clip)


def test_nobody_is_blamed_where_memory_runs_out(with_branch, clip):
    with pytest.raises(torch.OutOfMemoryError, match="no room for 3 GB"):
        with_branch(Full).generate(PROMPT, video=clip, controls={"own": clip}, **FAST)
