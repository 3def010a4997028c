/**
 * Numbers as people write and paste them: 2000, 1e-4, 0,5, and 2,000 as this page itself shows it.
 *
 * Thousands come in groups of three after a first digit that is not 0, with the same sign between
 * all of them. In a field of whole numbers that is all a comma or a point can mean. Where decimals
 * are allowed, 1,500 may be 1500 to one person and 1.5 to another: it stays a text, which the server
 * refuses by name, and 1.500 is 1.5, which is shown as such when the field is left.
 */

const IN_THOUSANDS = /^[+-]?[1-9]\d{0,2}([.,\s'’_])\d{3}(?:\1\d{3})*$/;
const SEPARATORS = /[.,\s'’_]/g;

/** Null for nothing; what is no number, or may be either of two, as it was typed. */
export function numberTyped(typed: string, isWhole: boolean): number | string | null {
  const trimmed = typed.trim();
  if (trimmed === "") {
    return null;
  }
  const number = Number(isThousands(trimmed, isWhole) ? digits(trimmed) : plain(trimmed, isWhole));
  return Number.isFinite(number) ? number : typed;
}

/** Whether a field that is left should show the number it took instead of what was typed. */
export function isReadAnew(typed: string): boolean {
  return typed.includes(",") || IN_THOUSANDS.test(typed.trim());
}

function isThousands(typed: string, isWhole: boolean): boolean {
  const sign = IN_THOUSANDS.exec(typed)?.[1];
  const isDecimalSign = sign === "," || sign === ".";
  return sign !== undefined && (isWhole || !isDecimalSign || typed.split(sign).length > 2);
}

function digits(typed: string): string {
  return typed.replace(SEPARATORS, "");
}

/** With a decimal comma as a point, where it can only be one. */
function plain(typed: string, isWhole: boolean): string {
  return isWhole || IN_THOUSANDS.test(typed) ? typed : typed.replace(",", ".");
}
