"""Training data in a folder of files: how it is arranged, and what is wrong with it."""
