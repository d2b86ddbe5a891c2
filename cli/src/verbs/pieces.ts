/** `aerodb control|agent|gateway`: one piece alone, in the place of this process. */
import { type Command, Option } from "commander";
import { pieceEnvironment, pieceHome } from "../config.ts";
import { flagsOf, runtimeEnvironment, scriptOf } from "../up/piece-program.ts";

type Flag = readonly [flag: string, about: string];

const SHARED: readonly Flag[] = [
  ["--log-level <level>", "trace, debug, info, warn, error or silent"],
];

const CONTROL_FLAG: Flag = ["--control <host:port>", "control's gRPC address"];

const CONTROL: readonly Flag[] = [
  ["--catalogue-url <url>", "the Postgres database that holds the catalogue"],
  ["--api-port <port>", "where the API is served (default: 9090)"],
  ["--link-port <port>", "where agents and gateways dial in (default: 9091)"],
  ["--link-address <host:port>", "how they reach that port"],
  ["--api-address <host:port>", "how they reach the API"],
  ["--certificate-days <days>", "how long their certificates are good for (default: 7)"],
  ["--listen-address <address>", "which address to listen on (default: 127.0.0.1)"],
  ["--names <names>", "further names of this machine, for its certificate"],
  ["--public-host <host>", "where tenants reach the gateway"],
  ["--public-port <port>", "and its Postgres port (default: 6432)"],
  ["--public-pooled-port <port>", "and its pooled Postgres port (default: 6543)"],
  ["--base-domain <domain>", "what tenants' host names end with (default: localhost)"],
  ...SHARED,
];

const AGENT: readonly Flag[] = [
  ["--edge-port <port>", "where gateways reach this host (default: any)"],
  ["--edge-listen-address <address>", "which address to listen on (default: 127.0.0.1)"],
  ["--engines <directories>", "where installed Postgres engines are, separated by commas"],
  ...joining("aerodb hosts token create"),
];

const GATEWAY: readonly Flag[] = [
  ["--rest-port <port>", "where REST is served (default: 8080)"],
  ["--pg-port <port>", "where Postgres clients connect (default: 6432)"],
  ["--pg-pooled-port <port>", "and where they take turns with a few servers (default: 6543)"],
  ["--pool-size <servers>", "how many servers of a tenant they share at most (default: 32)"],
  ["--siblings-directory <directory>", "shared by gateways on the same Postgres ports"],
  ["--listen-address <address>", "which address to listen on (default: 127.0.0.1)"],
  ["--base-domain <domain>", "what tenants' host names end with (default: localhost)"],
  ["--tls-certificate <file>", "certificate chain of the Postgres port (PEM), watched"],
  ["--tls-key <file>", "and its key (PEM)"],
  ...joining("aerodb hosts token create --kind gateway"),
];

export function addPieces(program: Command): void {
  addPiece(program, { piece: "control", about: "run control alone", flags: CONTROL });
  addPiece(program, { piece: "agent", about: "run this machine's agent alone", flags: AGENT });
  addPiece(program, { piece: "gateway", about: "run a gateway alone", flags: GATEWAY });
}

function addPiece(
  program: Command,
  draft: {
    readonly piece: "control" | "agent" | "gateway";
    readonly about: string;
    readonly flags: readonly Flag[];
  },
): void {
  const { piece, about, flags } = draft;
  // What is said of all verbs is of verbs that ask control, where a home is another one.
  const command = program
    .command(piece)
    .description(about)
    .configureHelp({ showGlobalOptions: false });
  for (const [flag, text] of flags) command.option(flag, text);
  // What the variable is called; `--control` is what people type.
  if (flags.includes(CONTROL_FLAG)) {
    command.addOption(new Option("--api-address <host:port>").hideHelp());
  }
  const prefix = `AERODB_${piece.toUpperCase()}_`;
  const secret = piece === "control" ? "CATALOGUE_URL" : "JOIN_TOKEN";
  const where = piece === "control" ? "./.aerodb/control" : pieceHome(piece);
  command.addHelpText(
    "after",
    `\n--home <directory> says where its state is (${prefix}HOME; default: ${where}).` +
      `\nEach flag may be given as a variable: --log-level as ${prefix}LOG_LEVEL.` +
      `\nSecrets are safer there: ${prefix}${secret}.`,
  );
  command.action((_flags: object, self: Command) => {
    const { output: _, url: __, key: ___, control, ...given } = self.optsWithGlobals<Given>();
    const apiAddress = control ?? given["apiAddress"];
    const environment = pieceEnvironment(piece, { ...given, apiAddress });
    become([...flagsOf(piece), scriptOf(piece)], { ...runtimeEnvironment(piece), ...environment });
  });
}

/** What joins is let in by a token of its kind, and by no other. */
function joining(makesToken: string): readonly Flag[] {
  return [
    CONTROL_FLAG,
    ["--join-token <token>", `from ${makesToken}; needed once`],
    ["--name <name>", "what to call it (default: this machine's name)"],
    ...SHARED,
  ];
}

type Given = Readonly<Record<string, string | undefined>>;

/** Replaces this process, so that signals, exit code and standard streams are the piece's own. */
function become(words: readonly string[], environment: Readonly<Record<string, string>>): void {
  const node = process.execPath;
  // Node writes a warning about execve being experimental.
  process.removeAllListeners("warning");
  process.execve?.(node, [node, ...words], { ...environment });
}
