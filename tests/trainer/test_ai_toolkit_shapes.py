"""Job files of AI Toolkit with the wrong thing at any place: answered, and every leaf listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.ai_toolkit import Imported, from_ai_toolkit
from trainer.ai_toolkit_table import CARRIED, CARRIED_OF_LOKR, LEFT_OUT

ODD_KEYS = ["5", "999999999", "a.b", "0.folder_path", "", "[x]", "²", "samples", "type"]
SPECIAL_KEYS = {
    "datasets": ["control_path", "control_path_1", f"control_path_{'1' * 5000}"],
    "sample": ["prompts", "samples"],
    "samples": ["ctrl_img", "ctrl_img_2"],
    "train": ["disable_sampling"],
    "model": ["name_or_path", "arch", "quantize", "qtype", "quantize_te", "qtype_te"],
    "": ["device", "network", "save", "datasets", "train", "model", "sample"],
}
WORDS = ["lora", "LoKr", "cpu", "flux2", "qfloat8", "bf16", "nan", "1e400", "a --w 64 --m inf"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ODD_KEYS), inner, max_size=2)
    ),
    max_leaves=5,
)


def keys_within(panel: str) -> list[str]:
    """The keys that the tables and the translation know in a panel, and some that nobody does."""
    prefix = {"datasets": "datasets.*.", "samples": "sample.samples.*.", "": ""}
    begin = prefix.get(panel, f"{panel}.")
    known = [key.removeprefix(begin) for key in CARRIED | CARRIED_OF_LOKR | LEFT_OUT]
    plain = [key for key in known if "." not in key and "*" not in key]
    return plain + SPECIAL_KEYS.get(panel, []) + ODD_KEYS


def mappings(panel: str, inner: st.SearchStrategy[Any] = values) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(keys_within(panel)), inner, max_size=6)


samples = st.fixed_dictionaries(
    {},
    optional={
        "prompts": st.lists(st.sampled_from(WORDS), max_size=3) | values,
        "samples": st.lists(mappings("samples"), max_size=3) | values,
        "width": values,
    },
)
processes = st.fixed_dictionaries(
    {"type": st.just("sd_trainer")},
    optional={
        "network": mappings("network") | values,
        "save": mappings("save") | values,
        "datasets": st.lists(mappings("datasets"), max_size=3) | values,
        "train": mappings("train") | values,
        "model": mappings("model") | values,
        "sample": samples | values,
        "device": values,
        "5": values,
        "sample.prompts": values,
    },
)


@given(process=processes, name=values, beside=mappings("", scalars))
def test_any_tree_is_answered_and_each_of_its_leaves_is_listed(
    process: dict[str, Any], name: Any, beside: dict[str, Any]
) -> None:
    config = {**beside, "name": name, "process": [process]}
    found = from_ai_toolkit({"config": config})
    listed = names_in(found)
    drawn = any(name.startswith("sample.samples.") for name in listed)
    for leaf in {*leaves_of(process)} - {"type"}:
        assert leaf in listed or (leaf == "sample.prompts" and drawn)
    assert {f"config.{leaf}" for leaf in leaves_of(beside) if leaf != "name"} <= listed
    json.dumps(found.config, allow_nan=False)
    given_datasets = process.get("datasets")
    most = len(given_datasets) if isinstance(given_datasets, list) else 0
    assert len(found.config["datasets"]) <= max(most, 1)


def names_in(found: Imported) -> set[str]:
    """Their keys in both lists, each by itself."""
    return {key for one in [*found.carried, *found.left_out] for key in one.theirs.split(", ")}


def leaves_of(node: Any, path: str = "") -> Iterator[str]:
    """The path of every leaf; a key that is no name of its own stands in brackets."""
    if isinstance(node, dict) and node:
        for key, inner in node.items():
            named = key if key.isidentifier() and key.isascii() else f"[{key!r}]"
            yield from leaves_of(inner, f"{path}.{named}".lstrip("."))
    elif isinstance(node, list) and node and all(isinstance(one, dict) for one in node):
        for place, inner in enumerate(node):
            yield from leaves_of(inner, f"{path}.{place}")
    elif path:
        yield path


def process_with(**panels: Any) -> Imported:
    return from_ai_toolkit({"config": {"name": "x", "process": [{"type": "sd_trainer", **panels}]}})


def left_out(found: Imported) -> dict[str, tuple[str, bool]]:
    return {one.theirs: (one.reason, one.matters) for one in found.left_out}


@pytest.mark.parametrize("path", ["datasets", "sample.samples"])
def test_a_key_that_looks_like_a_place_in_a_list_makes_no_list(path: str) -> None:
    panel: dict[Any, Any] = {999_999_999: {"folder_path": "x", "prompt": "y"}}
    panels = {"datasets": panel} if path == "datasets" else {"sample": {"samples": panel}}
    found = process_with(**panels)
    assert f"{path}.[999999999].folder_path" in left_out(found)
    assert found.config["datasets"] == [{"target_dataset": ""}]
    assert "sample" not in found.config


@pytest.mark.parametrize("network", [None, [], "lokr", ["lokr"], 5])
def test_a_panel_of_the_wrong_kind_is_left_out_by_its_name(network: Any) -> None:
    found = process_with(network=network)
    reason, matters = left_out(found)["network"]
    assert matters is bool(network)
    assert ("kind of value" in reason) is bool(network)
    assert "target" not in found.config


@pytest.mark.parametrize("prompts", ["a cat", 5, [["a cat"]]])
def test_prompts_that_are_no_list_of_texts_are_left_out(prompts: Any) -> None:
    found = process_with(sample={"prompts": prompts})
    assert "list of texts" in left_out(found)["sample.prompts"][0]
    assert "sample" not in found.config


def test_prompts_beside_samples_are_listed_as_left_out() -> None:
    found = process_with(sample={"prompts": ["a cat"], "samples": [{"prompt": "a dog"}]})
    assert found.config["sample"]["prompts"] == [{"prompt": "a dog"}]
    assert left_out(found)["sample.prompts"][1]


def test_of_two_keys_for_one_setting_the_first_is_said_to_be_left_out() -> None:
    found = process_with(network={"linear": 8, "rank": 16})
    assert found.config["target"]["linear_rank"] == 16
    assert left_out(found)["network.linear"] == ("network.rank takes its place.", True)


def test_without_sampling_prompts_are_not_said_to_be_carried() -> None:
    found = process_with(train={"disable_sampling": True}, sample={"prompts": ["a", "b"]})
    assert {"sample.samples.0.prompt", "sample.samples.1.prompt"} <= left_out(found).keys()
    assert found.config["sample"]["prompts"] == []


def test_what_stands_beside_the_process_is_listed() -> None:
    process = {"type": "sd_trainer"}
    data = {"job": "extension", "meta": {"version": "1"}, "more": 7}
    data["config"] = {"name": "x", "process": [process, "another"], "extra": {"deep": 1}}
    assert set(left_out(from_ai_toolkit(data))) == {"process", "more", "config.extra.deep"}
