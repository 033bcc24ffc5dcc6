// Opens the bundles of rooms that an import does not read. They are CommonJS functions over the core that is already there:
// no loader of modules, whichever runs, can give them a second one.

const opened = new Map();
const require = (path) => process.getBuiltinModule('node:module').createRequire(import.meta.url)(path);

/** Says what the bundles are functions of. Given, not imported: Node 20 does not link a cycle that CommonJS requires. */
export function buildOn(core) {
  opened.set('core', core);
}

/** What a bundle exports; reads it at the first call. */
export function openBundle(name) {
  let room = opened.get(name);
  if (room === undefined) {
    room = require(`./${name}.cjs`)(needed, import.meta.url);
    opened.set(name, room);
  }
  return room;
}

function needed(path) {
  return path.startsWith('./') ? openBundle(path.slice(2, -3)) : require(path);
}

/** A namespace of a bundle, whose members are there before it is read. */
export function door(bundle, name, members) {
  const space = Object.create(null, { [Symbol.toStringTag]: { value: 'Module' } });
  const settle = () => {
    const found = openBundle(bundle)[name];
    for (const member of members)
      Object.defineProperty(space, member, { value: found[member], enumerable: true, configurable: false });
  };
  for (const member of members) {
    const get = () => {
      settle();
      return space[member];
    };
    Object.defineProperty(space, member, { get, enumerable: true, configurable: true });
  }
  return space;
}
