// Writes the syntax tree of an expression as text.
import type { Node } from "../../server/src/core/expression/syntax.ts";
import { Bytes } from "../../server/src/core/expression/values.ts";

/** A tree as text with all parentheses. */
export function treeText(node: Node): string {
  const list = (nodes: readonly Node[]): string => nodes.map(treeText).join(", ");
  switch (node.op) {
    case "literal":
      if (node.value instanceof Bytes) return `b'${node.value.data.toString("hex").replace(/../g, "\\x$&")}'`;
      return typeof node.value === "number" ? numberText(node.value) : JSON.stringify(node.value);
    case "name":
      return (node.isAbsolute ? "." : "") + node.name;
    case "select": {
      const isPlain = /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(node.field);
      return `(${treeText(node.operand)}).${node.isOptional ? "?" : ""}${isPlain ? node.field : `\`${node.field}\``}`;
    }
    case "index":
      return `(${treeText(node.operand)})[${node.isOptional ? "?" : ""}${treeText(node.index)}]`;
    case "call":
      return `${node.name}(${list(node.args)})`;
    case "method":
      return `(${treeText(node.target)}).${node.name}(${list(node.args)})`;
    case "list":
      return `[${node.items.map((item) => (item.isOptional ? "?" : "") + treeText(item.value)).join(", ")}]`;
    case "map": {
      const entries = node.entries.map(
        (entry) => `${entry.isOptional ? "?" : ""}${treeText(entry.key)}: ${treeText(entry.value)}`,
      );
      return `{${entries.join(", ")}}`;
    }
    case "conditional":
      return `(${treeText(node.condition)} ? ${treeText(node.yes)} : ${treeText(node.no)})`;
    case "unary":
      return `(${node.operator}${treeText(node.operand)})`;
    case "logical":
    case "binary":
      return `(${treeText(node.left)} ${node.operator} ${treeText(node.right)})`;
  }
}

/** A whole number beyond 2^53 is written with an exponent, since the parser refuses its digits. */
function numberText(value: number): string {
  return Number.isSafeInteger(value) || !Number.isInteger(value) ? String(value) : value.toExponential();
}
