export function nativeStamp(root: string): string;
