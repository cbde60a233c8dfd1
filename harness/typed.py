"""Plain data into dataclasses, with a user's mistakes named."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from harness.errors import UserError
from harness.nearest import did_you_mean

T = TypeVar("T")


def typed(schema: type[T], values: dict[str, Any], prefix: str = "") -> T:
    """``values`` as the dataclass ``schema``; ``prefix`` stands before the keys in messages.

    Raises:
        UserError: an unknown key, or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

    try:
        return cast(T, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values)))
    except ConfigKeyError as error:
        known = [f"{prefix}{name}" for name in schema.__dataclass_fields__]  # type: ignore[attr-defined]
        key = f"{prefix}{error.full_key}"
        raise UserError(f"unknown key {key}.", did_you_mean(key, known)) from error
    except OmegaConfBaseException as error:
        problem = f"{prefix}{error.full_key}: {str(error).splitlines()[0]}"
        raise UserError(problem, "Give a value of the right type.") from error
