// npm run build: plugin.js and the world become plugin.wasm.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const { component } = await componentize({
  sourcePath: "plugin.js",
  witPath: "wit",
  worldName: "{{kind}}-plugin",
  // What is taken out here is not imported. Leave "clocks" and "random" away to have Date and
  // Math.random(), "stdio" to have console.log(); "http" brings fetch(), which needs a grant.
  disableFeatures: ["clocks", "fetch-event", "http", "random", "stdio"],
});
await writeFile("plugin.wasm", component);
