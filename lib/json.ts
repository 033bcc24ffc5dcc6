/** Data from outside (parsed JSON or YAML, an argument) before anybody knows its fields. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
