"""lm-eval tasks by name: the project's own in ``tasks/``, and every task of lm-eval's library.

lm-eval's ``TaskManager`` indexes the YAML files. Its 16,000 files take seconds, so the index of an installed version
is kept as a small file; the project's own few are read each time. Leaf tasks are built one by one, so that one missing
data set costs one task and not a whole group.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import MissingError, UserError
from harness.nearest import did_you_mean
from harness.paths import cache_dir, tasks_dir
from harness.plan.data import Source
from harness.plan.options import bind

GROUP_KEYS = {"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag", "include"}


@dataclass(frozen=True)
class Entry:
    """Where a name is defined."""

    kind: str
    """``task``, ``group`` or ``tag``."""
    path: str | None
    """The YAML file; None for a tag."""
    members: tuple[str, ...] = ()
    """The tasks that carry a tag."""


def own_index() -> dict[str, Entry]:
    """Names defined in the project's ``tasks/``."""
    return _read_index(tasks_dir(), str(tasks_dir()))


@functools.cache
def library_index() -> dict[str, Entry]:
    """Names that lm-eval brings; kept in a file, since reading its YAML takes seconds."""
    version = importlib.metadata.version("lm_eval")
    kept = cache_dir() / f"lm_eval-{version}-tasks.json"
    folder = library_dir()
    if kept.is_file():
        rows = json.loads(kept.read_text())
    else:
        rows = {name: [e.kind, e.path, list(e.members)] for name, e in _read_index(folder, "").items()}
        for row in rows.values():
            row[1] = str(Path(row[1]).relative_to(folder)) if row[1] else None
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(rows))
            part.replace(kept)
        except OSError as error:
            logging.getLogger(__name__).info("the index of lm-eval's tasks is not kept: %s", error)
    return {
        name: Entry(kind, str(folder / path) if path else None, tuple(members))
        for name, (kind, path, members) in rows.items()
    }


def library_dir() -> Path:
    """lm-eval's own task folder."""
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


@functools.cache
def _read_index(folder: Path, _key: str) -> dict[str, Entry]:
    quiet_lm_eval()
    from lm_eval.tasks import TaskManager

    index = TaskManager(include_path=str(folder), include_defaults=False).task_index
    kinds = {"TASK": "task", "PY_TASK": "task", "GROUP": "group", "TAG": "tag"}
    return {
        name: Entry(
            kinds[e.kind.name],
            str(e.yaml_path) if e.yaml_path else None,
            tuple(sorted(e.tags)) if e.kind.name == "TAG" else (),
        )
        for name, e in index.items()
    }


def find(name: str) -> Entry | None:
    """The definition of a task, group or tag; the project's own come first."""
    return own_index().get(name) or library_index().get(name)


def leaf_configs(name: str) -> list[dict[str, Any]]:
    """The full lm-eval configs of the leaf tasks below a name, in the order of its group.

    Raises:
        UserError: no such name.
    """
    return list(_leaves(name, {}))


def _leaves(name: str, shared: dict[str, Any]) -> Iterator[dict[str, Any]]:
    entry = find(name)
    if entry is None:
        known = [*own_index(), *library_index()]
        raise UserError(f"benchmarks: no benchmark or task {name}.", did_you_mean(name, known))
    if entry.kind == "tag":
        for member in entry.members:
            yield from _leaves(member, shared)
        return
    # the loader of the YAML dialect that lm-eval's tasks are written in (!function, include)
    from lm_eval.tasks._yaml_loader import load_yaml

    assert entry.path is not None
    try:
        config = dict(load_yaml(entry.path, resolve_func=True))
    except (ImportError, AssertionError, OSError) as error:
        # a task's helpers run when its file is read: some import packages, one fetches a metric from the network
        raise MissingError(
            f"task {name} needs something that is not here: {str(error).splitlines()[0]}",
            "Install or download what it names, then run again.",
        ) from error
    if entry.kind == "task":
        yield {**config, **shared}
        return
    below = {key: value for key, value in config.items() if key not in GROUP_KEYS} | shared
    for member in config["task"]:
        for leaf in _members(member, below, name):
            # the version and the other notes of a group hold for its members that have none of their own
            yield {**leaf, "metadata": {**(config.get("metadata") or {}), **(leaf.get("metadata") or {})}}


def _members(member: str | dict[str, Any], shared: dict[str, Any], group: str) -> Iterator[dict[str, Any]]:
    if isinstance(member, str):
        yield from _leaves(member, shared)
    elif "group" in member:
        inner = {key: value for key, value in member.items() if key not in GROUP_KEYS} | shared
        for child in member["task"] if isinstance(member.get("task"), list) else [member["group"]]:
            yield from _members(child, inner, group)
    elif "dataset_path" in (inline := {**shared, **member}):
        # a whole definition, not a reference to a task defined elsewhere; unique once its group's name is in front
        yield {**inline, "task": f"{group}_{member['task']}"}
    else:
        # a task defined elsewhere; with an alias it is a task of this group, name and version, and passes for no other
        alias = {"task": f"{group}_{member['task_alias']}", "metadata": {}} if "task_alias" in member else {}
        for leaf in _leaves(member["task"], inline):
            yield {**leaf, **alias}


def build(config: dict[str, Any], source: Source, options: Mapping[str, Any] | None = None) -> Any:
    """An lm-eval ``ConfigurableTask`` whose data comes from ``source``, and whose functions know the ``options``.

    Raises:
        MissingError: the data set, or a package that the task needs, is not there.
    """
    quiet_lm_eval()
    from lm_eval.api.task import ConfigurableTask

    config = {key: value for key, value in config.items() if key not in ("tag", "group", "task_list")}
    config = bind(config, {**(options or {}), "load": source.load, "rows": source.rows})
    name = config["task"]
    base = config.get("class", ConfigurableTask)

    class SourcedTask(base):  # type: ignore[misc, valid-type]
        """The task, reading from the run's data source instead of the hub alone."""

        def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
            path = self.DATASET_PATH or ""
            if path.count("/") != 1 or Path(path).exists() or callable(self.config.custom_dataset):
                super().download(dataset_kwargs, **kwargs)
                return
            self.dataset = source.load(path, self.DATASET_NAME, (dataset_kwargs or {}).get("revision"))

    _compile_templates_once()
    try:
        task = SourcedTask(config=config)
    except (ModuleNotFoundError, ConnectionError) as error:
        raise MissingError(f"task {name} cannot be set up: {error}", "Install or download what it names.") from error
    except (KeyError, IndexError) as error:
        raise MissingError(
            f"task {name}: its data set {config.get('dataset_path')} lacks {error}.",
            source.remedy(str(config.get("dataset_path"))),
        ) from error
    return task


def quiet_lm_eval() -> None:
    """Keep lm-eval's advice about defaults out of the user's terminal."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


@functools.cache
def _compile_templates_once() -> None:
    """lm-eval compiles a task's jinja templates again for each doc; the text is the same if each is compiled once."""
    from lm_eval import utils

    utils.env.from_string = functools.lru_cache(maxsize=4096)(utils.env.from_string)
