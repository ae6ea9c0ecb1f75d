"""What processes tell of themselves, and what is said where they differ."""

import attrs
import pytest
import torch

from worldweave import Control, Request
from worldweave.parallel import agreement
from worldweave.parallel.member import Member
from worldweave_registry import discover


def member(rank, host="a"):
    return Member(rank=rank, world=8, local_rank=0, local_world=8, node=0, host=host)


def test_equal_facts_are_no_mismatch():
    facts = {"torch": "2.13.0", "Python": "3.11"}
    assert agreement.mismatches([(member(rank), facts) for rank in range(4)]) == []


def test_every_difference_is_told_with_both_values_and_all_ranks_that_have_it():
    same = {"torch": "2.13.0", "Python": "3.11"}
    found = agreement.mismatches(
        [
            (member(0), same),
            (member(1), same),
            (member(2, "b"), {"torch": "2.11.0", "Python": "3.11"}),
            (member(3, "b"), {"torch": "2.11.0", "Python": "3.10"}),
            (member(4, "c"), {"torch": "2.11.0"}),
        ]
    )
    assert found == [
        "ranks 2, 3, 4 (hosts b, c) have torch 2.11.0 but rank 0 has 2.13.0",
        "rank 3 (host b) has Python 3.10 but rank 0 has 3.11",
        "rank 4 (host c) has Python none but rank 0 has 3.11",
    ]


def test_what_the_first_has_not_is_a_mismatch_too():
    (line,) = agreement.mismatches([(member(0), {}), (member(1), {"triton": "3.6"})])
    assert line == "rank 1 (host a) has triton 3.6 but rank 0 has none"


def test_weights_may_lie_elsewhere_but_not_be_others():
    def facts(digest, folder):
        return {"weights of branch edge": f"SHA-256 {digest} ({folder}/edge)"}

    first = (member(0), facts("aa", "/x"))
    assert agreement.mismatches([first, (member(1), facts("aa", "/y"))]) == []
    (line,) = agreement.mismatches([first, (member(1), facts("bb", "/y"))])
    assert line == (
        "rank 1 (host a) has weights of branch edge SHA-256 bb (/y/edge) but rank 0 "
        "has SHA-256 aa (/x/edge)"
    )


def test_the_text_encoder_may_be_the_first_rank_s_alone():
    name = agreement.TEXT_ENCODER
    first = (member(0), {name: "SHA-256 aa (/x)"})
    assert agreement.mismatches([first, (member(1), {})]) == []
    assert agreement.mismatches([first, (member(1), {name: "SHA-256 bb (/x)"})])


def test_long_values_are_cut_yet_told_apart():
    first = {"the request's prompt": "a" * 5000}
    (line,) = agreement.mismatches(
        [(member(0), first), (member(1), {"the request's prompt": "a" * 4999 + "b"})]
    )
    assert len(line) < 400
    told, _, of_first = line.partition(" but rank 0 has ")
    assert told.rpartition("... ")[2] != of_first.rpartition("... ")[2]


REQUEST = Request(
    prompt="a street",
    video="/somewhere/in.mp4",
    controls={"edge": Control(map=0.5, weights="/somewhere/edge.safetensors")},
)


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"prompt": "a road"}, ["the request's prompt"]),
        ({"seed": 1, "steps": 3}, ["the request's steps", "the request's seed"]),
        ({"controls": {"edge": Control(map=0.6)}}, ["the request's edge"]),
        ({"controls": {}}, ["the request's edge"]),
        ({"video": "/elsewhere/in.mp4"}, []),
        ({"video": "/somewhere/out.mp4"}, ["the request's video"]),
    ],
)
def test_wishes_differ_where_requests_do(changes, differing):
    ours = agreement.wishes(REQUEST)
    theirs = agreement.wishes(attrs.evolve(REQUEST, **changes))
    assert [
        what for what in {**ours, **theirs} if ours.get(what) != theirs.get(what)
    ] == differing


def test_versions_are_those_of_all_that_computes():
    found = agreement.versions(REQUEST, discover())
    assert found["torch"] == torch.__version__
    assert {"worldweave", "Python", "triton", "WORLDWEAVE_KERNELS"} < set(found)
    assert found["plugin of tiny-world"].startswith("worldweave ")
    assert found["plugin of edge"].startswith("worldweave ")


def test_a_plugin_that_is_missing_is_no_error_here():
    request = Request(base="nowhere", video="in.mp4")
    assert agreement.versions(request, discover())["plugin of nowhere"] == "none"


def test_facts_are_heard_as_they_were_told():
    facts = {"torch": "2.13.0"}
    text = agreement.told(member(3, "b"), facts)
    assert agreement.heard(text.encode()) == (member(3, "b"), facts)
