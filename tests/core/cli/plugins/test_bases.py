"""`worldweave bases` tells what can be steered, and whether it is here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from worldweave.cli.bases import as_table


def test_the_bases_are_a_table(told: Callable[..., str]) -> None:
    assert told("bases").splitlines() == [
        "BASE   SIZES         FRAMES  FPS   WEIGHTS  MODALITIES",
        "marsh  96x64, 64x96  17      12.5  there    haze",
    ]


def test_the_bases_are_records(told: Callable[..., str]) -> None:
    (marsh,) = json.loads(told("bases", "--json"))
    dit, maps = marsh.pop("weights")
    assert (dit["is_present"], maps["is_present"]) == (True, False)
    assert marsh == {
        "name": "marsh",
        "summary": "Fog and reed",
        "license": "MIT",
        "plugin": "haze@acme-haze",
        "sizes": [[64, 96], [96, 64]],
        "chunk_frames": 17,
        "fps": 12.5,
        "modalities": ["haze"],
        "refused": "",
    }


def test_a_base_whose_weights_are_not_here_or_not_allowed_is_listed_as_such(
    told: Callable[..., str], site: Path
) -> None:
    assert "  refused  " in told("bases", "--licenses", "ISC")
    (site / "haze.safetensors").unlink()
    assert "  missing  " in told("bases")


@pytest.mark.parametrize("command", [["bases"], ["plugins", "show", "haze"]])
def test_a_plugin_that_talks_while_it_is_asked_does_not_spoil_the_records(
    put: Callable[..., None],
    told: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    talk = (
        "import os, worldweave\n"
        "@worldweave.hookimpl\n"
        "def worldweave_fetch(uri):\n"
        "    print('looking')\n"
        "    os.write(1, b'found')\n"
        "    return __file__\n"
    )
    put("acme-talk", talk, "talk")
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "acme-haze,acme-talk")
    monkeypatch.setenv("HAZE_FILE", "moon://haze")
    found = json.loads(told(*command, "--json"))
    first = found[0] if isinstance(found, list) else found
    assert first["weights"][0]["path"].endswith("acme_talk.py")


def test_where_there_is_no_base_that_is_said(
    told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "")
    assert told("bases") == "no bases found; see: worldweave plugins\n"
    assert json.loads(told("bases", "--json")) == []


def test_all_bases_fit_into_80_columns(
    told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "worldweave")
    found = json.loads(told("bases", "--json"))
    assert len(found) >= 3
    laid_out = as_table(found, 80)
    assert max(map(len, laid_out.splitlines())) <= 80
    assert "1280x704 +4" in laid_out
