"""Checkpoints: the store, strict loading, and official .pt files turned into ours."""
