"""The operations a video DiT spends its time in, usable by themselves."""

from worldweave_kernels.attention import attention, merge_attention
from worldweave_kernels.control_inject import control_inject
from worldweave_kernels.dispatch import BackendError, Choice
from worldweave_kernels.explain import explain
from worldweave_kernels.norm_modulate import gate_residual_norm_modulate, norm_modulate
from worldweave_kernels.qk_rope_pack import qk_norm_rope_pack
from worldweave_kernels.weighted_add import weighted_add

__all__ = [
    "BackendError",
    "Choice",
    "attention",
    "control_inject",
    "explain",
    "gate_residual_norm_modulate",
    "merge_attention",
    "norm_modulate",
    "qk_norm_rope_pack",
    "weighted_add",
]
