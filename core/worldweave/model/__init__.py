"""The minimal core: the frozen DiT, the branch interface, the fusion. Torch only."""
