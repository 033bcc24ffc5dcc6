// The stamp of the native sources: both sides of the addon know it, so that one built from other sources is found out.
// A build writes it into the addon (native/sources.js table). JavaScript in a clone counts it anew; a package has no
// sources, and has it from set-up in dist/native.stamp.

// Read at the first call: the library imports this file at its start, where these modules would cost 5 ms.
const fs = () => process.getBuiltinModule('node:fs');
const crypto = () => process.getBuiltinModule('node:crypto');
const join = (...parts) => process.getBuiltinModule('node:path').join(...parts);

const parts = ['native/sources.json', 'native/include', 'native/core', 'native/cpu'];

function files(root, path) {
  if (/\.(cpp|h|json|map)$/.test(path)) return [path];
  if (path.includes('.')) return [];
  return fs()
    .readdirSync(join(root, path))
    .sort()
    .flatMap((name) => files(root, `${path}/${name}`));
}

/** A hash over names and contents of what the addon is built from; empty where there are no sources (a package). */
export function nativeStamp(root) {
  if (!fs().existsSync(join(root, parts[0]))) return '';
  const hash = crypto().createHash('sha256');
  for (const path of parts.flatMap((part) => files(root, part))) {
    // Line ends differ between checkouts on Windows and elsewhere.
    hash.update(`${path}\0${fs().readFileSync(join(root, path), 'utf8').replaceAll('\r', '')}\0`);
  }
  return hash.digest('hex').slice(0, 16);
}
