/** Half types on the host: bits ↔ numbers, round to nearest even. */

const scratch = new Float32Array(1);
const bits = new Uint32Array(scratch.buffer);

export function bf16FromNumber(value: number): number {
  scratch[0] = value;
  const u = bits[0]!;
  if ((u & 0x7fffffff) > 0x7f800000) return ((u >>> 16) | 0x40) & 0xffff;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

export function bf16ToNumber(half: number): number {
  bits[0] = half << 16;
  return scratch[0]!;
}

export function f16FromNumber(value: number): number {
  scratch[0] = value;
  const u = bits[0]!;
  const sign = (u >>> 16) & 0x8000;
  const a = u & 0x7fffffff;
  if (a > 0x7f800000) return sign | 0x7e00;
  if (a >= 0x477ff000) return sign | 0x7c00;
  if (a < 0x38800000) {
    // Subnormal: adding 0.5 makes the adder round at the right bit.
    bits[0] = a;
    scratch[0] = scratch[0] + 0.5;
    return sign | (bits[0] - 0x3f000000);
  }
  return sign | (((a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13) & 0x7fff);
}

export function f16ToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
