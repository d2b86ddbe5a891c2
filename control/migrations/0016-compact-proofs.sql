-- A rule of a proof is kept as [id, checked, held] and, where it does not hold, what of: most of what was
-- kept of every tenant were the names of fields. Agents say all their proofs again when they connect.

truncate isolation_proofs;
