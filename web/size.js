// Fails when a file is larger, compressed, than size-budget.json allows.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const budget = JSON.parse(readFileSync(new URL("size-budget.json", import.meta.url), "utf8"));
let over = false;
for (const [name, { gzip_bytes: allowed }] of Object.entries(budget)) {
  const bytes = readFileSync(new URL(name, import.meta.url));
  const size = gzipSync(bytes, { level: 9 }).length;
  const megabytes = (count) => (count / 1e6).toFixed(2);
  console.log(`${name}: ${megabytes(bytes.length)} MB, ${megabytes(size)} MB gzip, allowed ${megabytes(allowed)}`);
  over ||= size > allowed;
}
if (over) {
  console.error("over the budget of web/size-budget.json");
  process.exit(1);
}
