"""Whatever is wrong with a request: one line each, exit code 2, nothing written."""

import re
import shlex

import pytest

# What a line must hold besides the offending value: a way out.
REMEDY = re.compile(
    r"\b(give|check|choose|did you mean|see|use|leave|keep|create|copy|make|convert|"
    r"cut|free|known|knows|it has|the only one is|not (in|a valid|one of)|is a base|"
    r"a modality|train|load|save|must lie|such as|correct|"
    r"report|needed|start|name it|record)\b",
    re.IGNORECASE,
)
IN = "--video in.mp4 "
ON = IN + "--steps 1 --weights edge=edge.safetensors "
EDGE = ON + "--control edge=0.5"

# What to run after `worldweave generate --out OUT`, and what must be said of it.
REQUESTS = {
    # modalities
    "a misspelt modality": (IN + "--control egde", "'egde'", "did you mean 'edge'"),
    "a modality nobody has": (IN + "--control warp=0.5", "'warp'", "known: ", "edge"),
    "a base as a modality": (IN + "--control tiny-world", "'tiny-world' is a base"),
    "a modality twice": (IN + "--control vis=0 --control vis=0", "vis", "given twice"),
    "a modality without a name": (IN + "--control =0.5", "'=0.5'", "edge=0.6"),
    "a modality that needs its control": (
        IN + "--control fog --weights fog=edge.safetensors",
        "'fog'",
        "give its control video",
        "--control-video fog=fog.mp4",
    ),
    "a modality without weights": (
        "--control-video fog=in.mp4",
        "'fog'",
        "'tiny-world'",
        "worldweave train fog",
    ),
    # flags and options
    "a misspelt flag": (
        EDGE + " --promt day",
        "--promt",
        "--prompt",
        "generate --help",
    ),
    "a flag without its value": (EDGE + " --seed", "--seed", "--help"),
    "an unexpected argument": (EDGE + " more.mp4", "more.mp4", "generate --help"),
    "a misspelt option": (
        EDGE + " --option edge.treshold=low",
        "'treshold'",
        "did you mean 'threshold'",
    ),
    "an option it never had": (
        EDGE + " --option edge.colour=red",
        "'colour'",
        "it has: threshold",
    ),
    "a misspelt value of an option": (
        EDGE + " --option edge.threshold=lo",
        "'edge'",
        "'lo'",
        "choose one of",
        "very_low",
    ),
    "an option out of range": (
        EDGE + " --option edge.low=-5 --option edge.high=9",
        "low is -5",
        "give a whole number",
    ),
    "an option without a modality": (
        EDGE + " --option threshold=low",
        "'threshold=low'",
        "NAME.OPTION=VALUE",
    ),
    "an option that changes nothing": (
        EDGE + " --control-video edge=in.mp4 --option edge.threshold=low",
        "'threshold'",
        "leave one of them out",
    ),
    "an option of what has none": (
        EDGE + " --control fog=0 --option fog.depth=3",
        "'fog'",
        "'depth'",
        "leave it out",
    ),
    # maps
    "a map above one": (ON + "--control edge=1.5", "'edge' is 1.5", "from 0 to 1"),
    "a negative map": (ON + "--control edge=-0.1", "'edge' is -0.1", "from 0 to 1"),
    "a map that is no number": (ON + "--control edge=nan", "nan", "from 0 to 1"),
    "an infinite map": (ON + "--control edge=1e999", "inf", "from 0 to 1"),
    "a letter O in a map": (ON + "--control edge=O.5", "'O.5'", "neither a number nor"),
    "an empty map": (ON + "--control edge=", "'edge='", "such as edge=0.6"),
    "a map file that is missing": (
        ON + "--control edge=gone.npy",
        "'gone.npy'",
        "check",
    ),
    "a folder for a map": (
        ON + "--control edge=folder.mp4",
        "'folder.mp4'",
        "one file",
    ),
    "a map file below zero": (ON + "--control edge=negative.npy", "-0.25", "0..1"),
    "a map file above one": (ON + "--control edge=above.npy", "to 3", "0..1"),
    "a map file with holes": (ON + "--control edge=nan.npy", "nan", "0..1"),
    "a map of another length": (
        ON + "--control edge=nine.npy",
        "9 frames",
        "has 10",
        "give one per frame",
    ),
    "a map of integers": (ON + "--control edge=ints.npy", "int32", "give floats"),
    "a map of one axis": (ON + "--control edge=flat.npy", "(5,)", "give (H, W)"),
    "a map that is cut": (ON + "--control edge=cut.npy", "cut.npy", "cannot be read"),
    "a map that hides a program": (
        ON + "--control edge=pickled.npy",
        "pickled.npy cannot be read",
    ),
    "a map in words": (ON + "--control edge=words.txt", "words.txt", "give"),
    # videos
    "no video": ("--control vis=0", "no video", "give a source video"),
    "a video that is missing": ("--video gone.mp4", "gone.mp4", "check the path"),
    "a folder for a video": ("--video folder.mp4", "folder.mp4", "give one file"),
    "a video that is cut": ("--video cut.mp4", "cut.mp4", "copy or convert it again"),
    "an empty video": ("--video empty.mp4", "empty.mp4", "make or copy it again"),
    "words for a video": ("--video words.mp4", "words.mp4", "give mp4"),
    "no frames": ("--video none.npy", "none.npy", "(0, 64, 96, 3)"),
    "frames of another kind": ("--video floats.npy", "float32", "save uint8"),
    "a control without its name": (
        "--control-video in.mp4",
        "'in.mp4'",
        "NAME=FILE",
    ),
    "a control that is missing": (
        EDGE + " --control-video edge=gone.mp4",
        "gone.mp4",
        "check the path",
    ),
    "a control that is too short": (
        EDGE + " --control-video edge=short.mp4",
        "'edge' has 9 frames",
        "has 10",
        "max_frames to 9",
    ),
    "a control that is too long": (
        EDGE + " --control-video edge=long.mp4",
        "'edge' has 11 frames",
        "only 10",
        "cut it",
    ),
    "a modality without anything to make it from": (
        "--control-video fog=in.mp4 --weights fog=edge.safetensors --control edge "
        "--weights edge=edge.safetensors",
        "'edge'",
        "give one of them",
    ),
    # numbers
    "no steps": (EDGE + " --steps 0", "steps is 0", "from 1 to 1000"),
    "negative steps": (EDGE + " --steps -3", "steps is -3", "from 1 to 1000"),
    "half a step": (EDGE + " --steps 1.5", "'1.5'", "valid integer"),
    "negative guidance": (EDGE + " --guidance -1", "guidance is -1", "from 0 to 100"),
    "no guidance at all": (EDGE + " --guidance nan", "guidance: it is nan", "a finite"),
    "a negative seed": (EDGE + " --seed -1", "seed is -1", "from 0 to 2147483647"),
    "a seed too large": (EDGE + " --seed 2147483648", "2147483648", "from 0 to"),
    "sigma_max too large": (EDGE + " --sigma-max 81", "81", "up to 80"),
    "sigma_max of nothing": (EDGE + " --sigma-max 0", "sigma_max is 0", "above 0.002"),
    "sigma_max without a source": (
        "--control-video edge=in.mp4 --weights edge=edge.safetensors --sigma-max 5",
        "sigma_max 5",
        "give a video or leave",
    ),
    "negative fps": (EDGE + " --fps -24", "fps is -24", "above 0"),
    "negative overlap": (EDGE + " --overlap -1", "overlap is -1", "give 0 to 8"),
    "overlap as long as a chunk": (
        EDGE + " --overlap 9",
        "overlap is 9",
        "give 0 to 8",
    ),
    "no frame allowed": (
        EDGE + " --max-frames 0",
        "max_frames is 0",
        "give 1 or more",
    ),
    "no threads": (EDGE + " --threads 0", "'--threads'", "equal to 1, not '0'"),
    "an unknown compat": (EDGE + " --compat cosmos", "'cosmos'", "'cosmos-transfer1'"),
    "an unknown device": (EDGE + " --device gpu", "'gpu'", "give cpu"),
    "a device that holds nothing": (EDGE + " --device meta", "'meta'", "give cpu"),
    # base and prompt
    "a misspelt base": (EDGE + " --base tiny-wrold", "'tiny-wrold'", "'tiny-world'"),
    "a modality for a base": (EDGE + " --base edge", "'edge' is a modality"),
    "a word it does not know": (
        EDGE + " --prompt 'a purpel car'",
        "'purpel' (did you mean 'purple'?)",
        "it knows: ",
    ),
    "a word it does not know to avoid": (
        EDGE + " --negative-prompt xylophones",
        "'xylophones'",
        "it knows: ",
    ),
    # weights
    "weights without a name": (
        "--video in.mp4 --weights edge.safetensors",
        "'edge.safetensors'",
        "NAME=FILE",
    ),
    "weights that are missing": (
        EDGE + " --weights edge=gone.safetensors",
        "gone.safetensors",
        "check the path",
    ),
    "a folder for weights": (EDGE + " --weights edge=site", "site", "check the path"),
    "words for weights": (EDGE + " --weights edge=words.txt", "words.txt"),
    "a pickle for weights": (EDGE + " --weights edge=branch.pt", "branch.pt"),
    "a base for a branch": (
        EDGE + " --weights edge=dit.safetensors",
        "dit.safetensors does not fit branch edge",
    ),
    "a branch of another size": (
        EDGE + " --weights edge=small.safetensors",
        "small.safetensors does not fit branch edge",
        "48",
        "192",
    ),
    "weights with holes": (
        EDGE + " --weights edge=nan.safetensors",
        "not finite",
        "check the weights",
        "'edge'",
    ),
    # plugins
    "a preprocessor that fails": (
        "--video in.mp4 --control clumsy --weights clumsy=edge.safetensors",
        "'clumsy'",
        "no such cloud",
        "report it to the author of acme-fog 1",
    ),
    "a preprocessor of another size": (
        "--video in.mp4 --control crooked --weights crooked=edge.safetensors",
        "'crooked'",
        "(10, 32, 96, 3)",
        "report it to the author of acme-fog 1",
    ),
}


def assert_said(lines, parts):
    text = "\n".join(lines)
    for part in parts:
        assert part in text
    for line in lines:
        assert REMEDY.search(line), line


@pytest.mark.parametrize("case", REQUESTS.values(), ids=REQUESTS)
def test_a_bad_request_is_refused(case, refused, out):
    command, *parts = case
    lines = refused("generate", "--out", out, *shlex.split(command))
    assert len(lines) == 1
    assert_said(lines, parts)


def test_all_problems_of_a_request_come_together(refused, out):
    lines = refused(
        *("generate", "--out", out, "--video", "in.mp4", "--prompt", "a purpel car"),
        *("--steps", 0, "--seed", -1, "--control", "egde", "--control", "vis=nine.npy"),
        *("--option", "edge.treshold=1", "--control-video", "fog=short.mp4"),
        *("--weights", "vis=gone.safetensors", "--base", "tiny-world"),
    )
    wrong = ["purpel", "steps", "seed", "egde", "9 frames but", "treshold", "gone"]
    for part in wrong:
        assert sum(part in line for line in lines) >= 1, part
    assert len(lines) == len(set(lines)) >= len(wrong)


def test_malformed_flags_come_together(refused, out):
    lines = refused(
        *("generate", "--out", out, "--control", "=1", "--control-video", "edge"),
        *("--option", "low", "--weights", "w.safetensors"),
    )
    assert len(lines) == 4


def test_a_bad_output_and_a_bad_request_come_together(refused, out):
    lines = refused("generate", "--out", out.with_suffix(".avi"), "--control", "egde")
    assert len(lines) == 3
    assert "out.avi" in lines[0]
