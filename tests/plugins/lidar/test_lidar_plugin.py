"""The lidar plugin takes a control video from the user."""

from worldweave_plugins import lidar


def test_it_asks_for_a_control_video() -> None:
    (modality,) = lidar.worldweave_modalities()
    assert modality.name == "lidar"
    assert modality.preprocessor is None
    assert "you give" in modality.summary


def test_its_colours_are_not_mixed_when_it_is_scaled() -> None:
    (modality,) = lidar.worldweave_modalities()
    assert modality.is_label_video


def test_it_names_the_branch_of_the_driving_base() -> None:
    (modality,) = lidar.worldweave_modalities()
    (weights,) = (w for w in modality.weights if w.base.startswith("cosmos"))
    assert weights.base == "cosmos-transfer1-7b-sample-av"
    assert weights.uri.endswith("Sample-AV/lidar_control.safetensors")
    assert "nvidia-open-model-license" in weights.license
