"""What `worldweave plugins` needs: a quick import and a description that holds."""

from __future__ import annotations

import os
import subprocess
import sys

from worldweave.testing.kit import check, fail
from worldweave.testing.subject import Subject

#: What takes seconds to import, and nobody needs for a listing.
HEAVY = ("torch", "cv2", "numpy", "scipy", "transformers", "triton", "diffusers")
_CODE = (
    "import sys, worldweave_registry; worldweave_registry.discover(); "
    f"print(','.join(n for n in {HEAVY!r} if n in sys.modules))"
)


@check("listing the plugin imports nothing heavy")
def listing_imports_nothing_heavy(subject: Subject) -> None:
    """Discover the plugin alone in a fresh process, and see what was imported."""
    environ = {
        **os.environ,
        "WORLDWEAVE_PLUGINS": subject.plugin.id,  # not its neighbours
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        fail(
            f"listing {subject.plugin.id} alone ended with code {done.returncode}: "
            f"{done.stderr.strip().splitlines()[-1:]}",
            "run: worldweave plugins",
        )
    if heavy := done.stdout.strip():
        fail(
            f"importing {subject.plugin.name!r} to list it also imports {heavy}",
            "import them where they are used, and name the parts that use them by "
            "import path, 'package.module:Name'",
        )


CHECKS = (listing_imports_nothing_heavy,)
