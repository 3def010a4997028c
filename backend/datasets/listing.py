"""The datasets folder, as the trainer's own index sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from backend.datasets.schemas import DatasetEntry
from backend.errors import NotFound
from backend.files import existing_file
from backend.jobs.examine import problem_entries
from trainer.dataset_index import DatasetItem, scan_dataset
from trainer.file_memory import FileMemory
from trainer.pictures import PICTURE_SUFFIXES

NUM_PREVIEWS = 4
PREVIEW_SIDE_PX = 256  # twice the page's 128, for screens with small pixels
CAPTION_EXTENSION = "txt"  # what Caption Extension is unless a job says otherwise


def list_datasets(root: Path, memory: FileMemory) -> list[DatasetEntry]:
    """One entry for each folder, by name; hidden ones are left out.

    memory: of pictures that were read before; what is read now is added and saved.
    """
    if not root.is_dir():
        return []
    folders = [entry for entry in root.iterdir() if entry.is_dir()]
    shown = [folder for folder in folders if not folder.name.startswith(".")]
    entries = [_entry(folder, memory) for folder in sorted(shown, key=lambda folder: folder.name)]
    memory.save()
    return entries


def picture_file(root: Path, name: str, file: str) -> Path:
    """One picture of a dataset. Raises NotFound for anything else in its folder."""
    if Path(file).suffix.lower() not in PICTURE_SUFFIXES:
        raise NotFound("no_such_picture", f"{file!r} is no picture.", "Its dataset lists them.")
    return existing_file(root, f"{name}/{file}")


def _entry(folder: Path, memory: FileMemory) -> DatasetEntry:
    index = scan_dataset(
        folder, caption_extension=CAPTION_EXTENSION, default_caption="", memory=memory
    )
    return DatasetEntry(
        name=folder.name,
        num_pictures=len(index.items),
        num_captioned=sum(item.has_own_caption for item in index.items),
        problems=problem_entries(index.problems),
        preview_urls=[picture_url(folder.name, item) for item in _spread(index.items)],
        size_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
    )


def _spread(items: Sequence[DatasetItem]) -> list[DatasetItem]:
    """A few pictures from all over the folder, not just the first ones."""
    count = min(NUM_PREVIEWS, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def picture_url(dataset: str, item: DatasetItem) -> str:
    """Of the picture scaled down; without the query, of the picture itself."""
    return f"/api/datasets/{quote(dataset)}/pictures/{quote(item.name)}?side={PREVIEW_SIDE_PX}"
