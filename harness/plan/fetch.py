"""The data sets of benchmarks as a mirror folder, for machines without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import MissingError
from harness.plan import library
from harness.plan.benchmark import Benchmark
from harness.plan.data import Source
from harness.plan.release import Release


@dataclass(frozen=True)
class Fetched:
    """What became of one benchmark."""

    benchmark: str
    """Its name."""
    repos: tuple[str, ...]
    """The data sets that it reads, all in the mirror now."""
    missing: MissingError | None
    """Why it is incomplete, if it is."""


@dataclass
class _Copying(Source):
    """A source that copies each repository into a mirror and reads the copy, so that what is written is proved."""

    target: Path = field(default_factory=Path)

    def folder(
        self, repo: str, config: str | None, revision: str | None = None, patterns: tuple[str, ...] = ()
    ) -> Path:
        found, copy = super().folder(repo, config, revision, patterns), self.target / repo
        for file in sorted(path for path in found.rglob("*") if path.is_file()):
            _copy(file, copy / file.relative_to(found))
        return copy

    def file(self, release: Release) -> Path:
        found = super().file(release)
        copy = (self.target / release.name).with_name(Path(release.name).name if found.suffix == ".gz" else found.name)
        _copy(found, copy)
        return copy


def fetch(benchmarks: Sequence[Benchmark], target: Path, source: Source | None = None) -> Iterator[Fetched]:
    """Write a mirror of what the benchmarks read from the hub (or another source), one result a benchmark."""
    source = source or Source("hub")
    for benchmark in benchmarks:
        copying = _Copying(source.kind, source.root, target=target)
        missing = None
        try:
            for config in (leaf for name in benchmark.tasks for leaf in library.leaf_configs(name)):
                library.build(config, copying, benchmark.options)
        except MissingError as error:
            missing = error
        yield Fetched(benchmark.name, tuple(dict.fromkeys(repo for repo, _ in copying.read)), missing)


def _copy(file: Path, copy: Path) -> None:
    """A file that is there already, in full, is not copied again."""
    if copy.is_file() and copy.stat().st_size == file.stat().st_size:
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(copy.name + ".part")
    shutil.copyfile(file, part)
    part.replace(copy)
