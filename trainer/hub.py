"""Models from the Hugging Face hub: what is cached, what keeps a download from working, the
download itself.

The cache is the one that every program with huggingface_hub shares (HF_HOME, HF_HUB_CACHE): a
FLUX.2 takes 15 to 115 GB, and nobody wants it twice. What lies there whole is used as it is,
without asking the network: a job then starts offline, and goes on tomorrow with the weights of
today. A newer version is had by its Revision, or by downloading it with any other program.

The dev and 9B models are gated: their page asks people to accept a licence, and the download for
the token of an account that has. Five things can be wrong, and each has another cure:

    model_needs_token            no token on this machine
    model_token_wrong            the hub does not know the token
    model_licence_not_accepted   the token's account may not read the repository
    model_offline                the network is off or out of reach, and the cache lacks files
    (offline with a whole cache works)

The first and the fourth are seen without a network; the rest by one question at the door, whose
answer is kept for a minute, since a form asks at every change.

The token is HF_TOKEN from the environment or the project's .env file, else that of `hf auth login`.
Imports no torch; huggingface_hub is imported when it is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.env_file import in_env_file
from trainer.errors import BadModel, DiskFull, Problem, Severity, StopRequested
from trainer.hub_failures import problem_of_failure

_FIELD = "model.name_or_path"
_INDEX_NAME = "model_index.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_KEPT_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")
_ANSWER_KEPT_SECONDS = 60.0
_POLL_SECONDS = 0.2
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class HubRepository:
    """A model on the hub; a blank revision is the main branch."""

    repo_id: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id

    @property
    def asked_revision(self) -> str:
        """The revision by name."""
        return self.revision or "main"

    @property
    def cache_folder_name(self) -> str:
        """Its folder in the hub's cache."""
        return f"models--{self.repo_id.replace('/', '--')}"


@dataclass(frozen=True)
class HubAccess:
    """How this machine reaches the hub. token: None without one."""

    endpoint: str
    cache: Path
    token: str | None
    is_offline: bool

    @classmethod
    def from_environment(cls) -> HubAccess:
        """What huggingface_hub would use, and HF_TOKEN from the project's .env file."""
        from huggingface_hub import constants, get_token, is_offline_mode

        return cls(
            endpoint=os.environ.get("HF_ENDPOINT") or constants.ENDPOINT,
            cache=hub_cache(),
            token=os.environ.get("HF_TOKEN") or in_env_file("HF_TOKEN") or get_token(),
            is_offline=is_offline_mode(),
        )

    def __repr__(self) -> str:
        return f"HubAccess({self.endpoint}, token={'yes' if self.token else 'no'})"


def hub_cache() -> Path:
    """The folder of huggingface_hub's cache."""
    from huggingface_hub import constants

    return Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE)


def cached_snapshot(repository: HubRepository) -> Path | None:
    """The folder of the repository's files on this machine; it may lack some. None without one."""
    folder = hub_cache() / repository.cache_folder_name
    commit = repository.asked_revision
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (folder / "refs" / commit).read_text(encoding="utf-8").strip()
        except OSError:
            return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def download_problems(
    repository: HubRepository, parts: Sequence[str], *, access: HubAccess, gated: bool
) -> list[Problem]:
    """What keeps a model that is not here from being downloaded; if nothing, a warning of its size.

    gated: known beforehand to want a token. Asks the hub at most once a minute.
    """
    if access.is_offline:
        return [problem_of_failure(repository.repo_id, None, is_offline=True, has_token=True)]
    if gated and access.token is None:
        return [_needs_token(repository)]
    return _asked(_Wanted(repository, tuple(parts)), access)


def file_problems(repository: HubRepository, name: str, *, access: HubAccess) -> list[Problem]:
    """The same of one file, by its path in the repository."""
    if access.is_offline:
        return [problem_of_failure(repository.repo_id, None, is_offline=True, has_token=True)]
    return _asked(_Wanted(repository, (), name), access)


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of a repository: a model's parts with its index, or one file alone."""

    repository: HubRepository
    parts: tuple[str, ...]
    file: str = _INDEX_NAME


def _asked(wanted: _Wanted, access: HubAccess) -> list[Problem]:
    """What the hub says of it, at most a minute old."""
    asked = (wanted, access)
    now = time.monotonic()
    if asked not in _answers or now - _answers[asked][0] > _ANSWER_KEPT_SECONDS:
        _answers[asked] = (now, _ask(wanted, access))
    return _answers[asked][1]


_answers: dict[tuple[_Wanted, HubAccess], tuple[float, list[Problem]]] = {}


def download(
    repository: HubRepository,
    parts: Sequence[str],
    *,
    access: HubAccess,
    progress: Callable[[int, int, str], None],
    stop_requested: Callable[[], bool],
) -> Path:
    """Download what is missing of the parts into the cache; the snapshot's folder.

    progress: takes megabytes done, megabytes in all, the file's name. Going on after a stop or a
    lost connection starts where it ended. Raises BadModel, DiskFull, StopRequested.
    """
    wanted = _Wanted(repository, tuple(parts))
    return _downloaded(wanted, access, progress=progress, stop_requested=stop_requested)


def download_file(
    repository: HubRepository,
    name: str,
    *,
    access: HubAccess,
    progress: Callable[[int, int, str], None],
    stop_requested: Callable[[], bool],
) -> Path:
    """Download one file by its path in the repository; where it lies. Raises as `download`."""
    wanted = _Wanted(repository, (), name)
    return _downloaded(wanted, access, progress=progress, stop_requested=stop_requested) / name


def _downloaded(
    wanted: _Wanted,
    access: HubAccess,
    *,
    progress: Callable[[int, int, str], None],
    stop_requested: Callable[[], bool],
) -> Path:
    repository = wanted.repository
    if access.is_offline:
        raise BadModel.from_problems(
            [problem_of_failure(repository.repo_id, None, is_offline=True, has_token=True)]
        )
    worker = _Download(wanted, access)
    worker.start()
    while worker.is_alive():
        worker.join(_POLL_SECONDS)
        if stop_requested():
            worker.is_wanted = False
            raise StopRequested("The run was asked to stop while it downloaded.")
        done, total, name = worker.state
        if total:
            progress(done // _MEGABYTE, max(1, total // _MEGABYTE), name)
    if worker.failure is not None:
        _raise_named(repository, access, worker.failure)
    assert worker.folder is not None
    return worker.folder


class _NotWanted(Exception):
    """The run does not wait for the download any more."""


class _Download(threading.Thread):
    """Downloads file by file. A daemon: a run that stops does not wait for a silent connection.

    state: bytes done, bytes in all, the file at work.
    """

    def __init__(self, wanted: _Wanted, access: HubAccess):
        super().__init__(name=f"download {wanted.repository}", daemon=True)
        self._wanted, self._repository, self._access = wanted, wanted.repository, access
        self.state = (0, 0, "")
        self.is_wanted = True
        self.folder: Path | None = None
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self.folder = self._download()
        except Exception as error:
            self.failure = error

    def _download(self) -> Path:
        commit, sizes = _files_on_hub(self._wanted, self._access)
        at_commit = replace(self._repository, revision=commit)
        missing = _not_cached(at_commit, sizes)
        _refuse_full_disk(self._repository, sum(missing.values()), self._access.cache)
        total = sum(sizes.values())
        done = total - sum(missing.values())
        # Small files first, so that a wrong model shows early.
        for name in sorted(missing, key=lambda name: (missing[name], name)):
            self.state = (done, total, name)
            self._fetch(name, commit, counted_from=done)
            done += missing[name]
        # By the revision's name this time, which is what points it at the commit: a branch is
        # known to the cache only once everything is there.
        last = self._wanted.file
        fetched = self._fetch(last, self._repository.asked_revision, counted_from=done)
        self.state = (total, total, last)
        snapshot = fetched.parents[len(Path(last).parts) - 1]
        if snapshot.name != commit:
            raise BadModel(
                f"{self._repository} changed on the hub while it was downloaded.",
                "Start the job again: what is the same is not downloaded twice.",
                code="model_changed",
                field=_FIELD,
            )
        return snapshot

    def _fetch(self, name: str, revision: str, *, counted_from: int) -> Path:
        from huggingface_hub import hf_hub_download
        from tqdm import tqdm

        download = self

        class Bar(tqdm):
            """Counts instead of drawing."""

            def __init__(self, *arguments: object, **options: object) -> None:
                options["disable"] = True
                super().__init__(*arguments, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]
                self.counted = counted_from + int(options.get("initial") or 0)  # pyright: ignore[reportArgumentType]

            def update(self, n: float | None = 1) -> bool | None:
                if not download.is_wanted:
                    raise _NotWanted
                self.counted += int(n or 0)
                _, total, name = download.state
                download.state = (min(self.counted, total), total, name)
                return None

        fetched = hf_hub_download(
            self._repository.repo_id,
            name,
            revision=revision,
            cache_dir=self._access.cache,
            token=self._access.token or False,
            endpoint=self._access.endpoint,
            tqdm_class=Bar,
        )
        return Path(str(fetched))


def _ask(wanted: _Wanted, access: HubAccess) -> list[Problem]:
    from huggingface_hub import HfApi

    repository = wanted.repository
    try:
        api = HfApi(endpoint=access.endpoint, token=access.token or False)
        api.auth_check(repository.repo_id)
        commit, sizes = _files_on_hub(wanted, access)
    except Exception as error:
        return [
            problem_of_failure(
                repository.repo_id, error, is_offline=False, has_token=access.token is not None
            )
        ]
    num_bytes = sum(_not_cached(replace(repository, revision=commit), sizes).values())
    free = _free_bytes(access.cache)
    if num_bytes > free:
        return [_disk_too_small(repository, num_bytes, free, access.cache)]
    return [
        Problem(
            "model_will_be_downloaded",
            f"{_named(wanted)} is not on this machine yet: {num_bytes / 1e9:.1f} GB are downloaded "
            "when the job starts.",
            f"Nothing is to be done. They are kept in {access.cache}.",
            _FIELD,
            Severity.WARNING,
            {"repo_id": repository.repo_id, "bytes": num_bytes},
        )
    ]


def _files_on_hub(wanted: _Wanted, access: HubAccess) -> tuple[str, dict[str, int]]:
    """The commit that the revision is now, and the size of each wanted file in bytes."""
    from huggingface_hub import HfApi

    repository = wanted.repository
    info = HfApi(endpoint=access.endpoint, token=access.token or False).model_info(
        repository.repo_id, revision=repository.asked_revision, files_metadata=True, timeout=10
    )
    prefixes = tuple(f"{part}/" for part in wanted.parts)
    sizes = {
        file.rfilename: file.size or 0
        for file in info.siblings or []
        if file.rfilename == wanted.file
        or (file.rfilename.startswith(prefixes) and file.rfilename.endswith(_KEPT_SUFFIXES))
    }
    if wanted.file not in sizes and wanted.file != _INDEX_NAME:
        raise BadModel(
            f"{repository} on the hub has no file {wanted.file}.",
            f"https://huggingface.co/{repository.repo_id} lists its files.",
            code="file_not_on_hub",
            field=_FIELD,
            params={"repo_id": repository.repo_id, "file": wanted.file},
        )
    if wanted.file not in sizes:
        raise BadModel(
            f"{repository} on the hub is no model in Diffusers layout: it has no {_INDEX_NAME}.",
            "Give the repository of the whole model, or download the file and give its path.",
            code="model_of_another_kind",
            field=_FIELD,
        )
    assert info.sha is not None
    return info.sha, sizes


def _named(wanted: _Wanted) -> str:
    is_model = wanted.file == _INDEX_NAME
    return str(wanted.repository) if is_model else f"{wanted.file} of {wanted.repository}"


def _not_cached(repository: HubRepository, sizes: dict[str, int]) -> dict[str, int]:
    snapshot = cached_snapshot(repository)
    return {
        name: size
        for name, size in sizes.items()
        if snapshot is None or not (snapshot / name).exists()
    }


def _refuse_full_disk(repository: HubRepository, num_bytes: int, cache: Path) -> None:
    free = _free_bytes(cache)
    if num_bytes > free:
        raise DiskFull.from_problems([_disk_too_small(repository, num_bytes, free, cache)])


def _free_bytes(cache: Path) -> int:
    there = next(path for path in (cache, *cache.parents) if path.exists())
    return shutil.disk_usage(there).free


def _disk_too_small(
    repository: HubRepository, num_bytes: int, free_bytes: int, cache: Path
) -> Problem:
    return Problem(
        "model_disk_too_small",
        f"{repository} needs {num_bytes / 1e9:.1f} GB more, and {cache} has {free_bytes / 1e9:.1f} "
        "GB free.",
        "Free space there, or set HF_HOME to a folder on a larger disk.",
        _FIELD,
        params={"bytes": num_bytes, "free_bytes": free_bytes},
    )


def _needs_token(repository: HubRepository) -> Problem:
    return problem_of_failure(repository.repo_id, None, is_offline=False, has_token=False)


def _raise_named(repository: HubRepository, access: HubAccess, error: Exception) -> None:
    """Raises the error itself if it has a name already, or is the disk's; else BadModel."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    is_disks = isinstance(error, OSError) and error.errno is not None
    is_hubs = isinstance(error, HfHubHTTPError | LocalEntryNotFoundError)
    if isinstance(error, BadModel | DiskFull) or (is_disks and not is_hubs):
        raise error
    has_token = access.token is not None
    problem = problem_of_failure(repository.repo_id, error, is_offline=False, has_token=has_token)
    raise BadModel.from_problems([problem]) from error
