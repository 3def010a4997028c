"""The server, its database and the queue worker. Torch-free: of the trainer, only its contract."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("darkroom")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0.1.0"
