/** What the compiler knows about the exports of a module: signatures, comments, options with their defaults. */
import { join, relative } from 'node:path';
import ts from 'typescript';

export interface Field {
  readonly name: string;
  readonly type: string;
  readonly doc: string;
}

export interface Callable {
  readonly signature: string;
  /** Options of the last parameter. */
  readonly options: readonly Field[];
  /** The name of their type, where it has one. */
  readonly optionsType: string | undefined;
}

export interface Entry {
  readonly name: string;
  readonly kind: 'function' | 'class' | 'type' | 'value';
  /** Relative to the repository. */
  readonly file: string;
  readonly doc: string;
  readonly calls: readonly Callable[];
  /** Public members of a class (its own), fields of an interface. */
  readonly members: readonly Field[];
  /** What a type or a value is, in one line. */
  readonly text: string;
  readonly base: string | undefined;
}

/** Reads a program once; answers for one module after the other. */
export class Declarations {
  readonly #root: string;
  readonly #program: ts.Program;
  readonly #checker: ts.TypeChecker;

  constructor(root: string, entries: readonly string[]) {
    this.#root = root;
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      noErrorTruncation: true,
    };
    this.#program = ts.createProgram(
      entries.map((entry) => join(root, entry)),
      options,
    );
    this.#checker = this.#program.getTypeChecker();
  }

  /** The exports of a module by name; namespaces are left out. */
  exports(module: string): Entry[] {
    const source = this.#program.getSourceFile(join(this.#root, module));
    const symbol = source === undefined ? undefined : this.#checker.getSymbolAtLocation(source);
    if (symbol === undefined) throw new Error(`${module} is no module of the program`);
    return this.#checker
      .getExportsOfModule(symbol)
      .flatMap((exported) => this.#entry(exported) ?? [])
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The comment at the top of a file. */
  header(file: string): string {
    const text = this.#program.getSourceFile(join(this.#root, file))?.text ?? '';
    const comment = /^(?:#![^\n]*\n)?\/\*\*([^]*?)\*\//.exec(text)?.[1] ?? '';
    return comment.replace(/^\s*\* ?/gm, '').trim();
  }

  #entry(exported: ts.Symbol): Entry | undefined {
    const alias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
    const symbol = alias ? this.#checker.getAliasedSymbol(exported) : exported;
    const declaration = symbol.declarations?.[0];
    if (declaration === undefined || (symbol.flags & ts.SymbolFlags.Module) !== 0) return undefined;
    const common = {
      name: exported.name,
      file: relative(this.#root, declaration.getSourceFile().fileName),
      doc: this.#doc(symbol),
      calls: [],
      members: [],
      text: '',
      base: undefined,
    };
    if ((symbol.flags & ts.SymbolFlags.Class) !== 0) return { ...common, ...this.#class(symbol) };
    if ((symbol.flags & ts.SymbolFlags.Interface) !== 0)
      return { ...common, kind: 'type', members: this.#fields(this.#checker.getDeclaredTypeOfSymbol(symbol)) };
    if ((symbol.flags & ts.SymbolFlags.TypeAlias) !== 0) {
      const type = this.#checker.getDeclaredTypeOfSymbol(symbol);
      return { ...common, kind: 'type', text: this.#text(type, ts.TypeFormatFlags.InTypeAlias) };
    }
    const type = this.#checker.getTypeOfSymbol(symbol);
    const signatures = type.getCallSignatures();
    if (signatures.length === 0) return { ...common, kind: 'value', text: this.#text(type) };
    const doc =
      common.doc === '' ? (signatures.map((s) => this.#doc(s)).find((text) => text !== '') ?? '') : common.doc;
    return { ...common, doc, kind: 'function', calls: signatures.map((s) => this.#call(s)) };
  }

  #class(symbol: ts.Symbol): Pick<Entry, 'kind' | 'calls' | 'members' | 'base'> {
    const type = this.#checker.getDeclaredTypeOfSymbol(symbol);
    const made = this.#checker.getTypeOfSymbol(symbol);
    const own = (field: ts.Symbol): boolean =>
      field.declarations?.some((at) => symbol.declarations?.some((whole) => whole === at.parent) === true) === true;
    const base = type.getBaseTypes()?.[0];
    return {
      kind: 'class',
      calls: made
        .getConstructSignatures()
        .filter((s) => !s.getJsDocTags().some(({ name }) => name === 'internal'))
        .map((s) => this.#call(s, true)),
      members: this.#fields(type, own),
      base: base === undefined ? undefined : this.#text(base),
    };
  }

  #fields(type: ts.Type, wanted: (symbol: ts.Symbol) => boolean = () => true): Field[] {
    return this.#checker.getPropertiesOfType(type).flatMap((symbol): Field[] => {
      const declaration = symbol.declarations?.[0];
      if (declaration === undefined || !wanted(symbol) || /^(?:__|#)/.test(symbol.name)) return [];
      const modifiers = ts.getCombinedModifierFlags(declaration);
      const hidden = (modifiers & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0;
      const internal = symbol.getJsDocTags().some(({ name }) => name === 'internal');
      if (hidden || internal) return [];
      const held = this.#checker.getTypeOfSymbolAtLocation(symbol, declaration);
      const calls = held.getCallSignatures();
      const optional = (symbol.flags & ts.SymbolFlags.Optional) !== 0 ? '?' : '';
      if (calls.length > 0 && (symbol.flags & ts.SymbolFlags.Method) !== 0)
        return calls.map((call, i) => ({
          name: `${symbol.name}${this.#signature(call, false)}`,
          type: '',
          doc: i === 0 ? this.#doc(symbol) : '',
        }));
      const text = this.#text(held).replace(/ \| undefined$/, optional === '' ? ' | undefined' : '');
      return [{ name: `${symbol.name}${optional}`, type: text, doc: this.#doc(symbol) }];
    });
  }

  #call(signature: ts.Signature, constructs = false): Callable {
    const last = signature.getParameters().at(-1);
    const declared = last?.valueDeclaration;
    const type =
      last === undefined || declared === undefined || !/options/i.test(last.name)
        ? undefined
        : this.#checker.getNonNullableType(this.#checker.getTypeOfSymbolAtLocation(last, declared));
    return {
      signature: this.#signature(signature, constructs),
      options: type === undefined ? [] : this.#fields(type),
      optionsType: (type?.aliasSymbol ?? type?.getSymbol())?.name,
    };
  }

  #signature(signature: ts.Signature, constructs: boolean): string {
    const text = this.#checker.signatureToString(signature);
    const named = text.replace(/import\("[^"]*"\)\./g, '').replace(/ \| undefined(?=[,)])/g, '');
    return constructs ? named.replace(/^new /, '').replace(/\): [^()]*$/, ')') : named;
  }

  #text(type: ts.Type, flags = ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope): string {
    return this.#checker.typeToString(type, undefined, flags).replace(/import\("[^"]*"\)\./g, '');
  }

  #doc(symbol: ts.Symbol | ts.Signature): string {
    return ts
      .displayPartsToString(symbol.getDocumentationComment(this.#checker))
      .replace(/\{@link (\w+)\}/g, '`$1`')
      .trim();
  }
}
