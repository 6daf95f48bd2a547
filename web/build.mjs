// Bundles src/main.ts with its libraries into the one script that the package ships.
//   cd web && npm ci && npm run check && npm run build
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "esbuild";

// Of all that decides the result, so that a test can tell a script that is out of date.
const hash = createHash("sha256");
const files = readdirSync("src", { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(".", join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
for (const file of [...files, "package.json", "package-lock.json"].sort()) {
  hash.update(`${file}\n`).update(readFileSync(file));
}

await build({
  entryPoints: ["src/main.ts"],
  outfile: "../m3jax/output/html/assets/page.js",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  banner: { js: `/* m3jax page, built from web/: ${hash.digest("hex")} */` },
  logLevel: "warning",
});
