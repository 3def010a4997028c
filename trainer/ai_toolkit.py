"""A job file of AI Toolkit as a job of ours, with an account of every key.

    imported = from_ai_toolkit(yaml.safe_load(text))
    imported.config       what it says in our settings; what it leaves open is left out
    imported.carried      their key, our setting, the value
    imported.left_out     their key, its value, the reason; `matters` if the training is another

Nothing is dropped in silence: each leaf of the file ends in one of the two lists. What our schema
refuses is left out with the schema's own words. Values that mean another thing here carry a note.
The tables are in `ai_toolkit_table.py`. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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
from trainer.errors import JobRefused
from trainer.job_file import parse_job
from trainer.presets import with_settings

# What it calls a training of a LoRA, in the order of its versions.
TRAININGS = ("sd_trainer", "ui_trainer", "diffusion_trainer")
_UNKNOWN = "No setting here does this."
_CONTROL_PATH = re.compile(r"^datasets\.(\d+)\.control_path(?:_?(\d+))?$")
_CONTROL_IMAGE = re.compile(r"^sample\.samples\.(\d+)\.ctrl_img(?:_?(\d+))?$")


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
    """config: by panel, as far as the file says. The lists are in the file's order."""

    config: dict[str, Any] = field(default_factory=dict)
    carried: list[CarriedKey] = field(default_factory=list)
    left_out: list[LeftOutKey] = field(default_factory=list)

    def carry(self, theirs: str, ours: str, value: Any, note: str = "") -> None:
        self.config = _with_value(self.config, ours, value)
        self.carried.append(CarriedKey(theirs, ours, value, note))

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
    for other in processes:
        if other is not process:
            found.leave_out("process", other.get("type"), "A job here is one training.")
    leaves = dict(_leaves(_with_samples(process), ""))
    leaves.pop("type")
    _take_device(found, leaves)
    _take_model(found, leaves)
    _take_quantization(found, leaves)
    _take_controls(found, leaves)
    draws_nothing = leaves.pop("train.disable_sampling", None)
    is_lokr = str(process.get("network", {}).get("type")).lower() == "lokr"
    table = CARRIED | (CARRIED_OF_LOKR if is_lokr else {})
    for theirs, value in leaves.items():
        _take(found, theirs, value, table)
    if draws_nothing is False:
        reason = "Pictures are drawn of the prompts there are."
        found.leave_out("train.disable_sampling", draws_nothing, reason, matters=False)
    elif draws_nothing:
        found.carry(
            "train.disable_sampling", "sample.prompts", [], "Without prompts none is drawn."
        )
    _settle(found)
    _leave_out_what_is_refused(found)
    return found


def _with_samples(process: Mapping[str, Any]) -> dict[str, Any]:
    """The process with `prompts` as `samples`, and the options within prompts spelt out."""
    sample = process.get("sample")
    if not isinstance(sample, Mapping):
        return dict(process)
    sample = dict(sample)
    prompts, samples = sample.pop("prompts", None), sample.pop("samples", None)
    given = samples or [{"prompt": prompt} for prompt in prompts or []]
    if not given:
        return {**process, "sample": sample}
    sample["samples"] = [_spelt_out(one if isinstance(one, Mapping) else {}) for one in given]
    return {**process, "sample": sample}


def _spelt_out(sample: Mapping[str, Any]) -> dict[str, Any]:
    """`a house --w 512 --d 7` as prompt, width and seed. Others stay in the prompt."""
    text, *options = re.split(r"\s--(?=[a-z_]+\s)", f" {sample.get('prompt') or ''}")
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
    return {**sample, "prompt": text.strip(), **spelt}


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value with its path; lists of mappings are gone into, other lists are values."""
    if isinstance(node, Mapping) and (node or not path):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and node and all(isinstance(one, Mapping) for one in node):
        for place, value in enumerate(node):
            yield from _leaves(value, f"{path}.{place}")
    else:
        yield path, node


def _take_name(found: Imported, name: Any) -> None:
    wanted = slug(name or "")
    if not wanted:
        found.leave_out("name", name, "It has no letter that a folder's name may have.")
        return
    note = "" if wanted == name else "Other letters than A-Z, 0-9, _ and - cannot be in it."
    found.carry("name", "job.training_name", wanted, note)


def _take_device(found: Imported, leaves: dict[str, Any]) -> None:
    device = leaves.pop("device", None)
    if device is None:
        return
    if device == "cpu":
        found.carry("device", "job.gpu", "cpu")
    else:
        note = "" if device == "cuda" else "Cards are chosen by their UUID here, in the form."
        found.carry("device", "job.gpu", "any", note)


def _take_model(found: Imported, leaves: dict[str, Any]) -> None:
    """The architecture from the name on the hub where it has one, else from `arch`."""
    name, arch = leaves.pop("model.name_or_path", None), leaves.pop("model.arch", None)
    of_name = HUB_IDS.get(str(name).lower().removeprefix("./"))
    of_arch = ARCHITECTURES.get(str(arch).lower())
    architecture = of_name or of_arch
    if name is None and arch is None:
        return
    if architecture is None:
        reason = "It is no FLUX.2 that is known here: choose Model Architecture (Model)."
        for theirs, value in (("model.arch", arch), ("model.name_or_path", name)):
            if value:
                found.leave_out(theirs, value, reason)
        return
    source = "model.arch" if of_arch is not None else "model.name_or_path"
    found.carry(source, "model.model_architecture", architecture.value)
    if of_arch is None and arch is not None:
        found.leave_out("model.arch", arch, "The name says which model it is.", matters=False)
    if name and of_name is None:
        found.carry("model.name_or_path", "model.name_or_path", name)
    elif name and of_arch is not None:
        found.carry("model.name_or_path", "model.name_or_path", "", "The architecture's own.")


def _take_quantization(found: Imported, leaves: dict[str, Any]) -> None:
    for switch, kind, ours in (
        ("model.quantize", "model.qtype", "quantization.transformer"),
        ("model.quantize_te", "model.qtype_te", "quantization.text_encoder"),
    ):
        is_on, qtype = leaves.pop(switch, None), leaves.pop(kind, None)
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
            value = leaves.pop(theirs)
            given = value if isinstance(value, list) else [value]
            number = int(match[2] or 0)
            by_place.setdefault(match[1], []).extend((number, theirs, one) for one in given if one)
        for place, named in by_place.items():
            if named:
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
        except (TypeError, ValueError):
            found.leave_out(theirs, value, "It is not the kind of value that belongs there.")
    elif pattern in LEFT_OUT:
        known = LEFT_OUT[pattern]
        found.leave_out(theirs, value, known.reason, matters=known.matters(value))
    else:
        found.leave_out(theirs, value, _UNKNOWN, matters=value not in (None, False, "", [], {}))


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
    """Take out, one after the other, what the schema does not admit; blank names may stay."""
    for _ in range(len(found.carried)):
        named = with_settings(
            found.config,
            {"job.training_name": "x", "datasets.*.target_dataset": "x"},
        )
        try:
            parse_job(named)
            return
        except JobRefused as refusal:
            problem = refusal.problems[0]
        culprit = next(
            (key for key in reversed(found.carried) if _is_within(problem.field, key.ours)), None
        )
        if culprit is None:
            return  # the form shows it at its field
        found.carried.remove(culprit)
        found.config = without(found.config, culprit.ours.split("."))
        found.leave_out(culprit.theirs, culprit.value, f"{problem.message} {problem.hint}".strip())


def _is_within(problem_field: str | None, ours: str) -> bool:
    return problem_field == ours or str(problem_field).startswith(f"{ours}.")


def _with_value(node: Any, path: str, value: Any) -> Any:
    """A copy with the value at a path; entries of lists are made as they are named."""
    key, _, rest = path.partition(".")
    if key.isdigit():
        entries = list(node or [])
        entries += [{} for _ in range(int(key) + 1 - len(entries))]
        entries[int(key)] = _with_value(entries[int(key)], rest, value) if rest else value
        return entries
    inner = (node or {}).get(key)
    return {**(node or {}), key: _with_value(inner, rest, value) if rest else value}


def without(node: Any, path: list[str]) -> Any:
    """A copy of a config without what the path leads to; indices of lists are words of it too."""
    key, *rest = path
    if isinstance(node, list):
        return [without(one, rest) if str(i) == key else one for i, one in enumerate(node)]
    if not rest:
        return {name: value for name, value in node.items() if name != key}
    return {**node, key: without(node[key], rest)}
