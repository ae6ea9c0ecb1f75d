"""Wrong: written for an older generation of the interface. It is not even imported."""

from worldweave import gone  # noqa: F401
