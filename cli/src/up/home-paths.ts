/** Where everything of a home is. */
import { join } from "node:path";

export interface HomePaths {
  readonly home: string;
  /** What Postgres reads; see state-root.ts. */
  readonly state: string;
  readonly logs: string;
  readonly control: string;
  readonly gateway: string;
  readonly platformKey: string;
  readonly credentials: string;
  readonly engines: string;
  readonly templates: string;
  readonly catalogue: string;
  agent(index: number): string;
  log(piece: string): string;
}

/** Engines and templates are in the state, unless homes share a directory for them. */
export function homePaths(home: string, state: string, engineDirectory?: string): HomePaths {
  const engines = engineDirectory ?? join(state, "engines");
  return {
    home,
    state,
    logs: join(home, "logs"),
    control: join(home, "control"),
    gateway: join(home, "gateway"),
    platformKey: platformKeyPath(home),
    credentials: credentialsPath(home),
    engines,
    templates: join(engineDirectory ?? state, "templates"),
    catalogue: join(state, "catalogue"),
    agent: (index) => join(state, "agents", agentName(index)),
    log: (piece) => join(home, "logs", `${piece}.log`),
  };
}

export function platformKeyPath(home: string): string {
  return join(home, "platform-key");
}

export function credentialsPath(home: string): string {
  return join(home, "credentials.json");
}

export function agentName(index: number): string {
  return `agent-${index}`;
}
