/** Surveys the list of a folder's files: their kinds, and which of them to read. */

/** The result of list_files. */
export type FileList = {
  entries: readonly { path: string; name: string; type: string; size: number }[];
  /** Whether there are more files than the list has. */
  truncated: boolean;
};

export type Survey = {
  files: number;
  bytes: number;
  /** Folders with files. */
  folders: number;
  /** Links, sockets and the like, which are not read. */
  others: number;
  /** Whether there are more files than were listed. */
  truncated: boolean;
  /** The most frequent first. */
  kinds: { extension: string; files: number; bytes: number }[];
  /** The number of other kinds. */
  kinds_left_out: number;
  largest: { path: string; size: number }[];
  /** Paths to read; the files of a round are read in parallel. */
  rounds: string[][];
};

const KINDS_MAX = 12;
const LARGEST_MAX = 5;
/** Documents come first, but leave room for other files. */
const DOCUMENTS_MAX = 16;
/** Calls in parallel. */
const ROUND_FILES_MAX = 10;
/** A round's results are one payload of at most 1 MiB, in which characters such as quotes take more than a byte. */
const ROUND_BYTES_MAX = 320 * 1024;
/** Anything longer is not a known extension. */
const EXTENSION = /^[a-z0-9_+-]{1,12}$/;

const DOCUMENT = new Set(["md", "markdown", "rst", "adoc", "txt"]);
/** Extensions of files that are not text, or generated text. read_file detects other files that are not text. */
const NOT_WRITTEN = new Set(
  (
    "7z a avif bin bmp br bz2 class csv dat db dll dylib eot exe gif gz ico jar jpeg jpg json jsonl lock log map mo mov " +
    "mp3 mp4 node o otf pdf png pyc so sqlite svg tar tgz tif ttf wasm webm webp woff woff2 xz zip zst"
  ).split(" "),
);

export function surveyFiles(list: FileList, bounds: { filesMax: number; bytesPerFile: number }): Survey {
  const files = list.entries.filter(({ type }) => type === "file");
  const kinds = kindsOf(files);
  return {
    files: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    folders: new Set(files.map(({ path }) => path.slice(0, Math.max(0, path.lastIndexOf("/"))))).size,
    others: list.entries.length - files.length,
    truncated: list.truncated,
    kinds: kinds.slice(0, KINDS_MAX),
    kinds_left_out: Math.max(0, kinds.length - KINDS_MAX),
    largest: files
      .toSorted((a, b) => b.size - a.size)
      .slice(0, LARGEST_MAX)
      .map(({ path, size }) => ({ path, size })),
    rounds: roundsOf(chooseFiles(files, bounds.filesMax), bounds.bytesPerFile),
  };
}

type File = FileList["entries"][number];

function kindsOf(files: readonly File[]): Survey["kinds"] {
  const kinds = new Map<string, { files: number; bytes: number }>();
  for (const { name, size } of files) {
    const extension = extensionOf(name);
    const kind = kinds.get(extension) ?? { files: 0, bytes: 0 };
    kinds.set(extension, { files: kind.files + 1, bytes: kind.bytes + size });
  }
  return [...kinds]
    .map(([extension, kind]) => ({ extension, ...kind }))
    .toSorted((a, b) => b.files - a.files || (a.extension < b.extension ? -1 : 1));
}

/** Empty if the name has none. */
function extensionOf(name: string): string {
  const dot = name.lastIndexOf(".");
  const extension = name.slice(dot + 1).toLowerCase();
  return dot > 0 && EXTENSION.test(extension) ? extension : "";
}

/** Documents first, with READMEs and files near the top leading; then the largest hand-written files. */
function chooseFiles(files: readonly File[], filesMax: number): File[] {
  const readable = files.filter(({ name, size }) => size > 0 && !NOT_WRITTEN.has(extensionOf(name)));
  const isDocument = ({ name }: File) => DOCUMENT.has(extensionOf(name)) || /^readme$/i.test(name);
  const rank = ({ name, path }: File) => path.split("/").length + (/^readme/i.test(name) ? 0 : 1_000);
  const documents = readable.filter(isDocument).toSorted((a, b) => rank(a) - rank(b));
  const others = readable.filter((file) => !isDocument(file)).toSorted((a, b) => b.size - a.size);
  return [...documents.slice(0, DOCUMENTS_MAX), ...others, ...documents.slice(DOCUMENTS_MAX)].slice(0, filesMax);
}

function roundsOf(files: readonly File[], bytesPerFile: number): string[][] {
  const rounds: string[][] = [];
  let bytesLeft = 0;
  for (const { path, size } of files) {
    const bytes = Math.min(size, bytesPerFile);
    const round = rounds.at(-1);
    if (round === undefined || round.length >= ROUND_FILES_MAX || bytes > bytesLeft) {
      rounds.push([path]);
      bytesLeft = ROUND_BYTES_MAX - bytes;
    } else {
      round.push(path);
      bytesLeft -= bytes;
    }
  }
  return rounds;
}
