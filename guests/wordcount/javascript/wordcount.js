// The tool `wordcount`; ../README.md says what it counts.

const SETTINGS_SCHEMA = {
  type: "object",
  properties: {
    fold_case: { type: "boolean", description: "Whether A to Z count as a to z; true by default." },
  },
  additionalProperties: false,
};

const INPUT_SCHEMA = {
  type: "object",
  properties: {
    text: { type: "string", maxLength: 20000, description: "The text to count." },
    top: {
      type: "integer",
      minimum: 0,
      maximum: 50,
      description: "How many of the most frequent words to name; 10 by default.",
    },
  },
  required: ["text"],
  additionalProperties: false,
};

const OUTPUT_SCHEMA = {
  type: "object",
  properties: {
    words: { type: "integer", minimum: 0 },
    characters: { type: "integer", minimum: 0 },
    lines: { type: "integer", minimum: 0 },
    top: {
      type: "array",
      maxItems: 50,
      items: {
        type: "object",
        properties: { word: { type: "string" }, count: { type: "integer", minimum: 1 } },
        required: ["word", "count"],
        additionalProperties: false,
      },
    },
  },
  required: ["words", "characters", "lines", "top"],
  additionalProperties: false,
};

/** The contract's `invalid-input`: what is thrown is the error of the `result`. */
function invalidInput(message) {
  return { tag: "invalid-input", val: message };
}

/** The object that a JSON text holds. */
function parse(json, what) {
  let value;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw invalidInput(`the ${what} are not JSON: ${error.message}`);
  }
  if (value === null || typeof value !== "object") throw invalidInput(`the ${what} are no object`);
  return value;
}

function count(text, limit, foldCase) {
  const words = text.match(/[A-Za-z0-9]+/g) ?? [];
  const counts = new Map();
  for (const found of words) {
    const word = foldCase ? found.toLowerCase() : found;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  let characters = 0;
  let lines = 0;
  for (const character of text) {
    characters += 1;
    if (character === "\n") lines += 1;
  }
  if (text !== "" && !text.endsWith("\n")) lines += 1;
  const top = [...counts]
    .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .slice(0, limit)
    .map(([word, count]) => ({ word, count }));
  return { words: words.length, characters, lines, top };
}

export const tool = {
  describe() {
    return { settingsSchema: JSON.stringify(SETTINGS_SCHEMA), hosts: [], secrets: [] };
  },

  definitions(_settings) {
    return [
      {
        name: "wordcount",
        title: "Count words",
        description:
          "Counts the words, characters and lines of a text and names its most frequent words. " +
          "Use it whenever a count must be exact.",
        inputSchema: JSON.stringify(INPUT_SCHEMA),
        outputSchema: JSON.stringify(OUTPUT_SCHEMA),
        hints: { readOnly: true, additive: true, idempotent: true, closedWorld: true },
      },
    ];
  },

  call(context, name, json) {
    if (name !== "wordcount") throw invalidInput(`there is no tool \`${name}\` here; there is \`wordcount\``);
    const { fold_case: foldCase = true } = parse(context.settings, "settings");
    const { text, top = 10 } = parse(json, "arguments");
    // The host has checked them against the schemas; what else calls it may not have.
    if (typeof text !== "string" || !Number.isInteger(top) || typeof foldCase !== "boolean") {
      throw invalidInput("`text` must be a string, `top` an integer and `fold_case` a boolean");
    }
    return [{ tag: "json", val: JSON.stringify(count(text, top, foldCase)) }];
  },
};
