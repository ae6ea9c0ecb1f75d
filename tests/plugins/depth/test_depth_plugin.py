"""The depth plugin takes a control video from the user."""

from worldweave_plugins import depth


def test_it_asks_for_a_control_video() -> None:
    (modality,) = depth.worldweave_modalities()
    assert modality.name == "depth"
    assert modality.preprocessor is None
    assert "you give" in modality.summary
