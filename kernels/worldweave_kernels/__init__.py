"""The operations a video DiT spends its time in, usable by themselves."""

from worldweave_kernels.attention import attention
from worldweave_kernels.weighted_add import weighted_add

__all__ = ["attention", "weighted_add"]
