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
def test_nobody_is_asked_to_fetch_and_what_has_to_be_fetched_is_told(
    put: Callable[..., None],
    told: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    site: Path,
    command: list[str],
) -> None:
    downloads = (
        "import worldweave\n"
        "@worldweave.hookimpl\n"
        "def worldweave_fetch(uri):\n"
        f"    open({str(site / 'downloaded')!r}, 'w')\n"
        "    return __file__\n"
    )
    put("acme-store", downloads, "store")
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "acme-haze,acme-store")
    monkeypatch.setenv("HAZE_FILE", "moon://haze")
    found = json.loads(told(*command, "--json"))
    first = (found[0] if isinstance(found, list) else found)["weights"][0]
    assert not (site / "downloaded").exists()
    assert (first["is_present"], first["path"]) == (False, None)
    assert first["problem"] == (
        "'moon://haze' has to be fetched; nothing is downloaded here"
    )
    assert "to be fetched" in told(*command)


def test_what_our_own_plugins_look_for_is_found_without_a_download(
    told: Callable[..., str], monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "worldweave,acme-haze")
    monkeypatch.setenv("WORLDWEAVE_MODELS", str(site))
    monkeypatch.setenv("HAZE_FILE", "hf://acme/haze/a.safetensors")
    problem = record_of_haze(told)["problem"]
    assert "has to be fetched" not in problem
    (site / "acme" / "haze").mkdir(parents=True)
    (site / "acme" / "haze" / "a.safetensors").write_bytes(bytes(9))
    assert record_of_haze(told)["is_present"]


def record_of_haze(told: Callable[..., str]) -> dict[str, object]:
    found = json.loads(told("plugins", "show", "haze", "--json"))
    weights: dict[str, object] = found["weights"][0]
    return weights


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
