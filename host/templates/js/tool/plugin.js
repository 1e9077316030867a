// The tool `{{tool}}`.

/** What the owner sets in the config file. */
const SETTINGS_SCHEMA = {
  type: "object",
  properties: {
    greeting: { type: "string", description: "What to say before the name; `Hello` by default." },
  },
  additionalProperties: false,
};

/** What the model calls it with. The host checks every call against this. */
const INPUT_SCHEMA = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 200, description: "Whom to greet." },
  },
  required: ["name"],
  additionalProperties: false,
};

/** An error that the model reads: say what would be right. What is thrown is the `result`'s error. */
function invalidInput(message) {
  return { tag: "invalid-input", val: message };
}

function parse(json) {
  try {
    return Object(JSON.parse(json));
  } catch (error) {
    throw invalidInput(`not JSON: ${error.message}`);
  }
}

export const tool = {
  describe() {
    return { settingsSchema: JSON.stringify(SETTINGS_SCHEMA), hosts: [], secrets: [] };
  },

  definitions(_settings) {
    return [
      {
        name: "{{tool}}",
        title: "Greet",
        description: "Greets somebody by name. Use it whenever a greeting is asked for.",
        inputSchema: JSON.stringify(INPUT_SCHEMA),
        outputSchema: undefined,
        // What is promised here and kept may run beside other calls, and again after a crash.
        hints: { readOnly: true, idempotent: true, closedWorld: true },
      },
    ];
  },

  call(context, name, json) {
    if (name !== "{{tool}}") throw invalidInput(`there is no tool \`${name}\` here`);
    const { greeting = "Hello" } = parse(context.settings);
    const whom = String(parse(json).name ?? "").trim();
    if (whom === "") throw invalidInput("`name` is empty; give the name of whom to greet");
    // Or { tag: "json", val: JSON.stringify(value) }, with an outputSchema.
    return [{ tag: "text", val: `${greeting}, ${whom}!` }];
  },
};
