"""A job file of AI Toolkit as a job of ours, with an account of every key.

    imported = from_ai_toolkit(yaml.safe_load(text))
    imported.config       what it says in our settings; what it leaves open is left out
    imported.carried      their key, our setting, the value
    imported.left_out     their key, its value, the reason; `matters` if the training is another

Nothing is dropped in silence: each leaf of the file ends in one of the two lists. What our schema
refuses is left out with the schema's own words. Values that mean another thing here carry a note.
A file may hold anything at any place: what is not of the kind that belongs there is left out too.
The tables are in `ai_toolkit_table.py`. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from trainer.ai_toolkit_table import (
    ARCHITECTURES,
    CARRIED,
    CARRIED_OF_LOKR,
    HUB_IDS,
    LEFT_OUT,
    PROMPT_OPTION_TYPES,
    PROMPT_OPTIONS,
    QUANTIZATIONS,
    NotCarried,
    folder_name,
    slug,
)
from trainer.config_paths import put, take_out
from trainer.errors import JobRefused
from trainer.job_file import parse_job
from trainer.presets import with_settings

# What it calls a training of a LoRA, in the order of its versions.
TRAININGS = ("sd_trainer", "ui_trainer", "diffusion_trainer")
_UNKNOWN = "No setting here does this."
_WRONG_KIND = "It is not the kind of value that belongs there."
_BLANK = (None, "", [], {})
# Keys that a path may hold as they are; others could be taken for a place in a list, or for two.
_PLAIN_KEY = re.compile(r"[A-Za-z_][^.\[\]]*")
_OF_SAMPLE = re.compile(r"^sample\.samples\.\d+\.")
_CONTROL_PATH = re.compile(r"^datasets\.(\d+)\.control_path(?:_?(\d{1,4}))?$")
_CONTROL_IMAGE = re.compile(r"^sample\.samples\.(\d+)\.ctrl_img(?:_?(\d{1,4}))?$")


@dataclass(frozen=True)
class CarriedKey:
    """A value that was carried over."""

    theirs: str
    ours: str
    value: Any
    note: str = ""


@dataclass(frozen=True)
class LeftOutKey:
    """A value that was not. matters: the training, or what is seen of it, is another without."""

    theirs: str
    value: Any
    reason: str
    matters: bool


@dataclass
class Imported:
    """config: by panel, as far as the file says. by_setting: what was carried, by our path."""

    config: dict[str, Any] = field(default_factory=dict)
    by_setting: dict[str, CarriedKey] = field(default_factory=dict)
    left_out: list[LeftOutKey] = field(default_factory=list)

    @property
    def carried(self) -> list[CarriedKey]:
        """What was carried over, in the order in which it was."""
        return list(self.by_setting.values())

    def carry(self, theirs: str, ours: str, value: Any, note: str = "") -> None:
        """Of two keys for one setting the later counts."""
        before = self.by_setting.pop(ours, None)
        if before is not None:
            reason = f"{theirs} takes its place."
            self.leave_out(before.theirs, before.value, reason, matters=before.value != value)
        put(self.config, ours, value)
        self.by_setting[ours] = CarriedKey(theirs, ours, value, note)

    def take_back(self, ours: str, reason: str) -> None:
        """Leave out after all what was carried to this path."""
        key = self.by_setting.pop(ours)
        take_out(self.config, ours)
        self.leave_out(key.theirs, key.value, reason)

    def leave_out(self, theirs: str, value: Any, reason: str, *, matters: bool = True) -> None:
        self.left_out.append(LeftOutKey(theirs, value, reason, matters))


def is_ai_toolkit(data: Mapping[str, Any]) -> bool:
    """Whether a file is one of its jobs: `config` with a list `process`."""
    config = data.get("config")
    return isinstance(config, Mapping) and isinstance(config.get("process"), list)


def from_ai_toolkit(data: Mapping[str, Any]) -> Imported:
    """The job that the file's first process trains. Raises JobRefused if it trains no LoRA."""
    config = data["config"]
    processes = [one for one in config["process"] if isinstance(one, Mapping)]
    process = next((one for one in processes if one.get("type") in TRAININGS), None)
    if process is None:
        named = ", ".join(str(one.get("type")) for one in processes) or "nothing"
        raise JobRefused(
            f"The file's processes do not train a LoRA: {named}.",
            f"Import a job whose process is one of {', '.join(TRAININGS)}.",
            code="no_training_in_file",
            params={"types": named},
        )
    found = Imported()
    _take_name(found, config.get("name"))
    _leave_out_what_is_around(found, data, process)
    leaves = dict(_leaves(process, ""))
    leaves.pop("type")
    _spell_out_prompts(leaves)
    _take_drawing(found, leaves)
    _take_device(found, leaves)
    _take_model(found, leaves)
    _take_quantization(found, leaves)
    _take_controls(found, leaves)
    is_lokr = str(leaves.get("network.type")).lower() == "lokr"
    table = CARRIED | (CARRIED_OF_LOKR if is_lokr else {})
    for theirs, value in leaves.items():
        _take(found, theirs, value, table)
    _settle(found)
    _leave_out_what_is_refused(found)
    return found


def _leave_out_what_is_around(
    found: Imported, data: Mapping[str, Any], process: Mapping[str, Any]
) -> None:
    """The other processes, and what stands beside them. `job`, `meta` say what file it is."""
    for other in data["config"]["process"]:
        if other is not process:
            kind = other.get("type") if isinstance(other, Mapping) else other
            found.leave_out("process", kind, "A job here is one training.")
    config = {key: value for key, value in data["config"].items() if key not in ("name", "process")}
    others = {key: value for key, value in data.items() if key not in ("job", "meta", "config")}
    beside = _leaves({**others, "config": config} if config else others, "")
    for theirs, value in beside:
        found.leave_out(theirs, value, _UNKNOWN, matters=value not in (False, *_BLANK))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value with its path; lists of mappings are gone into, other lists are values."""
    if isinstance(node, Mapping) and (node or not path):
        for key, value in node.items():
            named = key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else f"[{key!r}]"
            yield from _leaves(value, f"{path}.{named}" if path else named)
    elif _is_list_of(node, Mapping):
        for place, value in enumerate(node):
            yield from _leaves(value, f"{path}.{place}")
    else:
        yield path, node


def _is_list_of(value: Any, kind: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value) and all(isinstance(one, kind) for one in value)


def _spell_out_prompts(leaves: dict[str, Any]) -> None:
    """`prompts` as `samples` where there are none, and the options within each spelt out."""
    prompts = leaves.get("sample.prompts")
    if not any(_OF_SAMPLE.match(key) for key in leaves) and _is_list_of(prompts, str | int | float):
        del leaves["sample.prompts"]
        leaves |= {f"sample.samples.{i}.prompt": prompt for i, prompt in enumerate(prompts)}
    samples = dict.fromkeys(match[0] for key in leaves if (match := _OF_SAMPLE.match(key)))
    for sample in samples:
        prompt = leaves.get(f"{sample}prompt")
        if isinstance(prompt, str | int | float | None):
            spelt = _spelt_out(str(prompt or ""))
            leaves |= {f"{sample}{key}": value for key, value in spelt.items()}


def _spelt_out(prompt: str) -> dict[str, Any]:
    """`a house --w 512 --d 7` as prompt, width and seed. Others stay in the prompt."""
    text, *options = re.split(r"\s--(?=[a-z_]+\s)", f" {prompt}")
    spelt: dict[str, Any] = {}
    for option in options:
        name, _, value = option.partition(" ")
        key = PROMPT_OPTIONS.get(name)
        try:
            if key is None:
                raise ValueError(name)
            spelt[key] = PROMPT_OPTION_TYPES.get(key, str)(value.strip())
        except ValueError:
            text = f"{text} --{option}"
    return {"prompt": text.strip(), **spelt}


def _take_name(found: Imported, name: Any) -> None:
    wanted = slug(name or "")
    if not wanted:
        found.leave_out("name", name, "It has no letter that a folder's name may have.")
        return
    note = "" if wanted == name else "Other letters than A-Z, 0-9, _ and - cannot be in it."
    found.carry("name", "job.training_name", wanted, note)


def _pop(found: Imported, leaves: dict[str, Any], theirs: str) -> Any:
    """The value of a key, out of the leaves; None where there is none or it is blank."""
    if theirs not in leaves:
        return None
    value = leaves.pop(theirs)
    if value in _BLANK:
        found.leave_out(theirs, value, "It is blank.", matters=False)
        return None
    return value


def _take_drawing(found: Imported, leaves: dict[str, Any]) -> None:
    """Whether pictures are drawn at all: without prompts none is."""
    theirs = "train.disable_sampling"
    draws_nothing = _pop(found, leaves, theirs)
    if draws_nothing is None:
        return
    if not draws_nothing:
        reason = "Pictures are drawn of the prompts there are."
        found.leave_out(theirs, draws_nothing, reason, matters=False)
        return
    found.carry(theirs, "sample.prompts", [], "Without prompts none is drawn.")
    for prompt in [key for key in leaves if key.startswith("sample.samples.")]:
        reason = f"{theirs} is on, and without prompts no picture is drawn."
        found.leave_out(prompt, leaves.pop(prompt), reason, matters=False)


def _take_device(found: Imported, leaves: dict[str, Any]) -> None:
    device = _pop(found, leaves, "device")
    if device is None:
        return
    if device == "cpu":
        found.carry("device", "job.gpu", "cpu")
    else:
        note = "" if device == "cuda" else "Cards are chosen by their UUID here, in the form."
        found.carry("device", "job.gpu", "any", note)


def _take_model(found: Imported, leaves: dict[str, Any]) -> None:
    """The architecture from the name on the hub where it has one, else from `arch`."""
    name, arch = (_pop(found, leaves, f"model.{key}") for key in ("name_or_path", "arch"))
    of_name = HUB_IDS.get(str(name).lower().removeprefix("./"))
    of_arch = ARCHITECTURES.get(str(arch).lower())
    architecture = of_name or of_arch
    if name is None and arch is None:
        return
    if architecture is None:
        reason = "It is no FLUX.2 that is known here: choose Model Architecture (Model)."
        for theirs, value in (("model.arch", arch), ("model.name_or_path", name)):
            if value is not None:
                found.leave_out(theirs, value, reason)
        return
    source = "model.arch" if of_arch is not None else "model.name_or_path"
    found.carry(source, "model.model_architecture", architecture.value)
    if of_arch is None and arch is not None:
        found.leave_out("model.arch", arch, "The name says which model it is.", matters=False)
    if name is not None and of_name is None:
        found.carry("model.name_or_path", "model.name_or_path", name)
    elif name is not None and of_arch is not None:
        found.carry("model.name_or_path", "model.name_or_path", "", "The architecture's own.")


def _take_quantization(found: Imported, leaves: dict[str, Any]) -> None:
    for switch, kind, ours in (
        ("model.quantize", "model.qtype", "quantization.transformer"),
        ("model.quantize_te", "model.qtype_te", "quantization.text_encoder"),
    ):
        is_on, qtype = _pop(found, leaves, switch), _pop(found, leaves, kind)
        if is_on is None and qtype is None:
            continue
        if not is_on:
            found.carry(switch, ours, "none")
            if qtype is not None:
                found.leave_out(kind, qtype, "Nothing is quantized.", matters=False)
            continue
        named = switch if qtype is None else f"{switch}, {kind}"
        wanted = "qfloat8" if qtype is None else str(qtype).lower()
        if wanted in QUANTIZATIONS:
            found.carry(named, ours, QUANTIZATIONS[wanted])
        else:
            reason = "There is no such kind here: choose one in Quantization."
            found.leave_out(named, qtype, reason)


def _take_controls(found: Imported, leaves: dict[str, Any]) -> None:
    """Control folders and pictures in the order of their numbers."""
    for pattern, ours, convert, note in (
        (
            _CONTROL_PATH,
            "datasets.{}.control_datasets",
            folder_name,
            "Put them into the datasets folder.",
        ),
        (_CONTROL_IMAGE, "sample.prompts.{}.control_images", str, ""),
    ):
        by_place: dict[str, list[tuple[int, str, Any]]] = {}
        for theirs in list(leaves):
            match = pattern.match(theirs)
            if match is None:
                continue
            value = _pop(found, leaves, theirs)
            if value is None:
                continue
            given = [one for one in (value if isinstance(value, list) else [value]) if one]
            if not _is_list_of(given, str):
                found.leave_out(theirs, value, _WRONG_KIND)
                continue
            number = int(match[2] or 0)
            by_place.setdefault(match[1], []).extend((number, theirs, one) for one in given)
        for place, named in by_place.items():
            ordered = sorted(named, key=lambda one: one[0])
            values = [convert(value) for _, _, value in ordered]
            theirs = ", ".join(dict.fromkeys(path for _, path, _ in ordered))
            found.carry(theirs, ours.format(place), values, note)


def _take(found: Imported, theirs: str, value: Any, table: Mapping[str, Any]) -> None:
    pattern = re.sub(r"\.\d+(?=\.|$)", ".*", theirs)
    if pattern in table:
        rule = table[pattern]
        places = iter(re.findall(r"\.(\d+)(?=\.|$)", theirs))
        ours = re.sub(r"\*", lambda _: next(places), rule.ours)
        if value is None:
            found.leave_out(theirs, value, "It is blank.", matters=False)
            return
        try:
            found.carry(theirs, ours, rule.convert(value), rule.note)
        except NotCarried as reason:
            found.leave_out(theirs, value, str(reason))
        except (TypeError, ValueError, OverflowError):
            found.leave_out(theirs, value, _WRONG_KIND)
    elif pattern in LEFT_OUT:
        known = LEFT_OUT[pattern]
        found.leave_out(theirs, value, known.reason, matters=known.matters(value))
    else:
        is_panel = any(key.startswith(f"{pattern}.") for key in table)
        reason = _WRONG_KIND if is_panel and value not in _BLANK else _UNKNOWN
        found.leave_out(theirs, value, reason, matters=value not in (False, *_BLANK))


def _settle(found: Imported) -> None:
    """What only makes sense together."""
    training = found.config.get("training", {})
    if training.get("unload_te") and training.get("cache_text_embeddings", True):
        note = "Unload TE excludes it."
        found.carry("train.unload_text_encoder", "training.cache_text_embeddings", False, note)
    if training.get("warmup_steps") and training.get("lr_schedule", "constant") == "constant":
        note = "So that its warm-up steps have an effect."
        found.carry("train.lr_scheduler", "training.lr_schedule", "constant_with_warmup", note)
    if not found.config.get("datasets"):
        found.config["datasets"] = [{"target_dataset": ""}]


def _leave_out_what_is_refused(found: Imported) -> None:
    """Take out, until nothing is refused, what the schema does not admit; blank names may stay."""
    while found.by_setting:
        named = with_settings(
            found.config,
            {"job.training_name": "x", "datasets.*.target_dataset": "x"},
        )
        try:
            parse_job(named)
            return
        except JobRefused as refusal:
            refused = {
                ours: f"{problem.message} {problem.hint}".strip()
                for problem in refusal.problems
                for ours in _around(problem.field or "")
                if ours in found.by_setting
            }
        if not refused:
            return  # the form shows it at its field
        for ours, reason in refused.items():
            found.take_back(ours, reason)


def _around(path: str) -> Iterator[str]:
    """A path and those that it lies within."""
    while path:
        yield path
        path = path.rpartition(".")[0]
