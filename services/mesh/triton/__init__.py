"""The adapter to Triton Inference Server: the only importer of tritonclient."""

from services.mesh.triton.execution import EXECUTION_NS
from services.mesh.triton.inference import TritonInference, open_triton

__all__ = ["EXECUTION_NS", "TritonInference", "open_triton"]
