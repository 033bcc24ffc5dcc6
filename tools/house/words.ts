/** Traces of one machine in committed files: absolute paths of a home or working folder, hosts of package registries. */
const traces: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: 'a machine path', pattern: /(?<![\w.~$}\])])\/(?:work|root|home|Users|mnt)\/[\w.-]+/ },
  { what: 'a drive path', pattern: /\b[A-Z]:\\(?:Users|work)\\/ },
  { what: 'a registry host', pattern: /\bregistry\.[a-z]+(?:\.[a-z]+)+/ },
  { what: 'a download address of a package', pattern: /"resolved": ["]/ },
];

/** One line per trace: file, line number, what it is. `files` maps paths to their text. */
export function traceViolations(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([file, text]) =>
    text.split('\n').flatMap((line, index) => {
      const found = traces.filter(({ pattern }) => pattern.test(line));
      return found.map(({ what }) => `${file}:${index + 1}: ${what}: ${line.trim().slice(0, 100)}`);
    }),
  );
}
