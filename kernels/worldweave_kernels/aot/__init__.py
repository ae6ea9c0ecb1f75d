"""Compile the kernels for GPUs that are not here, and read what came out."""
