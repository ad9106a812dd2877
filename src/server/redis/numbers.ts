// Numbers as Redis reads and writes them: 64-bit integers in the one spelling it accepts, and decimal fractions. Fractions are added
// exactly and cut after 17 digits, which is what Redis' long doubles come to for the sums that people make.

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Whether the sum or product still is a signed 64-bit integer. */
export function isInt64(value: bigint): boolean {
  return value >= INT64_MIN && value <= INT64_MAX;
}

/** A signed 64-bit integer as `string2ll` reads it: no spaces, no plus, no leading zeros. */
export function parseInt64(text: string): bigint | undefined {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(text)) return undefined;
  const value = BigInt(text);
  return isInt64(value) ? value : undefined;
}

/** A decimal number: `units` / 10^`scale`. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

/** Digits after the point that survive. */
const SCALE_MAX = 17;
/** Larger exponents are out of every range that can be asked for. */
const EXPONENT_MAX = 4932;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,5}))?$/;

/** A decimal number, "infinite" where Redis would read infinity, `undefined` for anything else. */
export function parseDecimal(text: string): Decimal | "infinite" | undefined {
  if (text.length > 256) return undefined;
  if (/^[+-]?inf(?:inity)?$/i.test(text)) return "infinite";
  const match = DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = "", exponentText = "0"] = match;
  if (whole === "" && fraction === "") return undefined;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > EXPONENT_MAX) return exponent > 0 ? "infinite" : { units: 0n, scale: 0 };
  const magnitude = BigInt(whole + fraction);
  const units = sign === "-" ? -magnitude : magnitude;
  const scale = fraction.length - exponent;
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 };
}

/** The exact sum. */
export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  const units = a.units * 10n ** BigInt(scale - a.scale) + b.units * 10n ** BigInt(scale - b.scale);
  return { units, scale };
}

/** Without an exponent and without zeros at the end; at most 17 digits after the point, the last one rounded, a half to even. */
export function formatDecimal({ units, scale }: Decimal): string {
  let magnitude = units < 0n ? -units : units;
  let digits = scale;
  if (digits > SCALE_MAX) {
    const cut = 10n ** BigInt(digits - SCALE_MAX);
    const rest = magnitude % cut;
    magnitude /= cut;
    const isUp = rest * 2n > cut || (rest * 2n === cut && magnitude % 2n === 1n);
    if (isUp) magnitude += 1n;
    digits = SCALE_MAX;
  }
  const text = magnitude.toString().padStart(digits + 1, "0");
  const whole = text.slice(0, text.length - digits);
  const fraction = text.slice(text.length - digits).replace(/0+$/, "");
  const sign = units < 0n && magnitude !== 0n ? "-" : "";
  return `${sign}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}
