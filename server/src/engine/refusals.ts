/** Refusals that several operations share. */
import { DomainError } from "../core/errors.ts";

export function runUnknown(runId: string): DomainError {
  return new DomainError("RUN_UNKNOWN", `There is no run ${runId}.`, { metadata: { run_id: runId } });
}

export function workflowUnknown(workflowId: string): DomainError {
  return new DomainError("WORKFLOW_UNKNOWN", `There is no workflow ${workflowId}.`, {
    metadata: { workflow_id: workflowId },
  });
}

export function versionUnknown(workflowId: string, version: number): DomainError {
  return new DomainError("VERSION_UNKNOWN", `Workflow ${workflowId} has no version ${version}.`, {
    metadata: { workflow_id: workflowId, version: String(version) },
  });
}
