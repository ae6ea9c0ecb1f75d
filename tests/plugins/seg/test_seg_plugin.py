"""The seg plugin takes a control video from the user."""

from worldweave_plugins import seg


def test_it_asks_for_a_control_video() -> None:
    (modality,) = seg.worldweave_modalities()
    assert modality.name == "seg"
    assert modality.preprocessor is None
    assert "you give" in modality.summary
