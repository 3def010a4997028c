"""What one setting is: a field with label, help, unit and limits, and what panels have in common.

Extra keys in a field's JSON schema, read by the form beside the usual title and description:

    unit          what a number counts
    no_effect     when the setting changes nothing
    choices       label of each value of an enumeration (their order is that of `enum`)
    unavailable   why this machine lacks a value of an enumeration; added by the API, for its form
    placeholder   what a blank field stands for
    guides        what the guides recommend, where they say something
    plain         one of the settings that most people touch; a plain form shows no others
    widget        text_lines | slider | dataset | device | resolutions | prompts | datasets | words
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

TRIGGER_PLACEHOLDER = "[trigger]"
SIDE_MULTIPLE_PX = 16  # one latent token after the autoencoder (1/8) and its 2x2 patches

TrainingName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
SidePx = Annotated[int, Field(ge=64, le=2048, multiple_of=SIDE_MULTIPLE_PX)]
SeedNumber = Annotated[int, Field(ge=0, le=2**32 - 1)]


def setting(
    default: Any = PydanticUndefined,
    *,
    label: str,
    help: str,
    unit: str | None = None,
    no_effect: str | None = None,
    choices: dict[str, str] | None = None,
    placeholder: str | None = None,
    guides: str | None = None,
    plain: bool = False,
    widget: str | None = None,
    **limits: Any,
) -> Any:
    """One field of a panel; `limits` are pydantic's (ge, le, multiple_of, ...)."""
    extra = {
        "unit": unit,
        "no_effect": no_effect,
        "choices": choices,
        "placeholder": placeholder,
        "guides": guides,
        "plain": plain or None,
        "widget": widget,
    }
    if callable(default):
        limits["default_factory"] = default
    else:
        limits["default"] = default
    return Field(
        title=label,
        description=help,
        json_schema_extra={key: value for key, value in extra.items() if value is not None},
        **limits,
    )


class Panel(BaseModel):
    """What all panels share: unknown keys are refused, numbers are finite, values are final."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_enum_values=False
    )


def choice_label(panel: Panel, name: str) -> str:
    """How the form calls the value that an enumeration field has."""
    extra = type(panel).model_fields[name].json_schema_extra
    assert isinstance(extra, dict), f"{name} was not made by setting()"
    choices = extra["choices"]
    assert isinstance(choices, dict), f"{name} has no choices"
    return str(choices[getattr(panel, name)])
