"""Train a branch with its base frozen, or a base small enough to be trained here."""
