"""Find the models on this machine; nothing is ever downloaded."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from worldweave import Problems, WeightsError
from worldweave_plugins.grounding.libraries import library, missing
from worldweave_plugins.grounding.settings import VARIABLE, Settings
from worldweave_registry import Model

_FILES: Final = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
)


@attrs.frozen(kw_only=True)
class Source:
    """A model this plugin can use, and where the world gets it."""

    what: str
    purpose: str
    folder: str
    """Its place below WORLDWEAVE_GROUNDING."""
    repository: str
    license: str
    size: str
    files: tuple[str, ...] = _FILES
    model_types: tuple[str, ...]
    """What its config.json may call it."""

    @property
    def bytes(self) -> int:
        """About what is downloaded."""
        return round(float(self.size.split()[0]) * 1e9)

    def advice(self, settings: Settings) -> str:
        """Say in one line how to get the model."""
        own = settings.folder or Path("models")
        command = ["hf", "download", self.repository, *self.files]
        command += ["--local-dir", str(own / self.folder)]
        setting = "" if settings.folder else f" and set {VARIABLE}=models"
        return f"run: {shlex.join(command)} ({self.size}, {self.license}){setting}"


DETECTOR: Final = Source(
    what="Grounding DINO",
    purpose="maps from text need",
    folder="grounding-dino",
    repository="IDEA-Research/grounding-dino-tiny",
    license="Apache-2.0",
    size="0.7 GB",
    model_types=("grounding-dino",),
)
TRACKER: Final = Source(
    what="SAM 2",
    purpose="maps from text need",
    folder="sam2",
    repository="facebook/sam2-hiera-large",
    license="Apache-2.0",
    size="0.9 GB",
    files=_FILES[:3],
    model_types=("sam2_video",),
)
JUDGE: Final = Source(
    what="a SmolVLM",
    purpose="the classifier 'vlm' needs",
    folder="vlm",
    repository="HuggingFaceTB/SmolVLM-Instruct",
    license="Apache-2.0",
    size="4.5 GB",
    model_types=("idefics3", "smolvlm"),
)


def find(settings: Settings, *sources: Source) -> list[Path]:
    """Return the folder of each model.

    First <WORLDWEAVE_GROUNDING>/<folder>, then the Hugging Face cache. Raise
    Problems that names every model and file that is not there.
    """
    library("huggingface_hub")
    problems: list[str] = []
    folders: list[Path] = []
    for source in sources:
        folder, problem = _look(settings, source)
        if folder is not None:
            folders.append(folder)
        if problem is not None:
            problems.append(problem)
    if len(problems) == 1:
        raise WeightsError(problems[0])
    if problems:
        raise Problems(problems)
    return folders


def models(settings: Settings, *sources: Source) -> list[Model]:
    """Describe each model as it lies on this machine, or what is missing of it."""
    found = []
    for source in sources:
        folder, problem = None, missing("transformers") or missing("huggingface_hub")
        if problem is None:
            folder, problem = _look(settings, source)
        found.append(
            Model(
                name=source.what,
                license=source.license,
                bytes=source.bytes if problem else _bytes(folder) or source.bytes,
                path=folder,
                problem=problem,
            )
        )
    return found


def _look(settings: Settings, source: Source) -> tuple[Path | None, str | None]:
    """Return where a model is, as far as it is there, and what is wrong with it."""
    folder = _own(settings, source)
    if folder is None:
        hub = library("huggingface_hub")
        cached = hub.try_to_load_from_cache(source.repository, "config.json")
        folder = Path(cached).parent if isinstance(cached, str) else None
    if folder is None:
        where = f" (looked in {settings.folder})" if settings.folder else ""
        return None, (
            f"{source.purpose} {source.what}, which is not on this machine"
            f"{where}, and nothing is downloaded unasked; {source.advice(settings)}"
        )
    if absent := _absent(folder, source.files):
        return folder, (
            f"{folder} lacks {' and '.join(absent)}, which {source.what} needs; "
            f"{source.advice(settings)}"
        )
    return folder, None


def _bytes(folder: Path | None) -> int:
    """Return the size of what is read of a folder; the cache's files are links."""
    if folder is None:
        return 0
    read = (".json", ".safetensors")
    return sum(f.stat().st_size for f in folder.iterdir() if f.suffix in read)


def _own(settings: Settings, source: Source) -> Path | None:
    if settings.folder is None:
        return None
    folder = settings.folder / source.folder
    return folder if folder.is_dir() else None


def _absent(folder: Path, files: Sequence[str]) -> list[str]:
    """Return which of *files* are not there under any name transformers saves."""
    other = {
        # Large models are split; version 5 saves a processor as one file.
        "model.safetensors": "model.safetensors.index.json",
        "preprocessor_config.json": "processor_config.json",
    }
    return [
        name
        for name in files
        if not any((folder / n).is_file() for n in (name, other.get(name, name)))
    ]
