"""Wrong: it needs a package that it does not ask for."""

import open3d_not_installed  # noqa: F401
