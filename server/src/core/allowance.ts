/** What a group of things may use together, such as the regular expressions of one graph. */
export type Allowance = {
  /** What it bounds, for messages: "the schemas of this graph have more than 50000 subschemas". */
  readonly exceeded: string;
  left: number;
};

/** @param exceeded the message if more is used */
export function createAllowance(max: number, exceeded: string): Allowance {
  return { exceeded, left: max };
}

/** Takes an amount. Returns the message if there is not enough left; what is used up stays used up. */
export function spend(allowance: Allowance, amount: number): string | undefined {
  if (allowance.left < 0) return allowance.exceeded;
  allowance.left -= amount;
  return allowance.left < 0 ? allowance.exceeded : undefined;
}
