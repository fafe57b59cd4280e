/** The fence: stops a batch whose lane has ended, or that was voided. */
import type { Section } from "./section.ts";

export const FENCE: Section<never> = {
  name: "fence",
  parameters: {},
  encode: () => ({}),
  check: `
  -- An ended lane takes no batch, and a number that was committed or voided cannot be used again. The row stays locked
  -- until the commit, so a server that ends the lane or resolves the batch waits for it.
  UPDATE lanes SET last_batch_no = p_batch_no
  WHERE lane_id = p_lane_id AND ended_at IS NULL AND last_batch_no < p_batch_no;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM lanes WHERE lane_id = p_lane_id AND ended_at IS NULL) THEN
      RAISE EXCEPTION 'batch % of lane % is already decided', p_batch_no, p_lane_id USING ERRCODE = 'AR002';
    END IF;
    RAISE EXCEPTION 'lane % has ended', p_lane_id USING ERRCODE = 'AR001';
  END IF;`,
};
