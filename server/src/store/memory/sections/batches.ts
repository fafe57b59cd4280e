/** What a batch committed to each tenant's ledgers, for the log of record hashes. */
import { committedOf, laneOf, type Section } from "./section.ts";

export const BATCHES: Section = {
  name: "batches",
  write(hand) {
    const { laneId, committed } = laneOf(hand);
    const byTenant = Map.groupBy(
      committedOf(hand).filter(({ records }) => records.length > 0),
      ({ tenantId }) => tenantId,
    );
    for (const [tenantId, transitions] of byTenant) {
      const runs = transitions.map(({ runId, records }) => ({
        runId,
        firstSeq: records[0]!.seq,
        hashes: records.map(({ hash }) => hash),
      }));
      committed.push({ tenantId, laneId, batchNo: hand.batchNo, runs });
    }
  },
};
