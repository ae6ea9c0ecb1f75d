"""Wrong: the hook is misspelt, so nobody would ever call it."""

import worldweave


@worldweave.hookimpl
def worldweave_modalites():
    return []
