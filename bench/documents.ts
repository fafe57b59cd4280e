/** Vars such as an agent gathers: a list of texts of words, which a database compresses about as well as real text. */

const WORDS =
  "the run waits until somebody who knows what it asks for has answered and then goes on with its next node".split(" ");
/** Words of one document: about a thousand characters. */
const WORDS_PER_DOCUMENT = 150;

/** Documents of about this many bytes as JSON, and never more. The same size always returns the same documents. */
export function documentsOf(bytes: number): object[] {
  const documents: object[] = [];
  let remaining = bytes - 2;
  let seed = 1;
  const next = (below: number): number => {
    // A Lehmer generator: the numbers need not be good or secret.
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  while (remaining > 0) {
    const words = Array.from({ length: WORDS_PER_DOCUMENT }, () =>
      next(3) === 0 ? next(1_000_000).toString(36) : WORDS[next(WORDS.length)]!,
    );
    const document = { id: documents.length, source: `page-${next(1_000)}`, text: words.join(" ") };
    const size = JSON.stringify(document).length + 1;
    if (size > remaining && documents.length > 0) break;
    documents.push(
      size > remaining ? { ...document, text: document.text.slice(0, Math.max(0, remaining - 50)) } : document,
    );
    remaining -= size;
  }
  return documents;
}
