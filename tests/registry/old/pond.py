"""A base as people wrote them for worldweave 0.1, by an object with methods.

Never bring this file up to date: it stands for plugins whose authors are gone.
"""

import worldweave


def config():
    from worldweave.testing import SMALL

    return SMALL


class Pond:
    @worldweave.hookimpl
    def worldweave_bases(self):
        return (
            worldweave.Base(
                name="pond",
                summary="Ripples",
                license="MIT",
                config="pond:config",
                autoencoder="pond:load",
                text_encoder="pond:load",
                chunk_frames=9,
                sizes=[[64, 96]],
                fps=24,
            ),
        )

    @worldweave.hookimpl(trylast=True)
    def worldweave_objects(self, prompt, video):
        return None


def load(weights, device=None, dtype=None):
    raise NotImplementedError


plugin = Pond()
