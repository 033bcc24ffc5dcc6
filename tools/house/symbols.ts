/**
 * What may stand in the symbol tables (Linux, binutils). A weak symbol in a kernel archive, any inline function or
 * template with external linkage, was compiled with that archive's AVX flags and may be the copy the linker picks for
 * the whole addon: the process then dies with SIGILL on an older processor. A static constructor runs such code at load.
 */
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';

function output(command: string, args: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (error !== undefined) throw new Error(`${command} cannot be run (binutils): ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** `nm -C` lines such as `0000000000000000 T gp::avx2::table`. */
export function archiveViolations(isa: string, symbols: string, sections: string): string[] {
  const broken: string[] = [];
  let object = '';
  for (const line of symbols.split('\n')) {
    object = /^(.+\.o):$/.exec(line)?.[1] ?? object;
    const [, kind, name] = /^[0-9a-f]* +([A-Za-z]) (.+)$/.exec(line) ?? [];
    if (kind === undefined || name === undefined) continue;
    if ('WVu'.includes(kind))
      broken.push(`${object}: weak symbol ${name} (${kind}); put it into an anonymous namespace`);
    // Upper case and not U: defined, with external linkage.
    else if (/[A-TX-Z]/.test(kind) && !name.startsWith(`gp::${isa}::`)) {
      broken.push(`${object}: ${name} has external linkage and is not in gp::${isa}`);
    }
  }
  if (/\.(?:init_array|ctors)\b/.test(sections)) broken.push(`${isa}: a static constructor (.init_array)`);
  return broken;
}

/** Checks a kernel archive `cpu_<isa>.a`. */
export function checkArchive(path: string): string[] {
  const isa = /^(?:lib)?cpu_(\w+)\.a$/.exec(basename(path))?.[1];
  if (isa === undefined) throw new Error(`${path} is not the archive of an instruction set`);
  const sections = output('readelf', ['-SW', path])
    .split('\n')
    .filter((line) => /\.(?:init_array|ctors)/.test(line))
    .join('\n');
  return archiveViolations(isa, output('nm', ['-C', path]), sections);
}

/** Symbols that a shared library defines for others. */
export function exportsOf(path: string): string[] {
  const listed = output('nm', ['-D', '--defined-only', path]).split('\n');
  return listed.flatMap((line) => line.split(' ')[2] ?? []).sort();
}

export const addonExports: readonly string[] = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
export const backendExports: readonly string[] = ['gp_backend_entry'];
