"""What the environment and `.env` say. The only module of the backend that reads either.

Variables are `DARKROOM_` and the field's name in capitals; `HF_TOKEN` keeps the name that
everybody knows. A variable that is set to nothing counts as not set.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.errors import BadSettings
from trainer.folders import PROJECT_FOLDER, Folders

HookEvent = Literal["finished", "failed", "stalled", "checkpoint", "sample"]
SECRET_VARIABLES = frozenset(
    {
        "DARKROOM_TOKEN",
        "HF_TOKEN",
        "DARKROOM_HOOK_URL",
        "DARKROOM_HOOK_SECRET",
        "DARKROOM_HOOK_COMMAND",  # its words may hold one
    }
)
_WEB_ADDRESS = re.compile(r"^https?://[^/\s]+(/\S*)?$", re.IGNORECASE)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(_WEB_ADDRESS.match(text) and parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number; its words may be of the secret
        return False


def _user_cache(name: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "darkroom" / name


class Settings(BaseSettings):
    """Addresses, folders, secrets and patience of one installation."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_",
        env_file=PROJECT_FOLDER / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    token: SecretStr | None = None
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()

    database_url: str = f"sqlite:///{PROJECT_FOLDER / 'darkroom.db'}"
    datasets_dir: Path = PROJECT_FOLDER / "datasets"
    output_dir: Path = PROJECT_FOLDER / "output"
    cache_dir: Path = Field(default_factory=lambda: _user_cache("cache"))
    models_dir: Path = Field(default_factory=lambda: _user_cache("models"))
    pages_dir: Path = PROJECT_FOLDER / "frontend" / "dist"
    hf_token: SecretStr | None = Field(default=None, validation_alias="HF_TOKEN")

    trainer_command: Annotated[tuple[str, ...], NoDecode] = (sys.executable, "-m", "trainer")
    vram_cap_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    worker_poll_seconds: float = Field(default=0.25, gt=0, le=10)
    stop_patience_seconds: float = Field(default=60, gt=0)
    kill_patience_seconds: float = Field(default=15, gt=0)
    stall_seconds: float = Field(default=120, gt=0)
    low_disk_gib: float = Field(default=5, ge=0)

    hook_url: SecretStr | None = None  # addresses of chat services hold their token
    hook_secret: SecretStr | None = None
    hook_command: Annotated[tuple[str, ...], NoDecode] = ()
    hook_events: Annotated[tuple[HookEvent, ...], NoDecode] = ("finished", "failed", "stalled")
    hook_timeout_seconds: float = Field(default=10, gt=0, le=300)
    hook_retry_seconds: float = Field(default=5, gt=0, le=3600)

    trash_days: int = Field(default=30, ge=0, le=36_500)

    @field_validator("datasets_dir", "output_dir", "cache_dir", "models_dir", "pages_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("allowed_hosts", "hook_events", mode="before")
    @classmethod
    def _split_by_comma(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name.strip().lower() for name in value.split(",") if name.strip())
        return value

    @field_validator("trainer_command", "hook_command", mode="before")
    @classmethod
    def _split_like_a_shell(cls, value: Any) -> Any:
        return tuple(shlex.split(value)) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _sqlite_file(cls, url: str) -> str:
        if not url.startswith("sqlite:///") or url in ("sqlite:///", "sqlite:///:memory:"):
            raise ValueError("give a file as sqlite:////absolute/path/darkroom.db")
        return url

    @field_validator("hook_url")
    @classmethod
    def _web_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_web_address(url.get_secret_value()):
            raise ValueError("give an address as https://example.org/path")
        return url

    @model_validator(mode="after")
    def _token_off_loopback(self) -> Settings:
        if not self.is_loopback and self.token is None:
            raise ValueError(
                f"DARKROOM_HOST={self.host} is reachable from other machines, so DARKROOM_TOKEN "
                "must be set: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def folders(self) -> Folders:
        """The roots as the trainer's contract takes them."""
        return Folders(datasets=self.datasets_dir, models=self.models_dir, cache=self.cache_dir)

    @property
    def database_file(self) -> Path:
        """The SQLite file of `database_url`."""
        return Path(self.database_url.removeprefix("sqlite:///")).absolute()

    def public_environment(self) -> dict[str, str]:
        """This process's environment without our secrets, for programs that it starts."""
        return {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}

    def trainer_environment(self, device: str) -> dict[str, str]:
        """Environment for a trainer that may use `device`, and nothing that it need not know."""
        environment = self.public_environment()
        environment["CUDA_VISIBLE_DEVICES"] = "" if device == "cpu" else device
        environment["PYTHONUNBUFFERED"] = "1"
        if self.vram_cap_gb is not None:
            environment["DARKROOM_VRAM_CAP_GB"] = f"{self.vram_cap_gb:g}"
        if self.hf_token is not None:
            environment["HF_TOKEN"] = self.hf_token.get_secret_value()
        return environment


def read_settings() -> Settings:
    """Settings of this process. Raises BadSettings naming the variable, its value and the cure."""
    try:
        return Settings()
    except ValidationError as error:
        raise BadSettings("\n".join(_sentence(details) for details in error.errors())) from None


def _sentence(details: Any) -> str:
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return message
    name = str(details["loc"][0])
    variable = name if name == "HF_TOKEN" else f"DARKROOM_{name.upper()}"
    secret = variable in SECRET_VARIABLES
    value = "" if secret else f"={details['input']}"
    return f"{variable}{value}: {message}."


def host_name() -> str:
    """This machine's name, as runs and workers record it."""
    return socket.gethostname()
