import attrs

from worldweave import Weights
from worldweave.forecast.files import list_files


def test_the_tiny_base_s_files_are_there_with_sizes_and_licences(tiny, shipped):
    files = list_files(tiny, {"edge": shipped["edge"]})
    assert [each.what for each in files] == [
        "tiny-world dit",
        "tiny-world autoencoder",
        "tiny-world text_encoder",
        "branch edge",
    ]
    for each in files:
        assert each.is_present
        assert each.problem is None
        assert each.path is not None
        assert each.bytes == each.path.stat().st_size > 0
        assert each.license == "Apache-2.0"


def test_files_that_are_missing_are_told_with_the_size_they_would_have(catalog):
    base = catalog.find_base("cosmos-transfer1-7b")
    files = list_files(base, {"edge": catalog.find("edge")}, hook=None)
    dit, _, _, edge = files
    assert (dit.is_present, dit.bytes) == (False, 14_472_417_280)
    assert edge.bytes == 3_573_988_480
    assert all(each.problem and not each.is_present for each in files)
    assert "nvidia" in dit.license


def test_a_modality_without_weights_for_the_base_is_a_problem(tiny, shipped):
    none = attrs.evolve(shipped["edge"], weights=())
    (*_, entry) = list_files(tiny, {"edge": none})
    assert not entry.is_present
    assert "worldweave train edge" in entry.problem


def test_a_user_s_own_branch_file_takes_the_plugin_s_place(tiny, shipped, tmp_path):
    own = tmp_path / "mine.safetensors"
    edge = {"edge": shipped["edge"]}
    (*_, missing) = list_files(tiny, edge, weights={"edge": own})
    assert not missing.is_present
    assert str(own) in missing.problem
    own.write_bytes(b"12345")
    (*_, there) = list_files(tiny, edge, weights={"edge": str(own)})
    assert (there.is_present, there.bytes, there.path) == (True, 5, own)


def test_a_folder_is_a_file_only_where_one_may_be(tiny, tmp_path):
    (tmp_path / "model").write_bytes(b"123")
    (tmp_path / "config").write_bytes(b"12")

    def weights(part):
        return Weights(
            base="tiny-world", part=part, uri=str(tmp_path), license="Apache-2.0"
        )

    base = attrs.evolve(tiny, weights=[weights("dit"), weights("text_encoder")])
    dit, text = list_files(base, {})
    assert "is a folder" in dit.problem
    assert (text.is_present, text.bytes) == (True, 5)


def test_nothing_is_read_to_find_out(tiny, tmp_path):
    # Its checksum is wrong; only loading it would tell.
    (tmp_path / "dit").write_bytes(b"no weights at all")
    base = attrs.evolve(
        tiny, weights=[attrs.evolve(tiny.weights[0], uri=str(tmp_path / "dit"))]
    )
    (entry,) = list_files(base, {})
    assert entry.is_present
