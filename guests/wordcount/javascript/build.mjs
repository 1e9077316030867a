// node build.mjs OUT.wasm: the component, without what would ask for a grant.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { componentize } from "@bytecodealliance/componentize-js";

const out = process.argv[2] ?? "wordcount.wasm";
// Without clocks, chance and output it imports nothing but the log; with `http` it would need a grant.
// EXOCLAW_DEFAULT_FEATURES=1 leaves them all in, for the test that the host then refuses it.
const pure = ["clocks", "fetch-event", "http", "random", "stdio"];
const { component } = await componentize({
  sourcePath: fileURLToPath(new URL("wordcount.js", import.meta.url)),
  witPath: fileURLToPath(new URL("../../../wit", import.meta.url)),
  worldName: "tool-plugin",
  disableFeatures: process.env.EXOCLAW_DEFAULT_FEATURES ? [] : pure,
});
await writeFile(out, component);
