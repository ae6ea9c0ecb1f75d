"""The kernels themselves, in Triton. Imported when one is chosen, never before."""
