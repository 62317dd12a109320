"""Settings of judges: values are checked when they are made, and errors say what is allowed.

Mappings, numbers and texts as YAML gives them come in, frozen values go out; `prompts`, `server`
and `local` declare theirs.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Frozen values; the `description` of a field says what is allowed.

    Numbers may be texts, as YAML reads 1e-1; an unknown key and a switch (yes, no) are errors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    _prefix: ClassVar[str] = ""  # stands before a field's name in an error

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError("; ".join(map(self._told, error.errors()))) from None

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticCustomError("switch", "no setting is a switch")
        return value

    @classmethod
    def _told(cls, error: dict) -> str:
        """One of pydantic's errors in the house's words."""
        if error["type"] == "value_error":  # of a check of one's own, or of settings inside
            return str(error["ctx"]["error"])
        name = error["loc"][0]
        if error["type"] == "extra_forbidden":
            allowed = ", ".join(cls.model_fields)
            return f"{cls.__name__.lower()} has no {name!r}; allowed: {allowed}"
        allowed = cls.model_fields[name].description
        if error["type"] == "missing":
            return f"{cls._prefix}{name} is missing; allowed: {allowed}"
        value = error["input"] if len(error["loc"]) == 1 else "…"
        return f"{cls._prefix}{name}: {value!r:.60}; allowed: {allowed}"
