/**
 * `npm run package [directory] [compression]`: builds the Debian package, into `dist` and small
 * unless told otherwise. Needs `npm ci` before and `dpkg-deb`. Prints where it is.
 */
import { resolve } from "node:path";
import { buildDebianPackage, isCompression } from "./package/debian-package.ts";
import { ROOT } from "./tidy/source-file.ts";

const [directory = "dist", compression = "zstd"] = process.argv.slice(2);
if (!isCompression(compression)) throw new Error(`${compression} is not one of zstd and none.`);
console.log(buildDebianPackage({ root: ROOT, directory: resolve(directory), compression }));
