"""The sizes of the official bases."""

from worldweave import DiTConfig

COSMOS_7B = DiTConfig()

#: Trained without given frames, so without a mask channel to mark them, and with
#: hints that are not padded.
COSMOS_AV = DiTConfig(condition_mask=False, hint_channels=16)
