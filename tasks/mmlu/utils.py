"""The subject header of MMLU, which is lm-eval's to word."""

from typing import Any

from harness.plan.borrowed import lm_eval_yaml


def with_header(dataset: Any) -> Any:
    """The split with its subject's header as a column."""
    subject = dataset[0]["subject"]
    header = lm_eval_yaml(f"mmlu/default/mmlu_{subject}.yaml")["description"]
    return dataset.add_column("header", [header] * len(dataset))
