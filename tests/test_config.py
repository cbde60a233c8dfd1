"""What a user gets wrong is named, with the nearest right thing, before anything is loaded."""

from pathlib import Path

import pytest

from harness.config import check, load
from harness.errors import UserError
from harness.prepare import prepare

BAD = [
    (["limt=3"], "unknown key limt.", "Did you mean limit"),
    (["backend.dtyp=float32"], "unknown key backend.dtyp.", "backend.dtype"),
    (["backend=torhc"], "backend = torhc, which does not exist.", "Did you mean torch"),
    (["suite=quickstrt"], "suite = quickstrt, which does not exist.", "Did you mean quickstart"),
    (["data=mirrors"], "data = mirrors, which does not exist.", "Did you mean mirror"),
    (["benchmarks=[mlmu]"], "benchmarks: no benchmark or lm-eval task mlmu.", "Did you mean mmlu"),
    (["shots.mlmu=3"], "shots.mlmu: no such benchmark.", "Did you mean mmlu"),
    (["shots.mmlu=-1"], "shots.mmlu = -1, which is negative.", "0 or more"),
    (["limit=abc"], "limit: Value 'abc'", "right type"),
    (["limit=0"], "limit = 0, which asks nothing.", "1 or more"),
    (["benchmarks=[]"], "benchmarks = [], which asks nothing.", "suite"),
    (["gsm8k.exemplars=we"], "gsm8k.exemplars = we, which is none of qwen, wei.", "wei"),
    (["fewshot.sampler=first"], "fewshot.sampler = first, which is none of first_n, seeded.", "first_n"),
    (["seed"], "seed: ", "key=value"),
]


@pytest.mark.parametrize(("overrides", "problem", "remedy"), BAD, ids=lambda value: str(value)[:30])
def test_bad_input_names_key_value_and_remedy(overrides: list[str], problem: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        load(overrides)
    assert caught.value.problem.startswith(problem)
    assert "\n" not in caught.value.problem
    assert remedy in caught.value.remedy


LATER = [
    (["shots.mmlu=7"], "shots.mmlu: 7 shots for task mmlu_question_anatomy, but its few-shot split (dev) has 5 docs"),
    (["backend.model=/no/such/folder"], "backend.model = /no/such/folder, but there is no such folder."),
    (["backend.model=./weights.gguf"], "backend.model = ./weights.gguf, but there is no such file."),
    (["backend.dtype=float8"], "backend.dtype = float8, which is none of auto, float32, bfloat16, float16."),
    (["backend.batch_tokens=many"], "backend.batch_tokens: Value 'many'"),
    (["backend.device=cuda:0"], "backend.device = cuda:0, but torch sees no CUDA device."),
    (["backend.device=gpu"], "backend.device = gpu is not known."),
    (["backend.batch_tokens=-5"], "backend.batch_tokens = -5, which is not above 0."),
    (["backend.slots=0"], "backend.slots = 0, which is not above 0."),
    (["backend.max_length=0"], "backend.max_length = 0, which is not above 0."),
    (["backend.device=cpu:7"], "backend.device = cpu:7, but there is one CPU."),
    (["backend.kv_memory=inf"], "backend.kv_memory = inf, which is no amount."),
    (["backend.model="], "backend.model is empty."),
    (["backend.kv_memory=-1"], "backend.kv_memory = -1.0, which is not above 0."),
    (["data=mirror", "data.root=/no/such/folder"], "data.root = /no/such/folder, which is not a folder."),
]


@pytest.mark.parametrize(("overrides", "problem"), LATER, ids=lambda value: str(value)[:30])
def test_bad_input_is_found_before_the_model_is_loaded(overrides: list[str], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        prepare(load(["benchmarks=[mmlu]", *overrides]))
    assert caught.value.problem.startswith(problem)


def test_a_mirror_without_the_set_names_root_and_download(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare(load(["benchmarks=[gsm8k]", "data=mirror", f"data.root={tmp_path}"]))
    assert caught.value.problem == f"data.root = {tmp_path} has no data set openai/gsm8k."
    assert "hf download openai/gsm8k --repo-type dataset" in caught.value.remedy


@pytest.mark.parametrize(("files", "missing"), [([], "weights"), (["model.safetensors"], "config.json")])
def test_a_model_folder_that_is_not_whole(tmp_path: Path, files: list[str], missing: str) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=f"a folder without {missing}"):
        prepare(load(["benchmarks=[mmlu]", f"backend.model={tmp_path}"]))


def test_the_default_is_the_quickstart_on_sample_docs() -> None:
    config = load([])
    assert [b.name for b in config.benchmarks] == ["mmlu", "hellaswag", "gsm8k", "c_eval", "humaneval"]
    assert (config.source.kind, config.backend_kind, config.named) == ("sample", "torch", False)


def test_named_benchmarks_shots_and_options() -> None:
    config = load(["benchmarks=[gsm8k,arc_easy]", "shots.gsm8k=2", "shots.arc_easy=1", "gsm8k.exemplars=wei"])
    gsm8k, arc = config.benchmarks
    assert (gsm8k.tasks, gsm8k.shots, gsm8k.options["exemplars"]) == (("gsm8k_wei_cot",), 2, "wei")
    assert (arc.tasks, arc.shots, arc.from_table) == (("arc_easy",), 1, False)


def test_data_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    assert load(["data=mirror"]).source.root == tmp_path


def test_a_receipts_config_means_the_same_again() -> None:
    config = load(["benchmarks=[gsm8k,mmlu]", "limit=4", "gsm8k.extraction=strict", "prompt.system=Be brief."])
    again = check(config.resolved)
    assert (again.benchmarks, again.settings, again.source) == (config.benchmarks, config.settings, config.source)


def test_the_72b_experiment_is_one_engine_on_eight_gpus_and_its_variant_on_four() -> None:
    from harness.backends.replicas import parted
    from harness.backends.vllm import VllmOptions
    from harness.typed import typed

    def options(*overrides: str) -> tuple[VllmOptions, int]:
        config = load(["experiment=qwen2_72b", *overrides])
        assert (config.backend_kind, config.suite, config.source.kind) == ("vllm", "qwen2", "hub")
        replicas, own = parted(config.backend)
        return typed(VllmOptions, own, "backend."), replicas.replicas

    whole, one = options()
    assert (whole.model, whole.model_kind, whole.dtype) == ("Qwen/Qwen2-72B", "base", "bfloat16")
    assert (whole.gpus, whole.engine["max_model_len"], one) == (8, 8192, 1)
    half, two = options("backend=vllm_qwen2_72b_tp4", "backend.replicas=2")
    assert (half.gpus, half.model, two) == (4, whole.model, 2)
    # placement changes no answer: both share what the store has
    assert half.meaning == whole.meaning


def test_any_argument_of_vllms_engine_is_a_key() -> None:
    config = load(["backend=vllm", "backend.engine.quantization=fp8", "backend.engine.hf_overrides={rope_theta: 1.0}"])
    assert config.backend["engine"] == {"quantization": "fp8", "hf_overrides": {"rope_theta": 1.0}}
