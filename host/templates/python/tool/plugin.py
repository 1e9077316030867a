"""The tool `{{tool}}`."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import tool
from wit_world.imports.types import Error_InvalidInput

# What the owner sets in the config file.
SETTINGS_SCHEMA = {
    "type": "object",
    "properties": {"greeting": {"type": "string", "description": "What to say before the name; `Hello` by default."}},
    "additionalProperties": False,
}

# What the model calls it with. The host checks every call against this.
INPUT_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 200, "description": "Whom to greet."}},
    "required": ["name"],
    "additionalProperties": False,
}


class Tool(exports.Tool):
    def describe(self) -> tool.Description:
        return tool.Description(settings_schema=json.dumps(SETTINGS_SCHEMA), hosts=[], secrets=[])

    def definitions(self, settings: str) -> list[tool.Definition]:
        hints = tool.Hints
        return [
            tool.Definition(
                name="{{tool}}",
                title="Greet",
                description="Greets somebody by name. Use it whenever a greeting is asked for.",
                input_schema=json.dumps(INPUT_SCHEMA),
                output_schema=None,
                # What is promised here and kept may run beside other calls, and again after a crash.
                hints=hints.READ_ONLY | hints.IDEMPOTENT | hints.CLOSED_WORLD,
            )
        ]

    def call(self, context: tool.Context, name: str, arguments: str) -> list[tool.Content]:
        if name != "{{tool}}":
            raise Err(Error_InvalidInput(f"there is no tool `{name}` here"))
        try:
            greeting = json.loads(context.settings).get("greeting", "Hello")
            whom = json.loads(arguments)["name"].strip()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Err(Error_InvalidInput(f"not what the schema says: {error}"))
        if not whom:
            # The model reads this: say what would be right.
            raise Err(Error_InvalidInput("`name` is empty; give the name of whom to greet"))
        # Or Content_Json(json.dumps(value)), with an output_schema.
        return [tool.Content_Text(f"{greeting}, {whom}!")]
