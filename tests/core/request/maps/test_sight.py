"""What is seen in a source: by plugins that answer, wrongly or not at all."""

import numpy as np
import pluggy
import pytest

import worldweave
from worldweave.request.labels.video import LabelVideo
from worldweave.request.maps.sight import Sight
from worldweave.request.sources import Objects
from worldweave_registry import PluginError, WorldweaveError, hooks
from worldweave_registry.calls import Hooks

SOURCE = np.zeros((4, 16, 24, 3), np.uint8)
SOURCE[:, 4:12, 8:16] = 200
CAR = SOURCE[..., 0] > 100
IDS = CAR.astype(np.uint8)
LABELS = LabelVideo(ids=IDS, names=("road", "car"))


class Plugin:
    """Answers what it is told to, and counts how often it is asked."""

    def __init__(self, objects=None, foreground=None, seen=None):
        self.asked = []
        self.objects, self.judged, self.seen = objects, foreground, seen

    @worldweave.hookimpl
    def worldweave_map(self, prompt, video):
        self.asked.append(("map", prompt, video.shape))
        return self.seen

    @worldweave.hookimpl
    def worldweave_objects(self, prompt, video):
        self.asked.append(("objects", prompt, video.shape))
        return self.objects

    @worldweave.hookimpl
    def worldweave_foreground(self, classifier, video, masks):
        self.asked.append((classifier, sorted(masks), video.shape))
        return self.judged


def sight(*plugins, source=SOURCE, labels=LABELS, **objects):
    relays = {}
    for number, plugin in enumerate(plugins):
        manager = pluggy.PluginManager("worldweave")
        manager.add_hookspecs(hooks)
        manager.register(plugin)
        relays[f"plugin {number}"] = manager.hook
    return Sight(
        objects=Objects(**objects),
        source=source,
        labels=labels,
        hook=Hooks(relays=relays),
    )


def refused(seeing, kind=WorldweaveError):
    with pytest.raises(kind) as caught:
        seeing.foreground()
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_by_rule_over_labels_nothing_is_asked():
    plugin = Plugin()
    seeing = sight(plugin)
    assert not seeing.needs_model
    assert np.array_equal(seeing.foreground(), CAR)
    assert plugin.asked == []
    assert {v.name: v.is_foreground for v in seeing.verdicts} == {
        "road": False,
        "car": True,
    }


@pytest.mark.parametrize(
    "objects",
    [{"masks": "a car."}, {"classifier": "vlm"}, {"masks": "", "classifier": ""}],
)
def test_a_prompt_or_a_classifier_needs_a_model(objects):
    assert sight(**objects).needs_model


def test_objects_are_found_by_prompt_once():
    plugin = Plugin(objects={"car": CAR, "shadow": CAR & False})
    seeing = sight(plugin, labels=None, masks="a car. a shadow.")
    for _ in range(3):
        assert np.array_equal(seeing.foreground(), CAR)
    assert plugin.asked == [("objects", "a car. a shadow.", SOURCE.shape)]


def test_a_classifier_is_asked_once_and_obeyed():
    plugin = Plugin(foreground={"car": False, "road": True})
    seeing = sight(plugin, classifier="vlm")
    assert np.array_equal(seeing.foreground(), ~CAR)
    assert seeing.verdicts[0].name == "road"
    assert plugin.asked == [("vlm", ["car", "road"], SOURCE.shape)]


def test_the_first_plugin_that_answers_counts():
    silent, speaks = Plugin(), Plugin(seen=CAR.astype(np.float32))
    assert np.array_equal(sight(silent, speaks).see("the car"), CAR)
    assert silent.asked == speaks.asked == [("map", "the car", SOURCE.shape)]
    assert sight(silent).see("the car") is None


def test_nobody_who_answers_is_told():
    assert "no plugin knows a classifier 'vlm'" in refused(sight(classifier="vlm"))
    told = refused(sight(masks="a car.", labels=None))
    assert "no plugin finds objects ('a car.')" in told
    assert "worldweave[grounding]" in told


def test_without_labels_it_is_told_what_to_give():
    told = refused(sight(labels=None))
    assert 'objects: {"masks": "a car. a person."}' in told


def test_without_a_video_there_is_nothing_to_look_at():
    plugin = Plugin(objects={}, foreground={}, seen=CAR)
    for objects in ({"masks": "a car."}, {"classifier": "vlm"}):
        told = refused(sight(plugin, source=None, **objects))
        assert "needs a source video" in told
    with pytest.raises(WorldweaveError, match="a prompt needs a source video"):
        sight(plugin, source=None).see("a car")
    assert plugin.asked == []


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({"car": CAR[:2]}, r"bool \(2, 16, 24\) for 'car', expected bool"),
        ({"car": CAR.astype(np.float32)}, "float32"),
        ({"car": "here"}, "for 'car', expected bool"),
    ],
)
def test_wrong_masks_are_the_plugins_fault(masks, told):
    with pytest.raises(PluginError, match=told):
        sight(Plugin(objects=masks), masks="a car.").foreground()


@pytest.mark.parametrize("nothing", [{}, {"car": CAR & False}])
def test_no_object_is_an_error(nothing):
    told = refused(sight(Plugin(objects=nothing), masks="a car."))
    assert "no object" in told


def test_a_wrong_judgement_is_the_plugins_fault():
    plugin = Plugin(foreground={"car": "yes"})
    told = refused(sight(plugin, classifier="vlm"), PluginError)
    assert "'yes' for 'car', which is no bool" in told
    assert "nothing for 'road'" in told


def test_no_foreground_tells_why_of_each():
    plugin = Plugin(foreground={"car": False, "road": False})
    told = refused(sight(plugin, classifier="vlm"))
    assert "'road' (says the classifier), 'car' (says the classifier)" in told
