import type { Logger } from "pino";
import { workflowDigest } from "../core/compile/workflow.ts";
import { DamageError } from "../core/damage.ts";
import type { StoredWorkflow } from "../store/contract/workflows.ts";
import { reportDamage } from "./report-damage.ts";

/**
 * Returns why a stored version cannot be used: its graph does not have the digest under which it was registered. Runs,
 * and the first record of each ledger, name a graph by that digest.
 */
export function graphDamage({
  workflowId,
  version,
  digest,
  definition,
  damage,
}: StoredWorkflow): DamageError | undefined {
  if (damage !== undefined || workflowDigest(definition) === digest) return damage;
  const ids = { workflow_id: workflowId, version };
  return new DamageError("workflow", ids, "its graph does not have the digest under which it was registered");
}

/** Returns a version whose graph has its digest. @throws {DomainError} DATA_DAMAGED */
export function assertWholeGraph(stored: StoredWorkflow, log: Logger): StoredWorkflow {
  const damage = graphDamage(stored);
  reportDamage(log, damage);
  if (damage !== undefined) throw damage;
  return stored;
}
