"""The tool `wordcount`; ../README.md says what it counts."""

import json
import re
from collections import Counter

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import tool
from wit_world.imports.types import Error_InvalidInput

SETTINGS_SCHEMA = {
    "type": "object",
    "properties": {
        "fold_case": {"type": "boolean", "description": "Whether A to Z count as a to z; true by default."}
    },
    "additionalProperties": False,
}

INPUT_SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "maxLength": 20000, "description": "The text to count."},
        "top": {
            "type": "integer",
            "minimum": 0,
            "maximum": 50,
            "description": "How many of the most frequent words to name; 10 by default.",
        },
    },
    "required": ["text"],
    "additionalProperties": False,
}

OUTPUT_SCHEMA = {
    "type": "object",
    "properties": {
        "words": {"type": "integer", "minimum": 0},
        "characters": {"type": "integer", "minimum": 0},
        "lines": {"type": "integer", "minimum": 0},
        "top": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "properties": {"word": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
                "required": ["word", "count"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["words", "characters", "lines", "top"],
    "additionalProperties": False,
}

WORD = re.compile("[A-Za-z0-9]+")


def count(text: str, limit: int, fold_case: bool) -> dict:
    words = WORD.findall(text)
    counts = Counter(word.lower() if fold_case else word for word in words)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {
        "words": len(words),
        "characters": len(text),
        "lines": text.count("\n") + (text != "" and not text.endswith("\n")),
        "top": [{"word": word, "count": count} for word, count in ranked[:limit]],
    }


class Tool(exports.Tool):
    def describe(self) -> tool.Description:
        return tool.Description(settings_schema=json.dumps(SETTINGS_SCHEMA), hosts=[], secrets=[])

    def definitions(self, settings: str) -> list[tool.Definition]:
        hints = tool.Hints
        return [
            tool.Definition(
                name="wordcount",
                title="Count words",
                description=(
                    "Counts the words, characters and lines of a text and names its most frequent words. "
                    "Use it whenever a count must be exact."
                ),
                input_schema=json.dumps(INPUT_SCHEMA),
                output_schema=json.dumps(OUTPUT_SCHEMA),
                hints=hints.READ_ONLY | hints.ADDITIVE | hints.IDEMPOTENT | hints.CLOSED_WORLD,
            )
        ]

    def call(self, context: tool.Context, name: str, arguments: str) -> list[tool.Content]:
        if name != "wordcount":
            raise Err(Error_InvalidInput(f"there is no tool `{name}` here; there is `wordcount`"))
        try:
            settings = json.loads(context.settings)
            given = json.loads(arguments)
            # JSON Schema takes 2.0 for an integer.
            result = count(given["text"], int(given.get("top", 10)), settings.get("fold_case", True))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Err(Error_InvalidInput(f"the arguments or settings are not as their schema says: {error}"))
        return [tool.Content_Json(json.dumps(result, separators=(",", ":")))]
