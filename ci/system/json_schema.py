"""JSON Schemas (2020-12) of the types that `codec` decodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import DataclassField, DataclassSchema, ModelField, TypedDictField

__all__ = ["DIALECT", "Constraint", "Schema", "schemas_of"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_MODE: Final = "validation"


@dataclass(frozen=True)
class Constraint:
    """An annotation of a type that adds these keywords to its schema."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema without the annotation, and the keywords."""
        return {**handler(core_schema), **self.keywords}


class _Generator(GenerateJsonSchema):
    """Without titles, which only repeat the names, and strict about names, as `decode` is."""

    def dataclass_schema(self, schema: DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        made.pop("title", None)
        return {**made, "additionalProperties": False}

    def enum_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().enum_schema(schema)
        made.pop("title", None)
        return made

    def field_title_should_be_set(
        self,
        schema: CoreSchema | ModelField | DataclassField | TypedDictField,  # noqa: ARG002 - pydantic's
    ) -> bool:
        return False


def schemas_of(kinds: Mapping[str, type]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """By the same names what `decode` takes for each kind, and the definitions (`$defs`) that they refer to."""
    made, shared = TypeAdapter.json_schemas(
        [(name, _MODE, TypeAdapter(kind)) for name, kind in kinds.items()], schema_generator=_Generator
    )
    definitions = shared.get("$defs", {})
    found = {}
    for name in kinds:
        schema = made[name, _MODE]
        reference = schema.get("$ref", "")
        found[name] = definitions[reference.rpartition("/")[2]] if reference else schema
    return found, definitions
