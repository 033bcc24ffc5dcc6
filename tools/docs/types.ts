/** Type-checks texts as if they were files of the repository. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** The compiler's settings for a program of the documentation: those of the repository, unused names allowed. */
function settings(root: string): ts.CompilerOptions {
  const path = join(root, 'tsconfig.json');
  const read: { readonly config?: unknown } = ts.parseConfigFileTextToJson(path, readFileSync(path, 'utf8'));
  const { options } = ts.parseJsonConfigFileContent(read.config, ts.sys, root);
  const { tsBuildInfoFile: _, ...kept } = options;
  return { ...kept, noUnusedLocals: false, noUnusedParameters: false, incremental: false };
}

/** One line per error; `files` maps paths relative to `root` to their text. */
export function diagnostics(root: string, files: ReadonlyMap<string, string>): string[] {
  const options = settings(root);
  const texts = new Map([...files].map(([path, text]) => [join(root, path), text]));
  const host = ts.createCompilerHost(options);
  const plain = { getSourceFile: host.getSourceFile.bind(host), fileExists: host.fileExists.bind(host) };
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const text = texts.get(path);
    return text === undefined
      ? plain.getSourceFile(path, languageVersion, ...rest)
      : ts.createSourceFile(path, text, languageVersion, true);
  };
  host.fileExists = (path) => texts.has(path) || plain.fileExists(path);
  const program = ts.createProgram([...texts.keys()], options, host);
  return [...texts.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ start, messageText }) => {
        const line =
          source === undefined || start === undefined ? 0 : source.getLineAndCharacterOfPosition(start).line + 1;
        return `${path.slice(root.length + 1)}:${line} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
      },
    );
  });
}
