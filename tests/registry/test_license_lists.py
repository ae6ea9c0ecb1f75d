"""Which licences a list allows, and what may be listed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave_registry import LicenseError
from worldweave_registry.licenses import Allowed, allowed_of

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)
IDS = ("MIT", "ISC", "Apache-2.0", "GPL-2.0+", "LicenseRef-acme", NVIDIA)


# What a list of licences means.


@pytest.mark.parametrize(
    "license",
    [
        "mit",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only or MIT",
        "MIT AND Apache-2.0",
        "(MIT OR GPL-3.0-only) AND Apache-2.0",
        "MIT OR (Apache-2.0 AND GPL-3.0-only)",
        "LGPL-2.1-only AND GPL-3.0-only",
        "GPL-3.0-only AND LGPL-2.1-only",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "gpl-2.0-only with classpath-exception-2.0 OR ISC",
        NVIDIA,
        NVIDIA.upper(),
        NVIDIA.rstrip("/"),
        f"{NVIDIA} AND MIT",
    ],
)
def test_a_licence_is_allowed_by_what_is_listed(license: str) -> None:
    allowed = allowed_of(
        [
            "MIT, apache-2.0",
            NVIDIA,
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "GPL-3.0-only AND LGPL-2.1-only",
        ]
    )
    assert allowed.allows(license)
    assert allowed.refusal(license) == ""


@pytest.mark.parametrize(
    "license",
    [
        "",
        " ",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "GPL-3.0-only OR ISC",
        "(MIT OR ISC) AND GPL-3.0-only",
        "GPL-2.0-only",
        "MIT WITH Classpath-exception-2.0",
        "MIT-0",
        "MITX",
        "MIT License",
        "MIT OR",
        "OR MIT",
        "(MIT",
        "MIT)",
        "MIT ISC",
        "MIT OR OR MIT",
        NVIDIA + "v2",
        "()",
        "(" * 5000 + "MIT" + ")" * 5000,
    ],
)
def test_a_licence_outside_the_list_is_refused(license: str) -> None:
    allowed = allowed_of(["MIT", NVIDIA, "GPL-2.0-only WITH Classpath-exception-2.0"])
    assert not allowed.allows(license)
    assert allowed.refusal(license)


def test_an_expression_that_is_listed_does_not_allow_its_parts() -> None:
    allowed = allowed_of(["MIT AND ISC"])
    assert allowed.allows("ISC AND MIT")
    assert not allowed.allows("MIT")
    assert not allowed_of(["MIT OR ISC"]).allows("ISC")


Tree = str | tuple[str, list["Tree"]]
TREES = st.recursive(
    st.sampled_from(IDS),
    lambda inner: st.tuples(
        st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)
    ),
    max_leaves=8,
)


def written(tree: Tree, word: Callable[[str], str] = str) -> str:
    if isinstance(tree, str):
        return word(tree)
    operator, parts = tree
    return "(" + f" {word(operator)} ".join(written(p, word) for p in parts) + ")"


def truth(tree: Tree, listed: frozenset[str]) -> bool:
    if isinstance(tree, str):
        return tree in listed
    operator, parts = tree
    return (any if operator == "OR" else all)(truth(part, listed) for part in parts)


@given(TREES, st.frozensets(st.sampled_from(IDS), min_size=1))
def test_or_needs_one_and_needs_all(tree: Tree, listed: frozenset[str]) -> None:
    allowed = Allowed(tuple(listed))
    assert allowed.allows(written(tree)) == truth(tree, listed)
    assert allowed.allows(written(tree, str.lower)) == truth(tree, listed)
    assert Allowed((written(tree),)).allows(written(tree, str.swapcase))


def test_and_binds_more_closely_than_or() -> None:
    assert allowed_of(["MIT"]).allows("MIT OR ISC AND GPL-3.0-only")
    assert not allowed_of(["ISC"]).allows("MIT OR ISC AND GPL-3.0-only")


@given(st.text(max_size=40))
def test_no_text_of_a_plugin_is_allowed_or_breaks_anything(text: str) -> None:
    assert not Allowed(("LicenseRef-none",)).allows(text)


# What may be listed.


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ([], "lists no licence"),
        ("", "lists no licence"),
        ([" , ", ""], "lists no licence"),
        (["MIT", 5], "has 5, which is no text"),
        ("Apache 2.0", "'Apache 2.0', which .*; did you mean 'Apache-2.0'?"),
        ("MIT,apache2", "'apache2', which .*; did you mean 'Apache-2.0'?"),
        ("Apche-2.0", "did you mean 'Apache-2.0'?"),
        ("MIT License", "did you mean 'MIT'?"),
        ("GPLv3", "did you mean 'GPL-3.0-only'?"),
        ("BSD", "did you mean 'BSD-3-Clause'?"),
        ("MIT OR foobar", "'foobar', which .*; give SPDX ids such as"),
        ("see the readme", "neither an SPDX id nor an address; give"),
        ("MIT OR", "'MIT OR', which is neither"),
        ("foobar,nowhere", "'foobar'.*; and 'nowhere'"),
        ("MIT WITH nothing", "'mit with nothing', which is neither"),
        ("www.acme.com/licence", "neither"),
    ],
)
def test_what_looks_like_no_licence_is_told(listing: list[str], told: str) -> None:
    with pytest.raises(LicenseError, match=f"^--licenses .*{told}") as caught:
        allowed_of(listing, told_by="--licenses")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        *("MIT", "oldap-2.8", "GPL-2.0+", "LicenseRef-acme", NVIDIA),
        *("MIT and (ISC or 0BSD)", "ftp://acme.com/LICENSE"),
        "GPL-2.0-only with classpath-exception-2.0",
    ],
)
def test_spdx_and_addresses_may_be_listed(entry: str) -> None:
    assert allowed_of(entry).entries == (entry,)
    assert allowed_of(entry).allows(entry)


def test_what_a_plugin_states_may_be_listed_whatever_it_looks_like() -> None:
    allowed = allowed_of(["the acme  licence"], known=["The Acme Licence", "MIT"])
    assert allowed.allows("The Acme Licence")
    assert not allowed.allows("MIT")
