"""What many tests share: a tiny model made on the spot, a backend that answers by rule, the real data if present."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
# tests run side by side with others on small machines: one thread, and no spinning at barriers
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from harness.backends.base import Capabilities, Generated, Response, Scored
from harness.paths import project_root
from harness.plan.request import Request, Score


@pytest.fixture(scope="session", autouse=True)
def configuration_files_read_once() -> None:
    """Hydra reads its forty YAML files anew for each configuration, of which the tests make a thousand."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra.plugins.config_source import ConfigResult, ConfigSource

    read = FileConfigSource.load_config
    known: dict[tuple[str, str, int], ConfigResult] = {}

    def load_config(self: ConfigSource, config_path: str) -> ConfigResult:
        file = Path(self.path, f"{config_path.removesuffix('.yaml')}.yaml")
        if not file.is_file():
            return read(self, config_path)
        key = (self.path, config_path, file.stat().st_mtime_ns)
        if key not in known:
            known[key] = read(self, config_path)
        # Hydra fills in what it was given
        return copy.deepcopy(known[key])

    FileConfigSource.load_config = load_config


@pytest.fixture(scope="session")
def real_hub() -> Path:
    """The mirror of real data sets that lies beside the project on the maintainers' machines."""
    root = project_root().parent / "shared" / "data" / "hub"
    if not root.is_dir():
        pytest.skip("needs the mirror of real data sets in ../shared/data/hub, which a plain clone does not have")
    return root


class RuleBackend:
    """Answers at once from a hash of the request; counts what it was asked."""

    capabilities = Capabilities(loglikelihood=True, generation=True)

    def __init__(self, batch: int = 7) -> None:
        self.batch = batch
        self.asked: list[str] = []

    def check(self, asks: bool = True) -> None:
        return

    def fingerprint(self) -> str:
        return "rule"

    def describe(self) -> dict[str, object]:
        return {"model": "rule", "kind": "base", "kind_of_backend": "rule", "fingerprint": "rule"}

    def tokenizer(self) -> None:
        return None

    def took(self) -> dict[str, object]:
        return {}

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        return 0.001

    def tokens_per_second(self) -> float | None:
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[list[tuple[Request, Response]]]:
        for at in range(0, len(requests), self.batch):
            part = requests[at : at + self.batch]
            self.asked += [request.hash for request in part]
            yield [(request, rule_answer(request)) for request in part]


def rule_answer(request: Request) -> Response:
    """A pure function of the request's text."""
    if isinstance(request, Score):
        values = [-1.0 - int(request.hash[i * 3 : i * 3 + 3], 16) / 4096 for i in range(len(request.continuations))]
        return Scored(tuple(values), tuple(False for _ in values), 10)
    return Generated(f"I add.\nThe answer is {int(request.hash[:4], 16)}.", "stop", 10, 5)


@pytest.fixture
def rule_backend() -> RuleBackend:
    return RuleBackend()


CORPUS = [
    "Question: Which organ pumps blood through the body?\nA. the liver\nB. the heart\nC. a lung\nD. skin\nAnswer: B",
    "Let's think step by step\nHe ties 28 / 4 = 7 bundles of carrots.\nThe answer is 39\n\nQuestion: Mirela bakes 7",
    "def add(a: int, b: int) -> int:\n    return a + b\n\nprint(add(2, 3))\n",
    "问题：计算机网络中最常用的协议是\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：A",
]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of a few thousand weights with a byte-level tokenizer, as an ordinary checkpoint folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        eos_token_id=fast.eos_token_id,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
