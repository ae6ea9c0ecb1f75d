"""An address of weights becomes a checked local file, or a reason why not."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worldweave_registry import (
    Catalog,
    PluginError,
    Weights,
    WeightsError,
    WorldweaveError,
    is_local,
    resolve,
)

CONTENT = b"weights" * 1000


def weights(uri: object, **changes: Any) -> Weights:
    return Weights(base="tiny-world", uri=str(uri), license="MIT", **changes)


class Store:
    """A fetcher with one answer for every address."""

    allowed = None

    def __init__(self, answer: Path | WorldweaveError | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def worldweave_fetch(self, *, uri: str) -> Path | None:
        self.asked.append(uri)
        if isinstance(self.answer, WorldweaveError):
            raise self.answer
        return self.answer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "branch one.safetensors"
    path.write_bytes(CONTENT)
    return path


def message(weights: Weights, hook: Store | None = None) -> str:
    with pytest.raises(WeightsError) as caught:
        resolve(weights, hook)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_plain_path_is_itself(file: Path) -> None:
    assert resolve(weights(file)) == file


def test_a_relative_path_starts_at_the_working_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert resolve(weights(file.name)).samefile(file)
    assert resolve(weights(f"file:{file.name}")).samefile(file)


def test_a_tilde_is_the_home_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    assert resolve(weights(f"~/{file.name}")) == file


@pytest.mark.parametrize("head", ["file:", "file://", "file://localhost", "FILE:"])
def test_a_file_address_may_be_written_in_each_usual_way(file: Path, head: str) -> None:
    assert resolve(weights(head + str(file))) == file


def test_a_file_address_may_be_percent_encoded(file: Path) -> None:
    assert resolve(weights(file.as_uri())) == file
    assert "%20" in file.as_uri()


def test_a_file_on_another_host_is_refused() -> None:
    assert message(weights("file://server/share/a.safetensors")) == (
        "'file://server/share/a.safetensors' names the host 'server'; a local file "
        "is written file:///absolute/path or file:relative/path"
    )


def test_local_files_are_no_matter_for_plugins(file: Path) -> None:
    store = Store(Path("/elsewhere"))
    resolve(weights(file), store)
    resolve(weights(file.as_uri()), store)
    assert store.asked == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.safetensors"
    assert message(weights(path)) == (
        f"'{path}' is missing: there is no file '{path}'; check the path"
    )


def test_a_file_in_a_package_is_found(site: Path) -> None:
    inside = site / "acme_shipped" / "deep" / "weights"
    inside.mkdir(parents=True)
    (site / "acme_shipped" / "__init__.py").touch()
    (site / "acme_shipped" / "deep" / "__init__.py").touch()
    (inside / "a.safetensors").write_bytes(CONTENT)
    expected = inside / "a.safetensors"
    for uri in (
        "package:acme_shipped/deep/weights/a.safetensors",
        "package:acme_shipped.deep/weights/a.safetensors",
    ):
        assert resolve(weights(uri)) == expected


def test_a_package_may_be_a_plain_folder(site: Path) -> None:
    (site / "acme_plain" / "weights").mkdir(parents=True)
    expected = site / "acme_plain" / "weights" / "a.safetensors"
    expected.write_bytes(CONTENT)
    assert resolve(weights("package:acme_plain/weights/a.safetensors")) == expected


def test_a_file_a_package_lacks_is_named(site: Path) -> None:
    (site / "acme_empty").mkdir()
    (site / "acme_empty" / "__init__.py").touch()
    text = message(weights("package:acme_empty/a.safetensors"))
    assert text.startswith("'package:acme_empty/a.safetensors' is missing: there is ")
    assert text.endswith("a.safetensors'; reinstall the package")


def test_a_package_that_is_not_installed_is_named() -> None:
    assert message(weights("package:acme_absent/a.safetensors")) == (
        "'package:acme_absent/a.safetensors' lies in a package that cannot be "
        "imported: ModuleNotFoundError: No module named 'acme_absent'; "
        "install or reinstall it"
    )


def test_a_package_that_panics_does_not_take_us_along(site: Path) -> None:
    (site / "fetch_panics").mkdir()
    (site / "fetch_panics" / "__init__.py").write_text("raise GeneratorExit")
    assert "GeneratorExit; install or" in message(weights("package:fetch_panics/a"))


def test_a_package_that_exits_does_not_take_us_along(site: Path) -> None:
    (site / "acme_exits").mkdir()
    (site / "acme_exits" / "__init__.py").write_text("exit(1)")
    assert "SystemExit: 1" in message(weights("package:acme_exits/a"))


def test_a_package_inside_an_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "acme.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("acme_zipped/__init__.py", "")
        zipped.writestr("acme_zipped/a.safetensors", CONTENT)
    monkeypatch.syspath_prepend(archive)
    assert message(weights("package:acme_zipped/a.safetensors")) == (
        "'package:acme_zipped/a.safetensors' lies in a package that is not unpacked "
        "on disk; install it with pip"
    )


@pytest.mark.parametrize("rest", ["", "acme", "acme/", "/a", "acme/../secret"])
def test_a_package_address_has_a_package_and_a_path_inside(rest: str) -> None:
    assert message(weights(f"package:{rest}")) == (
        f"'package:{rest}' is not package:import_package/path/inside/the/package"
    )


def test_any_other_address_is_for_plugins(file: Path) -> None:
    store = Store(file)
    assert resolve(weights("hf://acme/a"), store) == file
    assert store.asked == ["hf://acme/a"]


def test_a_windows_drive_is_no_scheme() -> None:
    store = Store(None)
    assert "is missing" in message(weights(r"C:\weights\a.safetensors"), store)
    assert store.asked == []


@pytest.mark.parametrize("hook", [None, Store(None)])
def test_an_address_nobody_fetches_tells_the_licence_and_the_way(
    hook: Store | None,
) -> None:
    assert message(weights("hf://acme/a", bytes=14_200_000_000), hook) == (
        "no plugin fetches 'hf://acme/a' (licence MIT, 14.2 GB) and nothing is "
        "downloaded unasked; get the file and give its path, or install a plugin "
        "that implements worldweave_fetch"
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [(7, "7 bytes"), (5_300, "5.3 kB"), (1_999_999, "2 MB"), (3 * 10**15, "3e+03 TB")],
)
def test_a_size_is_told_in_readable_units(size: int, text: str) -> None:
    assert f"(licence MIT, {text})" in message(weights("hf://a", bytes=size))


def test_a_size_nobody_knows_is_not_told() -> None:
    assert "(licence MIT) " in message(weights("hf://acme/a"))


def test_a_failing_fetcher_is_reported_with_the_address() -> None:
    assert message(weights("hf://a"), Store(PluginError("x failed"))) == (
        "cannot fetch 'hf://a': x failed"
    )


def test_what_a_fetcher_tells_the_user_passes_unchanged() -> None:
    assert message(weights("hf://a"), Store(WeightsError("log in first"))) == (
        "log in first"
    )


def test_a_fetcher_that_points_to_nothing_is_found_out(tmp_path: Path) -> None:
    assert "is missing" in message(weights("hf://a"), Store(tmp_path / "gone"))


def test_the_hooks_of_a_catalog_fetch(
    install: Callable[..., None], found: Callable[..., Catalog], file: Path
) -> None:
    install(
        "acme-store",
        "import worldweave_registry as ww\n"
        "@ww.hookimpl\ndef worldweave_fetch(uri):\n"
        f"    return {str(file)!r} if uri.startswith('acme:') else None\n",
    )
    hook = found("acme-store").hook
    assert resolve(weights("acme:branch"), hook) == file
    with pytest.raises(WeightsError, match="no plugin fetches 'hf:branch'"):
        resolve(weights("hf:branch"), hook)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_a_right_checksum_passes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"a" * size)
    digest = hashlib.sha256(b"a" * size).hexdigest()
    assert resolve(weights(path, sha256=digest)) == path


def test_a_wrong_checksum_is_told_with_both_digests(file: Path) -> None:
    actual = hashlib.sha256(CONTENT).hexdigest()
    expected = "0" * 64
    assert message(weights(file, sha256=expected)) == (
        f"'{file}' is damaged or another file: its sha256 is {actual}, "
        f"expected {expected}; delete it and fetch it again"
    )


def test_what_a_plugin_fetched_is_checked_too(file: Path) -> None:
    assert "is damaged" in message(weights("hf://a", sha256="0" * 64), Store(file))


@pytest.mark.parametrize("part", ["branch", "dit"])
def test_a_folder_is_no_checkpoint(tmp_path: Path, part: str) -> None:
    assert message(weights(tmp_path, part=part)) == (
        f"'{tmp_path}' is a folder; give a file in it"
    )


@pytest.mark.parametrize("part", ["autoencoder", "text_encoder"])
def test_an_encoder_may_be_a_folder_unless_it_has_a_checksum(
    tmp_path: Path, part: str
) -> None:
    assert resolve(weights(tmp_path, part=part)) == tmp_path
    assert "is a folder" in message(weights(tmp_path, part=part, sha256="0" * 64))


def test_a_damaged_file_that_was_shipped_comes_with_its_package(site: Path) -> None:
    (site / "fetch_shipped").mkdir()
    (site / "fetch_shipped" / "a.safetensors").write_bytes(CONTENT)
    shipped = weights("package:fetch_shipped/a.safetensors", sha256="0" * 64)
    assert message(shipped).endswith("; reinstall the package")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("a.safetensors", True),
        ("~/a.safetensors", True),
        ("C:/a.safetensors", True),
        ("file:a", True),
        ("FILE:///a", True),
        ("package:acme/a", True),
        ("Package:acme/a", True),
        ("hf://acme/a", False),
        ("s3://acme/a", False),
    ],
)
def test_what_lies_here_is_told_from_what_has_to_be_fetched(
    uri: str, expected: bool
) -> None:
    assert is_local(uri) is expected
