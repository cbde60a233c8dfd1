"""Any server that speaks OpenAI's protocol: hosted ones, ``vllm serve``, llama.cpp, SGLang, ``transformers serve``."""

from harness.backends.openai.backend import OpenAIBackend
from harness.backends.openai.options import OpenAIOptions

__all__ = ["OpenAIBackend", "OpenAIOptions"]
